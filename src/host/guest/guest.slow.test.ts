import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { PassThrough, Readable, Writable } from 'node:stream'
import { beforeAll, describe, expect, test } from 'vitest'
import { openImage } from '../images/open-image.ts'
import type { StartMachine } from '../machine/session.ts'
import { startImageSession } from './image-session.ts'
import type { SessionRequest } from './protocol.ts'
import { startQemuMachine } from './testing/qemu-machine.ts'
import { imageUnavailable } from '../../../test/images.ts'

/**
 * The image `busybox` with its init, in our machine (that of `dist/`: `npm run build`) and in QEMU: what works there and not here is the
 * machine's fault. What is its init's affair alone is tried in one of them, in QEMU where there is one: it boots sooner. The image is that
 * of the user's cache, fetched if it is not there.
 */
const BOOT = 120_000
const MEMORY = 256 * 1024 ** 2

const unavailable = await imageUnavailable()
const hasQemu = spawnSync('qemu-system-x86_64', ['--version']).status === 0

/** The machine as it is built: its thread is started from JavaScript. */
const startBuiltMachine: StartMachine = async options => {
  const compiled = new URL('../../../dist/host/machine/start.js', import.meta.url)
  return (await import(compiled.href) as { startMachine: StartMachine }).startMachine(options)
}

let startMachine: StartMachine

interface Result {
  readonly status: number
  readonly stdout: Buffer
  readonly stderr: Buffer
}

async function run(argv: readonly string[], stdin: Readable = Readable.from([]), request: Partial<SessionRequest> = {}): Promise<Result> {
  const output: Buffer[][] = [[], []]
  const [stdout, stderr] = output.map(chunks => new Writable({
    write(chunk: Buffer, _, done) {
      chunks.push(chunk)
      done()
    },
  }))
  const session = await startImageSession({
    startMachine, memoryBytes: MEMORY, image: await openImage('busybox'), stdin, stdout, stderr, bootTimeoutMs: BOOT,
    request: { mode: 'with_pipes', argv, environment: {}, ...request },
  })
  const status = await session.status
  return { status, stdout: Buffer.concat(output[0]), stderr: Buffer.concat(output[1]) }
}

/** Types each answer when the console has shown what comes before it. */
function typist(steps: readonly (readonly [RegExp, string])[]): { input: PassThrough, screen: Writable, text: () => string } {
  const input = new PassThrough()
  const waiting = [...steps]
  let text = ''
  let fresh = ''
  const screen = new Writable({
    write(chunk: Buffer, _, done) {
      text += chunk.toString()
      fresh += chunk.toString()
      if (waiting.length > 0 && waiting[0][0].test(fresh)) {
        fresh = ''
        input.write(waiting.shift()![1])
      }
      done()
    },
  })
  return { input, screen, text: () => text }
}

const MACHINES: readonly (readonly [string, StartMachine])[] = [['Tenon', startBuiltMachine], ...hasQemu ? [['QEMU', startQemuMachine] as const] : []]

