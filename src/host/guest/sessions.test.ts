import { PassThrough, Readable, Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { KeptDisks } from '../disks/kept-disks.ts'
import type { BootImage } from '../images/image.ts'
import { startImageSession } from './image-session.ts'
import type { ImageSessionOptions } from './image-session.ts'
import { runKernel } from './kernel-session.ts'
import type { KernelSessionOptions } from './kernel-session.ts'
import { scriptedMachine } from './testing/scripted-machine.ts'
import type { ScriptedGuest } from './testing/scripted-machine.ts'

const withCode = (code: string): unknown => expect.objectContaining({ code })
const image: BootImage = { name: 'test', kernel: Uint8Array.of(1), initrd: Uint8Array.of(2), commandLine: 'quick', minimumMemory: 0 }
const [CONSOLE, STDOUT, STDERR, CONTROL] = [0, 1, 2, 3]

class Sink extends Writable {
  text = ''

  override _write(chunk: Buffer, _: unknown, done: () => void): void {
    this.text += chunk.toString('latin1')
    done()
  }
}

interface Run {
  readonly status: Promise<number>
  readonly stdout: Sink
  readonly stderr: Sink
}

async function start(guest: (guest: ScriptedGuest) => Promise<void> | void, options: Partial<ImageSessionOptions> = {}): Promise<Run> {
  const [stdout, stderr] = [new Sink(), new Sink()]
  const session = await startImageSession({
    startMachine: scriptedMachine(guest), memoryBytes: 1024 ** 2, image, request: { mode: 'with_pipes', argv: ['x'], environment: {} },
    stdin: Readable.from([]), stdout, stderr, ...options,
  })
  return { status: session.status, stdout, stderr }
}

test('a command has its streams and its status', async () => {
  const { status, stdout, stderr } = await start(async guest => {
    guest.send(CONSOLE, 'Linux version 6')
    guest.send(CONTROL, 'ready 2\n')
    expect(await guest.receive(CONTROL, '\'x\'\n')).toMatch(/^session \d+\nmode=with_pipes mark=[0-9a-f]{32}\n/)
    guest.send(STDOUT, Uint8Array.of(0, 255, 10))
    guest.send(STDERR, 'warning')
    guest.send(CONTROL, 'exit 3\n')
    guest.send(CONSOLE, 'reboot: Power down')
    guest.end('power-off')
  })
  expect([await status, stdout.text, stderr.text]).toEqual([3, '\0\xff\n', 'warning'])
})

test('the kernel is told where the control line is, and to panic aloud', async () => {
  let commandLine = ''
  const { status } = await start(guest => {
    commandLine = guest.options.commandLine
    guest.send(CONTROL, 'ready 2\nexit 0\n')
    guest.end('power-off')
  }, { append: 'more=1' })
  await status
  expect(commandLine).toBe('console=ttyS0 panic=-1 quiet tenon.control=/dev/ttyS3 quick more=1')
})

test('stdin goes when the guest asks, in pieces, to its end', async () => {
  const asked: string[] = []
  const { status } = await start(async guest => {
    guest.send(CONTROL, 'ready 2\n')
    for (const ending of ['a', 'B', '0\n']) {
      guest.send(CONTROL, 'stdin\n')
      asked.push(await guest.receive(STDOUT, ending))
    }
    guest.send(CONTROL, 'exit 0\n')
    guest.end('power-off')
  }, { stdin: Readable.from([Buffer.from(`${'a'.repeat(40_000)}AB`)]) })
  expect(await status).toBe(0)
  expect(asked).toEqual([expect.stringMatching(/^\n[0-9a-f]{32}\n32768\na+$/), expect.stringMatching(/^7234\na+AB$/), '0\n'])
})

test('a terminal shows the console from when the shell has it, and gets what is typed', async () => {
  const stdin = new PassThrough()
  stdin.write('ls\r')
  const { status, stdout } = await start(async guest => {
    guest.send(CONSOLE, 'noise of the boot')
    guest.send(CONTROL, 'ready 2\n')
    guest.send(CONSOLE, '# ')
    guest.send(CONSOLE, await guest.receive(CONSOLE, '\r'))
    guest.send(CONTROL, 'exit 5\n')
    guest.send(CONSOLE, 'reboot: Power down')
    guest.end('power-off')
  }, { stdin, request: { mode: 'on_console', argv: ['sh'], environment: {} } })
  expect([await status, stdout.text]).toEqual([5, '# ls\r'])
})

test('a full stream holds the guest back until it drains', async () => {
  let accepted = true
  const stdout = new PassThrough({ highWaterMark: 10 })
  const { status } = await start(async guest => {
    guest.send(CONTROL, 'ready 2\n')
    accepted = guest.send(STDOUT, 'x'.repeat(20))
    stdout.resume()
    await new Promise(resolve => setTimeout(resolve, 10))
    guest.send(CONTROL, `exit ${guest.resumed[STDOUT]}\n`)
    guest.end('power-off')
  }, { stdout })
  expect([await status, accepted]).toEqual([1, false])
})

test.each<[string, (guest: ScriptedGuest) => void, string]>([
  ['panics', guest => {
    guest.send(CONSOLE, '[1.0] Kernel panic - not syncing: VFS\r\n')
    guest.end('reset')
  }, 'GUEST_PANIC'],
  ['crashes', guest => guest.end('triple-fault', 'rip 0x1000'), 'GUEST_CRASHED'],
  ['powers off without a word', guest => guest.end('power-off'), 'GUEST_STOPPED'],
  ['powers off within its command', guest => {
    guest.send(CONTROL, 'ready 2\n')
    guest.end('power-off')
  }, 'GUEST_STOPPED'],
  ['runs in a machine that fails', guest => guest.end('failed', 'worker died'), 'MACHINE_FAILED'],
  ['talks nonsense', guest => void guest.send(CONTROL, 'hello\n'), 'GUEST_PROTOCOL'],
  ['is of another version', guest => void guest.send(CONTROL, 'ready 1\n'), 'GUEST_PROTOCOL'],
  ['is ready twice', guest => void guest.send(CONTROL, 'ready 2\nready 2\n'), 'GUEST_PROTOCOL'],
  ['says nothing', () => {}, 'GUEST_BOOT_TIMEOUT'],
])('a guest that %s is an error', async (_, guest, code) => {
  const { status } = await start(guest, { bootTimeoutMs: 50 })
  await expect(status).rejects.toEqual(withCode(code))
})

test('a session ends when it is told to', async () => {
  const controller = new AbortController()
  const { status } = await start(() => controller.abort(new Error('enough')), { signal: controller.signal })
  await expect(status).rejects.toThrow('enough')
})

function runOwn(guest: (guest: ScriptedGuest) => Promise<void> | void, output: Sink, options: Partial<KernelSessionOptions> = {}): Promise<unknown> {
  return runKernel({
    startMachine: scriptedMachine(guest), memoryBytes: 1024 ** 2, kernel: Uint8Array.of(1), commandLine: '', input: Readable.from(['hi']), output, ...options,
  })
}

test('a kernel of the user\'s own has the console', async () => {
  const output = new Sink()
  const exit = await runOwn(async guest => {
    guest.send(CONSOLE, await guest.receive(CONSOLE, 'hi'))
    guest.end('halted', 'rip 0x1')
  }, output)
  expect([exit, output.text]).toEqual([{ reason: 'halted', detail: 'rip 0x1' }, 'hi'])
})

test('with disks that are kept a reset starts it again, and what is typed goes to the new machine', async () => {
  const output = new Sink()
  const input = new PassThrough()
  const kernels: string[] = []
  const exit = await runOwn(async guest => {
    const { kernel } = guest.options
    kernels.push(Buffer.from(kernel).toString())
    // As a machine does it.
    structuredClone(kernel, { transfer: [kernel.buffer as ArrayBuffer] })
    guest.send(CONSOLE, `boot ${kernels.length} `)
    input.write(`${kernels.length}`)
    guest.send(CONSOLE, await guest.receive(CONSOLE, `${kernels.length}`))
    guest.end(kernels.length < 3 ? 'reset' : 'power-off')
  }, output, { input, kernel: Buffer.from(new TextEncoder().encode('LINUX').buffer), keptDisks: new KeptDisks([]) })
  expect([exit, output.text, kernels]).toEqual([{ reason: 'power-off', detail: '' }, 'boot 1 1boot 2 2boot 3 3', ['LINUX', 'LINUX', 'LINUX']])
})

test('a kernel of the user\'s own that fails is an error', async () => {
  const output = new Sink()
  await expect(runOwn(guest => guest.end('triple-fault'), output)).rejects.toEqual(withCode('GUEST_CRASHED'))
  await expect(runOwn(guest => guest.end('halted'), output)).rejects.toEqual(withCode('GUEST_CRASHED'))
  await expect(runOwn(() => {}, output, { bootTimeoutMs: 30 })).rejects.toEqual(withCode('GUEST_BOOT_TIMEOUT'))
  await expect(runOwn(guest => {
    guest.send(CONSOLE, 'Kernel panic - not syncing: no root\n')
    guest.end('reset')
  }, output)).rejects.toEqual(withCode('GUEST_PANIC'))
})
