/** Named guests as their users have them: the built command, and the background process that it starts. */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { openImage } from '../../src/host/images/open-image.ts'
import { KERNEL_ADDRESS, pvhNote, syntheticElf } from '../../src/vmm/boot/testing/synthetic-kernels.ts'
import { imageUnavailable } from '../images.ts'

const TENON = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const SHORT = 120_000
const BOOT = 300_000

const home = mkdtempSync(join(tmpdir(), 'tenon-named-'))
const record = join(home, 'run/default/host.json')
const socket = join(home, 'run/default/host.sock')

/**
 * 32-bit code that says `>` and echoes COM1. It resets at an `r`, and powers off at a `p`; if it is polite, at the power button as well.
 */
function echoCode(isPolite: boolean): Uint8Array {
  return Buffer.from([
    'b03e 66baf803 ee', //                            say >
    '66ba0006 66ed f6c401', isPolite ? '751f' : '9090', // next: PM1_STS: the button: to off
    '66bafd03 ec a801 74ec', //                       nothing has come: to next
    '66baf803 ec 3c70 740d 3c72 7403 ee ebdc', //     p: to off; r: to reset; else echo, and to next
    'b0fe e664 ebfe', //                              reset: by the keyboard controller
    '66ba0406 66b80034 66ef ebfe', //                 off: PM1_CNT: sleep state S5
  ].join('').replaceAll(' ', ''), 'hex')
}

function kernelFile(name: string, isPolite = true): string {
  const path = join(home, name)
  const segments = [{ physical: KERNEL_ADDRESS, bytes: echoCode(isPolite), memorySize: 0x5000 }]
  writeFileSync(path, syntheticElf({ segments, notes: pvhNote(KERNEL_ADDRESS) }))
  return path
}

interface Ended { readonly status: number | null, readonly stdout: string, readonly stderr: string }

/** A command that can be typed to. */
class Running {
  readonly ended: Promise<Ended>
  readonly #child: ReturnType<typeof spawn>
  #stdout = ''
  #stderr = ''
  /** What was waited for so far. */
  #seen = 0

  constructor(args: readonly string[]) {
    this.#child = spawn(process.execPath, [TENON, ...args], { env: { ...process.env, TENON_HOME: home } })
    this.#child.stdout!.on('data', (chunk: Buffer) => { this.#stdout += chunk.toString('latin1') })
    this.#child.stderr!.on('data', (chunk: Buffer) => { this.#stderr += String(chunk) })
    this.ended = new Promise(resolve => {
      this.#child.on('close', status => resolve({ status, stdout: this.#stdout, stderr: this.#stderr }))
    })
  }

