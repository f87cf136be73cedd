/**
 * Virtio devices of the compiled machine, and the stock guest agent in it: Debian's kernel and drivers, and the qemu-ga of this computer.
 * The build must be up to date: `npm test` sees to it, or `npm run build`.
 */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AGENT_PORT, AgentClient } from '../../src/host/agent/client.ts'
import { freeze, setTime, shutDown } from '../../src/host/agent/guest-life.ts'
import { runCaptured } from '../../src/host/agent/run-program.ts'
import { openImage } from '../../src/host/images/open-image.ts'
import type { MachineSession, StartMachine } from '../../src/host/machine/session.ts'
import { imageUnavailable } from '../images.ts'
import { agentInitrd, agentUnavailable } from './agent-initrd.ts'

const LONG = 600_000
const built = (path: string): string => fileURLToPath(new URL(`../../dist/${path}`, import.meta.url))
const APPEND = 'console=ttyS0 panic=-1 quiet rdinit=/agent-init'

const unavailable = agentUnavailable() ?? await imageUnavailable()

let kernel: Uint8Array
let initrd: Uint8Array
beforeAll(async () => {
  if (unavailable !== undefined) return
  if (!existsSync(built('host/machine/start.js'))) throw new Error('there is no build in dist/: npm run build')
  const image = await openImage('busybox')
  kernel = image.kernel
  initrd = agentInitrd(image.initrd)
}, LONG)

describe.skipIf(unavailable)('a machine with the stock agent in it', () => {
  let agent: AgentClient
  let machine: MachineSession
  let screen = ''
  let window = ''

  beforeAll(async () => {
    const { startMachine } = await import(built('host/machine/start.js')) as { startMachine: StartMachine }
    agent = new AgentClient(async bytes => machine.ports![0].write(bytes))
    const owner = { receive: (bytes: Uint8Array) => agent.receive(bytes), opened: (open: boolean) => agent.opened(open) }
    const show = (bytes: Uint8Array): boolean => (screen += Buffer.from(bytes).toString()) !== ''
    machine = await startMachine({
      memoryBytes: 256 * 1024 ** 2, kernel: new Uint8Array(kernel), initrd: new Uint8Array(initrd), commandLine: APPEND,
      serial: [{ receive: show }], ports: [{ name: AGENT_PORT, owner }],
      console: { receive: bytes => (window += Buffer.from(bytes).toString()) !== '' },
    })
    void machine.exited.then(() => agent.end())
    await agent.opening(LONG).catch((error: Error) => { throw new Error(`${error.message}\n${screen}`) })
  }, LONG)
  afterAll(async () => {
    machine?.kill()
    await machine?.exited
  })

  const inGuest = async (script: string): Promise<string> => (await runCaptured(agent, ['sh', '-c', script], { timeoutMs: LONG })).stdout.toString()

  test('answers', async () => {
    expect((await agent.call('guest-info', {})).version).toMatch(/^\d/)
    expect(machine.ports![0].isOpen).toBe(true)
    expect(await inGuest('cat /sys/class/virtio-ports/*/name; echo $((6 * 7))')).toBe(`${AGENT_PORT}\n42\n`)
  }, LONG)

  test('has a window, a source of entropy and a balloon', async () => {
    machine.console!.resize(111, 37)
    const written = machine.console!.write(Buffer.from('typed\n'))
    expect(await inGuest('(sleep 1; stty size; head -n 1; echo shown >&0) <>/dev/hvc0')).toBe('37 111\ntyped\n')
    await written
    await expect.poll(() => window, { timeout: LONG }).toContain('shown')
    expect(await inGuest('cat /sys/class/misc/hw_random/rng_current; head -c 64 /dev/hwrng | wc -c')).toMatch(/^virtio_rng.*\n64\n$/)
    const told = await machine.balloon!.statistics()
    expect(Number(told!.total)).toBeGreaterThan(200 * 1024 ** 2)
    machine.balloon!.setTarget(32 * 1024 ** 2)
    await expect.poll(() => machine.balloon!.size, { timeout: LONG }).toBe(32 * 1024 ** 2)
    expect(Number((await machine.balloon!.statistics())!.free)).toBeLessThan(Number(told!.free) - 16 * 1024 ** 2)
  }, LONG)

  test('is frozen and thawed, and told the time', async () => {
    // Its file systems are all in memory: there is none to freeze, and the agent says so.
    expect([await freeze(agent, async frozen => frozen), await agent.call('guest-fsfreeze-status', {})]).toEqual([0, 'thawed'])
    // qemu-ga sets the hardware clock as well, which this guest has no program for that it likes: the system's is set all the same.
    await setTime(agent, Date.UTC(2031, 0, 2)).catch(() => {})
    expect(await inGuest('date -u +%F')).toBe('2031-01-02\n')
  }, LONG)

  test('is told to power off', async () => {
    const told = shutDown(agent).catch(() => runCaptured(agent, ['poweroff', '-f']).catch(() => {}))
    expect(await machine.exited).toMatchObject({ reason: 'power-off' })
    await told
    expect([agent.isOpen, machine.ports![0].isOpen, await machine.balloon!.statistics()]).toEqual([false, false, undefined])
  }, LONG)
})

