/** Machines that are saved and go on, on their threads. The build must be up to date. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { KERNEL_ADDRESS, pvhNote, syntheticElf } from '../../vmm/boot/testing/synthetic-kernels.ts'
import { AgentClient } from '../agent/client.ts'
import { listSnapshots } from '../disk-files/change.ts'
import { checkDisk } from '../disk-files/check.ts'
import { createDisk } from '../disk-files/create.ts'
import { takeSnapshot } from '../guests/guest-snapshots.ts'
import { OUTPUT_CAPACITY } from './channel.ts'
import type { MachineOptions, MachineSession, ResumeMachine, StartMachine } from './session.ts'

const compiled = new URL('../../../dist/host/machine/start.js', import.meta.url)
let startMachine: StartMachine
let resumeMachine: ResumeMachine
let folder: string

beforeAll(async () => {
  if (!existsSync(compiled)) throw new Error('there is no build in dist/: npm run build')
  const start = await import(compiled.href) as { startMachine: StartMachine, resumeMachine: ResumeMachine }
  startMachine = start.startMachine
  resumeMachine = start.resumeMachine
  folder = mkdtempSync(join(tmpdir(), 'tenon-snapshots-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const MEMORY = 32 * 1024 ** 2
const WRONG = (code: string): Error => expect.objectContaining({ name: 'TenonError', code }) as Error

/** Answers each byte of COM1 with the sum of all so far. */
const SUM = [
  '30 db', '66 ba fd 03', 'ec a8 01 74 fb', '66 ba f8 03 ec 00 c3', '66 ba fd 03', 'ec a8 20 74 fb', '66 ba f8 03 88 d8 ee', 'eb de',
]
/** Sends 300,000 bytes that count up, then powers off. */
const COUNT = 300_000
const FLOOD = [
  'b9 e0 93 04 00 31 db', '66 ba fd 03', 'ec a8 20 74 fb', '66 ba f8 03 88 d8 ee', '43', '49 75 ec', '66 ba 04 06 66 b8 00 34 66 ef eb fe',
]

function kernel(hex: readonly string[]): Uint8Array {
  const bytes = Uint8Array.from(hex.join(' ').split(' '), byte => parseInt(byte, 16))
  return syntheticElf({ segments: [{ physical: KERNEL_ADDRESS, bytes, memorySize: 0x10000 }], notes: pvhNote(KERNEL_ADDRESS) })
}

/** What came from COM1, and waiting for it. */
class Output {
  readonly bytes: number[] = []
  isOpen = true
  private wake = (): void => undefined

  readonly owner = { receive: (bytes: Uint8Array): boolean => this.take(bytes) }

  async until(length: number): Promise<void> {
    while (this.bytes.length < length) await new Promise<void>(resolve => { this.wake = resolve })
  }

  private take(bytes: Uint8Array): boolean {
    this.bytes.push(...bytes)
    this.wake()
    return this.isOpen
  }
}

const start = (code: readonly string[], output: Output): Promise<MachineSession> =>
  startMachine({ memoryBytes: MEMORY, kernel: kernel(code), commandLine: '', serial: [output.owner] })
const resume = (snapshot: string, output: Output, options: Partial<MachineOptions> = {}): Promise<MachineSession> =>
  resumeMachine({ memoryBytes: MEMORY, serial: [output.owner], ...options, snapshot })

async function end(session: MachineSession): Promise<void> {
  session.kill()
  await session.exited
}

/** A snapshot of the guest that sums, after 1, 2 and 3. */
async function sumOfSix(path: string): Promise<void> {
  const output = new Output()
  const session = await start(SUM, output)
  await session.serial[0].write(Uint8Array.of(1, 2, 3))
  await output.until(3)
  await session.snapshots!.pause()
  await session.snapshots!.save(path)
  await end(session)
  expect(output.bytes).toEqual([1, 3, 6])
}

test('a guest goes on in another machine', async () => {
  const path = join(folder, 'sum')
  await sumOfSix(path)
  const output = new Output()
  const session = await resume(path, output)
  await session.serial[0].write(Uint8Array.of(10))
  await output.until(1)
  await end(session)
  expect(output.bytes).toEqual([16])
})

test('a guest that is paused does nothing; saved, it goes on unless it was', async () => {
  const output = new Output()
  const path = join(folder, 'going')
  const session = await start(SUM, output)
  const { snapshots } = session
  await snapshots!.pause()
  void session.serial[0].write(Uint8Array.of(1))
  await snapshots!.save(path)
  await new Promise(resolve => setTimeout(resolve, 200))
  expect(output.bytes).toEqual([])
  await snapshots!.resume()
  await output.until(1)
  await snapshots!.save(path)
  await session.serial[0].write(Uint8Array.of(5))
  await output.until(2)
  const pending = snapshots!.pause()
  session.kill()
  await Promise.allSettled([pending])
  await session.exited
  await expect(snapshots!.save(path)).rejects.toEqual(WRONG('MACHINE_ENDED'))
  expect(output.bytes).toEqual([1, 6])
})