  type(text: string): void { this.#child.stdin!.write(text) }

  interrupt(): void { this.#child.kill('SIGINT') }

  /** Waits for a text behind the one before. */
  async sees(text: string): Promise<void> {
    await vi.waitUntil(() => this.#stdout.includes(text, this.#seen), { timeout: BOOT, interval: 20 })
    this.#seen = this.#stdout.indexOf(text, this.#seen) + text.length
  }
}

const tenon = (...args: string[]): Promise<Ended> => new Running(args).ended

async function states(): Promise<Record<string, string>> {
  const guests = JSON.parse((await tenon('ls', '--json')).stdout) as { name: string, state: string }[]
  return Object.fromEntries(guests.map(({ name, state }) => [name, state]))
}

const hostProcess = (): number => (JSON.parse(readFileSync(record, 'utf8')) as { process: number }).process

beforeAll(() => {
  if (!existsSync(TENON)) throw new Error('there is no build in dist/: npm run build')
})

afterEach(async () => {
  const names = Object.keys(await states())
  if (names.length > 0) await tenon('rm', '--force', ...names)
})

afterAll(async () => {
  // It ends by itself when it has no guest, and takes its socket along.
  await vi.waitUntil(() => !existsSync(socket), { timeout: 30_000, interval: 100 })
  rmSync(home, { recursive: true })
}, 40_000)

test('a guest is made, attached to, rebooted, left, and stopped by its power button', async () => {
  const kernel = kernelFile('polite')
  const run = new Running(['run', '--name', 'web', '-m', '32M', '--kernel', kernel])
  await run.sees('>')
  run.type('hello')
  await run.sees('hello')
  run.type('r')
  await run.sees('>')
  expect(await states()).toEqual({ web: 'running' })
  expect(statSync(socket).mode & 0o777).toBe(0o600)
  run.interrupt()
  expect((await run.ended).status).toBe(130)
  const console_ = new Running(['console', 'web'])
  // What it attaches to stands in the middle of a line.
  await console_.sees('>hello>')
  console_.type('again')
  await console_.sees('again')
  const stopped = await tenon('stop', 'web')
  expect(stopped).toMatchObject({ status: 0, stderr: expect.stringContaining('web has ended: it powered off') as string })
  expect(await console_.ended).toMatchObject({ status: 0, stderr: 'tenon: web has ended: it powered off\n' })
  expect(await states()).toEqual({ web: 'stopped' })
  expect((await tenon('logs', 'web')).stdout).toBe('>hello>again')
  expect((await tenon('stop', 'web')).stderr).toContain('GUEST_NOT_RUNNING')
  expect((await tenon('run', '--name', 'web', '--kernel', kernel)).stderr).toContain('GUEST_EXISTS')
  expect(await tenon('rm', 'web')).toEqual({ status: 0, stdout: '', stderr: '' })
  expect(await states()).toEqual({})
}, SHORT)

test('a guest that does not listen is killed in the end, and the others run on', async () => {
  await tenon('run', '--name', 'polite', '-d', '-m', '32M', '--kernel', kernelFile('polite'))
  await tenon('run', '--name', 'deaf', '-d', '-m', '32M', '--kernel', kernelFile('deaf', false))
  const stopped = await tenon('stop', '--timeout', '0.5', 'deaf')
  expect(stopped).toMatchObject({ status: 0, stderr: expect.stringContaining('deaf did not power off within 0.5 s, and was killed') as string })
  expect(await states()).toEqual({ deaf: 'stopped', polite: 'running' })
  expect((await tenon('rm', 'polite')).stderr).toContain('GUEST_RUNNING')
  const twice = await Promise.all([tenon('start', 'deaf'), tenon('start', 'deaf')])
  expect(twice.map(({ status }) => status).sort()).toEqual([0, 125])
  expect(twice.map(({ stderr }) => stderr).join()).toContain('GUEST_RUNNING')
}, SHORT)

test('commands that come at once start one process', async () => {
  const kernel = kernelFile('polite')
  const names = ['a', 'b', 'c']
  expect((await Promise.all(names.map(name => tenon('run', '--name', name, '-d', '-m', '32M', '--kernel', kernel)))).map(({ status }) => status)).toEqual([0, 0, 0])
  expect(await states()).toEqual({ a: 'running', b: 'running', c: 'running' })
}, SHORT)

test('after its process was killed, a guest is known to be lost, and starts again with its disk', async () => {
  const disk = join(home, 'disk.raw')
  writeFileSync(disk, '')
  truncateSync(disk, 1 << 20)
  await tenon('run', '--name', 'web', '-d', '-m', '32M', '--kernel', kernelFile('polite'), '--disk', disk)
  const follower = new Running(['logs', '-f', 'web'])
  const attached = new Running(['console', 'web'])
  await follower.sees('>')
  await attached.sees('>')
  const second = await tenon('run', '--name', 'other', '-d', '-m', '32M', '--kernel', kernelFile('polite'), '--disk', disk)
  expect(second.stderr).toContain('DISK_IN_USE')
  const killed = hostProcess()
  process.kill(killed, 'SIGKILL')
  expect((await attached.ended).stderr).toContain('HOST_PROCESS_FAILED')
  expect(existsSync(socket)).toBe(true)
  expect(await states()).toMatchObject({ web: 'failed' })
  expect((await tenon('ls')).stdout).toContain(`its background process (process ${killed}) ended before it`)
  expect((await tenon('start', 'web')).status).toBe(0)
  expect(hostProcess()).not.toBe(killed)
  await follower.sees('>')
  follower.interrupt()
  // Asked to end, the process has its guests power off.
  process.kill(hostProcess(), 'SIGTERM')
  await expect.poll(states, { timeout: 20_000 }).toMatchObject({ web: 'stopped' })
}, SHORT)

test.skipIf(await imageUnavailable())('what Linux writes to its disk is there after a reboot, and what it is in the midst of after it was suspended', async () => {
  const { kernel, initrd } = await openImage('busybox')
  const [kernelPath, initrdPath, disk] = ['linux', 'initrd', 'disk.raw'].map(name => join(home, name))
  writeFileSync(kernelPath, kernel)
  writeFileSync(initrdPath, initrd)
  writeFileSync(disk, '')
  truncateSync(disk, 1 << 20)
  const shared = join(home, 'shared')
  mkdirSync(shared)
  writeFileSync(join(shared, 'text'), 'one\ntwo\n')
  const append = 'console=ttyS0 quiet panic=-1 rdinit=/bin/sh'
  const run = new Running([
    'run', '--name', 'linux', '-m', '256M', '--kernel', kernelPath, '--initrd', initrdPath, '--append', append, '--disk', disk,
    '--share', `${shared}:/m`,
  ])
  await run.sees('/ # ')
  run.type('busybox mount -t devtmpfs d /dev; echo "as it" was > /dev/nvme0n1; busybox sync; busybox reboot -f\r')
  await run.sees('reboot -f')
  await run.sees('/ # ')
  run.type('busybox mount -t proc p /proc; busybox modprobe virtio_pci; busybox modprobe virtiofs; busybox mkdir /m; busybox mount -t virtiofs share0 /m; x=as-before\r')
  await run.sees('/ # ')
  run.type('exec 3</m/text 4>>/m/text; read first <&3; echo $first, rea""dy\r')
  await run.sees('one, ready')
  expect((await tenon('suspend', 'linux')).stderr).toContain('linux is suspended')
  expect(await run.ended).toMatchObject({ status: 0, stderr: expect.stringContaining('linux has ended: it was suspended') as string })
  expect(await states()).toEqual({ linux: 'suspended' })
  const again = new Running(['resume', '-a', 'linux'])
  again.type('read second <&3; echo $x $second, go""ing; echo three >&4\r')
  await again.sees('as-before two, going')
  again.type('busybox mount -t devtmpfs d /dev; busybox head -c 9 /dev/nvme0n1; busybox poweroff -f\r')
  await again.sees('\nas it was')
  expect(await again.ended).toMatchObject({ status: 0, stderr: expect.stringContaining('linux has ended: it powered off') as string })
  expect(readFileSync(disk).subarray(0, 9).toString()).toBe('as it was')
  expect(readFileSync(join(shared, 'text'), 'utf8')).toBe('one\ntwo\nthree\n')
}, BOOT)