describe.skipIf(unavailable).each(MACHINES)('the image busybox in %s', (name, start) => {
  const elsewhere = hasQemu && name !== 'QEMU'
  beforeAll(() => {
    startMachine = start
  })

  test('a command gets its arguments and its environment exactly, and gives its status', async () => {
    const argv = ['a\'b', '"c" \\d', 'new\nline', '$HOME `x`', '', '*', '-n', 'é']
    const script = 'for each; do printf "[%s]" "$each"; done; echo "$mode" >&2; exit 7'
    const result = await run(['sh', '-c', script, 'sh', ...argv], undefined, { environment: { mode: 'it\'s' } })
    expect({ ...result, stdout: result.stdout.toString(), stderr: result.stderr.toString() }).toEqual({
      status: 7, stdout: argv.map(each => `[${each}]`).join(''), stderr: 'it\'s\n',
    })
  }, BOOT)

  test('stdin and stdout carry every byte', async () => {
    const bytes = randomBytes(200_000)
    const { status, stdout, stderr } = await run(['sh', '-c', 'tee /dev/stderr'], Readable.from([bytes.subarray(0, 70_000), bytes.subarray(70_000)]))
    expect([status, stdout.equals(bytes), stderr.equals(bytes)]).toEqual([0, true, true])
  }, BOOT)

  test.skipIf(elsewhere)('a command that reads little of its stdin ends, and so does one that leaves others running', async () => {
    const endless = Readable.from((function* () { for (;;) yield Buffer.alloc(100_000, 'y') })())
    const { status, stdout } = await run(['sh', '-c', 'sleep 1000 & head -c 5'], endless)
    expect([status, stdout.toString()]).toEqual([0, 'yyyyy'])
  }, BOOT)

  test.skipIf(elsewhere).each([
    [['no-such-command'], 127, 'no-such-command'], [['/etc/passwd'], 126, 'passwd'], [['sh', '-c', 'kill -KILL $$'], 137, ''],
  ])('%j ends with status %i', async (argv, expected, message) => {
    const { status, stderr } = await run(argv)
    expect(status).toBe(expected)
    expect(stderr.toString()).toContain(message)
    expect(message === '' && stderr.length > 0, stderr.toString()).toBe(false)
  }, BOOT)

  test.skipIf(elsewhere)('modprobe loads modules with what they need', async () => {
    const { status, stdout } = await run(['sh', '-c', 'modprobe virtio_net && modprobe nf_nat && modprobe dm-crypt && lsmod'])
    expect(status).toBe(0)
    expect(stdout.toString()).toMatch(/^virtio_net .*^libcrc32c .*|^nf_nat /ms)
  }, BOOT)

  test('the system is whole: users, mounts, terminals, the digest of a file', async () => {
    const { stdout } = await run(['sh', '-c', 'id -un; hostname; pwd; tty; for m in /proc /sys /dev /dev/pts /tmp /run; do mountpoint $m || grep -q " $m " /proc/mounts && echo $m; done; sha256sum < /bin/busybox'])
    const digest = createHash('sha256').update(busyboxOf((await openImage('busybox')).initrd)).digest('hex')
    expect(stdout.toString()).toBe(`root\ntenon\n/root\nnot a tty\n/proc\n/sys\n/dev\n/dev/pts\n/tmp\n/run\n${digest}  -\n`)
  }, BOOT)

  test('a panic is an error', async () => {
    await expect(run(['sh', '-c', 'echo c > /proc/sysrq-trigger'])).rejects.toEqual(expect.objectContaining({ code: 'GUEST_PANIC' }))
  }, BOOT)

  test('a shell in a terminal has its size, its type and Ctrl-C', async () => {
    // The program says itself that it runs: a Ctrl-C before the shell has put it in the foreground would not be for it.
    const { input, screen, text } = typist([
      [/# /, 'stty size; tty; echo $TERM\r'], [/linux-x\r?\n.*# /s, `sh -c 'echo begin; exec sleep 1000'\r`], [/begin\r?\n/, '\x03'], [/\^C.*# /s, 'exit 5\r'],
    ])
    const session = await startImageSession({
      startMachine, memoryBytes: MEMORY, image: await openImage('busybox'), stdin: input, stdout: screen, stderr: screen, bootTimeoutMs: BOOT,
      request: { mode: 'on_console', argv: ['sh', '-l'], environment: { TERM: 'linux-x' }, windowSize: { rows: 33, columns: 99 } },
    })
    expect(await session.status).toBe(5)
    expect(text()).toContain('33 99\r\n/dev/ttyS0\r\nlinux-x\r\n')
    expect(text()).not.toMatch(/job control|Linux version|Power down/)
  }, BOOT)

  test.skipIf(elsewhere)('poweroff in a terminal is an orderly end', async () => {
    const { input, screen } = typist([[/# /, 'poweroff\r']])
    const session = await startImageSession({
      startMachine, memoryBytes: MEMORY, image: await openImage('busybox'), stdin: input, stdout: screen, stderr: screen, bootTimeoutMs: BOOT,
      request: { mode: 'on_console', argv: ['sh', '-l'], environment: {} },
    })
    expect(await session.status).toBe(0)
  }, BOOT)
})

/** The file `bin/busybox` of an initramfs. */
function busyboxOf(initrd: Uint8Array): Uint8Array {
  const text = Buffer.from(initrd).toString('latin1')
  const name = text.indexOf('bin/busybox\0')
  const size = parseInt(text.slice(name - 110 + 54, name - 110 + 62), 16)
  const start = Math.ceil((name + 'bin/busybox\0'.length) / 4) * 4
  return initrd.subarray(start, start + size)
}