describe.skipIf(unavailable)('tenon exec and tenon cp', () => {
  const home = mkdtempSync(join(tmpdir(), 'tenon-exec-test-'))
  afterAll(() => rmSync(home, { recursive: true, force: true }))

  async function tenon(args: readonly string[], stdin = ''): Promise<{ status: number | null, stdout: string, stderr: string }> {
    const child = spawn(process.execPath, [built('cli/main.js'), ...args], { env: { ...process.env, TENON_HOME: home } })
    const [out, err]: Buffer[][] = [[], []]
    child.stdout.on('data', (bytes: Buffer) => out.push(bytes))
    child.stderr.on('data', (bytes: Buffer) => err.push(bytes))
    child.stdin.end(stdin)
    const status = await new Promise<number | null>(resolve => child.on('close', resolve))
    return { status, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }
  }

  test('reach a named guest', async () => {
    writeFileSync(join(home, 'kernel'), kernel)
    writeFileSync(join(home, 'initrd'), initrd)
    const own = ['--kernel', join(home, 'kernel'), '--initrd', join(home, 'initrd'), '--append', APPEND]
    expect(await tenon(['run', '--name', 'web', '--detach', '--memory', '256M', ...own]))
      .toEqual({ status: 0, stdout: '', stderr: 'tenon: web runs: tenon console web attaches to it\n' })
    try {
      expect(await tenon(['exec', 'web', '-e', 'A=b c', '--wait', '600', '--', 'sh', '-c', 'echo "$A"; cat; echo bad >&2; exit 9'], 'from here\n'))
        .toMatchObject({ status: 9, stdout: 'b c\nfrom here\n', stderr: expect.stringMatching(/bad\n$/) as string })
      expect(await tenon(['exec', 'web', '--', 'sh', '-c', 'kill -15 $$'])).toMatchObject({ status: 143 })
      expect(await tenon(['exec', 'web', '--', 'no-such-program'])).toMatchObject({ status: 127 })
      mkdirSync(join(home, 'tree/sub'), { recursive: true })
      writeFileSync(join(home, 'tree/large'), Buffer.from(Array.from({ length: 600_000 }, (_, index) => index % 251)))
      for (let number = 0; number < 20; number++) writeFileSync(join(home, `tree/sub/${number}`), `${number}`.repeat(number * 40))
      expect(await tenon(['cp', join(home, 'tree'), 'web:/root'])).toEqual({ status: 0, stdout: '', stderr: '' })
      expect(await tenon(['cp', 'web:/root/tree', join(home, 'back')])).toEqual({ status: 0, stdout: '', stderr: '' })
      execFileSync('diff', ['-r', join(home, 'tree'), join(home, 'back')])
      await tenon(['cp', 'web:/root/tree/sub/9', join(home, 'nine')])
      expect(readFileSync(join(home, 'nine'), 'utf8')).toBe('9'.repeat(360))
      expect(await tenon(['cp', 'web:/none', home])).toMatchObject({ status: 125, stderr: expect.stringContaining('COPY_FAILED') as string })
    } finally {
      await tenon(['stop', '--force', 'web'])
    }
    expect(await tenon(['exec', 'web', '--', 'true'])).toMatchObject({ status: 125, stderr: expect.stringContaining('GUEST_NOT_RUNNING') as string })
  }, LONG)
})