test('a guest that was held back goes on where it was, and loses nothing', async () => {
  const [before, after] = [new Output(), new Output()]
  before.isOpen = false
  const session = await start(FLOOD, before)
  await new Promise(resolve => setTimeout(resolve, 2000))
  const path = join(folder, 'flood')
  await session.snapshots!.pause()
  await session.snapshots!.save(path)
  before.isOpen = true
  session.serial[0].resume()
  await before.until(OUTPUT_CAPACITY * 3 / 4)
  await end(session)
  const other = await resume(path, after)
  expect((await other.exited).reason).toBe('power-off')
  const all = [...before.bytes, ...after.bytes]
  expect([all.length, all.every((byte, index) => byte === (index & 0xff))]).toEqual([COUNT, true])
}, 60_000)

test('a guest goes on with its disks on every bus, and not with others', async () => {
  const path = join(folder, 'disks')
  const disks = (['virtio', 'scsi', 'nvme', 'scsi'] as const).map(bus => ({ graph: { kind: 'memory', size: 1 << 20 }, bus }))
  const output = new Output()
  const session = await startMachine({ memoryBytes: MEMORY, kernel: kernel(SUM), commandLine: '', serial: [output.owner], disks })
  await session.serial[0].write(Uint8Array.of(4))
  await output.until(1)
  await session.snapshots!.pause()
  await session.snapshots!.save(path)
  await end(session)
  await expect(resume(path, output, { disks: disks.map(disk => ({ ...disk, bus: 'nvme' as const })) })).rejects.toEqual(WRONG('SNAPSHOT_MISMATCH'))
  const again = await resume(path, output, { disks })
  await again.serial[0].write(Uint8Array.of(5))
  await output.until(2)
  await end(again)
  expect(output.bytes).toEqual([4, 9])
}, 60_000)

test('disks have snapshots taken while the guest stands still, and the one who wants them is told whose they are', async () => {
  const path = join(folder, 'disk.qcow2')
  await createDisk(path, { format: 'qcow2', size: 1 << 20 })
  const output = new Output()
  const disks = [{ graph: { kind: 'file', path } }]
  const session = await startMachine({ memoryBytes: MEMORY, kernel: kernel(SUM), commandLine: '', serial: [output.owner], disks, guest: 'web' })
  const agent = new AgentClient(async () => {})
  expect(await takeSnapshot({ agent, machine: session }, 'one')).toMatchObject({ frozen: 0, snapshots: [{ disk: path, name: 'one' }] })
  await session.serial[0].write(Uint8Array.of(7))
  await output.until(1)
  await expect(listSnapshots(path)).rejects.toThrow(`the guest web (process ${process.pid}) has it open for writing`)
  await expect(takeSnapshot({ agent, machine: session }, 'one')).rejects.toEqual(WRONG('DISK_EXISTS'))
  await session.serial[0].write(Uint8Array.of(1))
  await output.until(2)
  const late = takeSnapshot({ agent, machine: session }, 'late').catch((error: unknown) => error)
  await end(session)
  await late
  expect((await listSnapshots(path))[0].name).toBe('one')
  expect(await checkDisk(path, 'none')).toMatchObject({ errorCount: 0, leaks: 0 })
  const without = await start(SUM, new Output())
  await expect(takeSnapshot({ agent, machine: without }, 'x')).rejects.toEqual(WRONG('GUEST_NOT_RUNNING'))
  await end(without)
})

test('what is no snapshot of this machine is refused', async () => {
  const [path, other] = [join(folder, 'whole'), join(folder, 'other')]
  await sumOfSix(path)
  const output = new Output()
  await expect(resume(join(folder, 'none'), output)).rejects.toEqual(WRONG('SNAPSHOT_UNREADABLE'))
  writeFileSync(other, new Uint8Array(512))
  await expect(resume(path, output, { disks: [{ graph: other }] })).rejects.toEqual(WRONG('SNAPSHOT_MISMATCH'))
  const bytes = readFileSync(path)
  bytes[bytes.length - 100] ^= 1
  writeFileSync(other, bytes)
  await expect(resume(other, output)).rejects.toEqual(WRONG('SNAPSHOT_INVALID'))
}, 60_000)

test('machines in lockstep cannot be saved', async () => {
  const session = await startMachine({
    memoryBytes: MEMORY, kernel: kernel(SUM), commandLine: '', serial: [new Output().owner], lockstep: true,
  })
  expect(session.snapshots).toBeUndefined()
  await end(session)
})
