/**
 * Disks of the built machine: the stock Debian kernel of the image `busybox` finds NVMe, SCSI and virtio disks, and what it
 * writes is in the host's file when the machine's end is reported. The build must be up to date: `npm test` sees to it.
 */
import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TenonError } from '../../base/errors.ts'
import type { BlockStatus } from '../../machine/block.ts'
import { createQcow2 } from '../../storage/qcow2/create.ts'
import { startImageSession } from '../guest/image-session.ts'
import { openImage } from '../images/open-image.ts'
import { Bell, MachineChannel } from '../machine/channel.ts'
import type { MachineExit } from '../machine/machine-exit.ts'
import type { MachineSession, StartMachine } from '../machine/session.ts'
import { imageUnavailable } from '../../../test/images.ts'
import { DiskChannel } from './disk-channel.ts'
import { openDiskFile } from './disk-file.ts'
import type { DiskOrder } from './disk-order.ts'
import { DiskQueue } from './disk-queue.ts'
import type { DiskThread } from './disk-thread.ts'

const BOOT = 240_000
const MEMORY = 256 * 1024 ** 2
const unavailable = await imageUnavailable()
const hasE2fsck = spawnSync('e2fsck', ['-V']).status === 0

const compiled = (path: string): string => new URL(`../../../dist/host/${path}`, import.meta.url).href
let startMachine: StartMachine
let Thread: typeof DiskThread
let folder: string
beforeAll(async () => {
  if (!existsSync(new URL(compiled('machine/start.js')))) throw new Error('there is no build in dist/: npm run build')
  startMachine = (await import(compiled('machine/start.js')) as { startMachine: StartMachine }).startMachine
  Thread = (await import(compiled('disks/disk-thread.js')) as { DiskThread: typeof DiskThread }).DiskThread
  folder = mkdtempSync(join(tmpdir(), 'tenon-disks-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

interface Result { readonly status: number, readonly stdout: string, readonly stderr: string, readonly exit: MachineExit }

/** Runs a script of the guest's shell with these disks. */
async function runGuest(script: string, disks: readonly DiskOrder[], onMachine?: (machine: MachineSession) => void): Promise<Result> {
  const output = ['', '']
  const [stdout, stderr] = output.map((_, index) => new Writable({
    write(chunk: Buffer, _encoding, done) {
      output[index] += chunk.toString()
      done()
    },
  }))
  let machine: MachineSession | undefined
  const session = await startImageSession({
    startMachine: async options => {
      machine = await startMachine({ ...options, disks })
      onMachine?.(machine)
      return machine
    },
    memoryBytes: MEMORY, image: await openImage('busybox'), stdin: Readable.from([]), stdout, stderr, bootTimeoutMs: BOOT,
    request: { mode: 'with_pipes', argv: ['sh', '-c', script], environment: {} },
  })
  const status = await session.status
  return { status, stdout: output[0], stderr: output[1], exit: await machine!.exited }
}

const withCode = (code: string): Error => expect.objectContaining({ name: 'TenonError', code }) as Error
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

describe.skipIf(unavailable)('a guest with disks', () => {
  test('reads what the host wrote, and the host what the guest wrote', async () => {
    const [first, second, third] = ['first.img', 'second.img', 'third.img'].map(name => join(folder, name))
    const content = randomBytes(24 << 20)
    writeFileSync(first, content)
    for (const [path, size] of [[second, 16 << 20], [third, 32 << 20]] as const) {
      writeFileSync(path, '')
      truncateSync(path, size)
    }
    const [unit, last] = ['unit.img', 'last.img'].map(name => join(folder, name))
    writeFileSync(unit, content.subarray(0, 4 << 20))
    writeFileSync(last, new Uint8Array(8 << 20))
    const script = `set -e
      grep nvme0n /proc/partitions | sed 's/  */ /g'
      cat /sys/block/nvme0n1/ro /sys/block/nvme0n2/queue/logical_block_size /sys/block/nvme0n2/queue/write_cache
      sha256sum </dev/nvme0n1
      dd if=/dev/nvme0n1 of=/dev/nvme0n2 bs=64k count=100 skip=7 seek=3 status=none
      dd if=/dev/nvme0n1 of=/dev/nvme0n2 bs=4k count=300 seek=2000 skip=11 oflag=direct status=none
      ! dd if=/dev/zero of=/dev/nvme0n1 bs=4k count=1 2>/dev/null
      mke2fs /dev/nvme0n3 >/dev/null 2>&1
      mount -t ext4 /dev/nvme0n3 /mnt
      for i in 1 2 3 4 5 6 7 8; do dd if=/dev/nvme0n1 of=/mnt/$i bs=100k count=20 skip=$i status=none; done
      rm /mnt/3 /mnt/5
      umount /mnt
      dd if=/dev/nvme0n1 of=/dev/nvme0n4 bs=1M count=4 status=none
      blkdiscard -o 1048576 -l 1048576 /dev/nvme0n4
      sync; echo 3 >/proc/sys/vm/drop_caches
      dd if=/dev/nvme0n4 bs=1M count=4 status=none | sha256sum
      grep -c nvme0q /proc/interrupts
      zero=$(ls /sys/bus/scsi/devices/0:0:0:0/block) one=$(ls /sys/bus/scsi/devices/0:0:0:1/block)
      cat /sys/block/vda/serial; echo; cat /sys/block/$zero/ro /sys/block/$one/ro /sys/block/vda/ro
      grep -c . /sys/class/scsi_host/host*/proc_name
      for unit in $zero $one; do dd if=/sys/block/$unit/device/vpd_pg80 bs=1 skip=4 status=none; echo; done
      dd if=/dev/nvme0n1 of=/dev/vda bs=64k count=128 status=none; dd if=/dev/vda of=/dev/$one bs=96k oflag=direct status=none; sync
      sha256sum </dev/$one; sha256sum </dev/$zero
      ! dd if=/dev/zero of=/dev/$zero bs=4k count=1 oflag=direct 2>/dev/null`
    const { status, stdout, stderr, exit } = await runGuest(script, [
      { graph: { kind: 'file', path: first, readOnly: true } }, { graph: { kind: 'file', path: second }, blockSize: 4096 },
      { graph: { kind: 'file', path: third } }, { graph: { kind: 'memory', size: 8 << 20 } },
      { graph: { kind: 'file', path: unit, readOnly: true }, bus: 'scsi' }, { graph: { kind: 'memory', size: 8 << 20 }, bus: 'virtio', serial: 'virtio-one' },
      { graph: { kind: 'file', path: last }, bus: 'scsi', serial: 'scsi-two' },
    ])
    const discarded = Buffer.concat([content.subarray(0, 1 << 20), Buffer.alloc(1 << 20), content.subarray(2 << 20, 4 << 20)])
    expect({ stdout, stderr }).toEqual({
      stdout: [
        ' 259 0 24576 nvme0n1', ' 259 1 16384 nvme0n2', ' 259 2 32768 nvme0n3', ' 259 3 8192 nvme0n4', '1', '4096', 'write back',
        `${sha256(content)}  -`, `${sha256(discarded)}  -`, '2',
        'virtio-one', '1', '0', '0', '1', 'tenon-disk-4', 'scsi-two',
        `${sha256(content.subarray(0, 8 << 20))}  -`, `${sha256(content.subarray(0, 4 << 20))}  -`, '',
      ].join('\n'),
      stderr: '',
    })
    expect([status, exit.reason]).toEqual([0, 'power-off'])
    const copy = Buffer.alloc(16 << 20)
    content.copy(copy, 3 << 16, 7 << 16, 107 << 16)
    content.copy(copy, 2000 << 12, 11 << 12, 311 << 12)
    expect(readFileSync(second).equals(copy)).toBe(true)
    expect(readFileSync(first).equals(content)).toBe(true)
    expect([readFileSync(last).equals(content.subarray(0, 8 << 20)), readFileSync(unit).equals(content.subarray(0, 4 << 20))]).toEqual([true, true])
    if (!hasE2fsck) process.stderr.write('skipped: e2fsck is not there to check the guest\'s file system\n')
    else expect(spawnSync('e2fsck', ['-fn', third], { encoding: 'utf8' })).toMatchObject({ status: 0 })
  }, BOOT)
})

test('disks that cannot be opened refuse the machine', async () => {
  const options = { memoryBytes: MEMORY, kernel: new Uint8Array(100), commandLine: '', serial: [] }
  const none = { graph: { kind: 'file', path: join(folder, 'none') } } as const
  await expect(startMachine({ ...options, disks: [none] })).rejects.toEqual(withCode('DISK_NOT_FOUND'))
  // And a machine that is refused gives its disks back.
  const memory = { graph: { kind: 'memory', size: 4096 } } as const
  await expect(startMachine({ ...options, disks: [memory] })).rejects.toEqual(withCode('KERNEL_NOT_RECOGNISED'))
})

/** A machine's side of a disk thread of `dist/`. */
async function fakeMachine(disks: readonly DiskOrder[], pool = new SharedArrayBuffer(1 << 20), kept?: DiskThread): Promise<{
  thread: DiskThread, queue: DiskQueue, memory: Uint8Array, failures: TenonError[], settle(): Promise<void>
}> {
  const failures: TenonError[] = []
  const machine = new MachineChannel()
  const thread = kept ?? await Thread.start(disks, error => failures.push(error))
  const { port, memory, infos } = thread.attach(machine)
  port.postMessage(pool, [])
  const queue = new DiskQueue(new DiskChannel(memory), infos)
  const settle = async (): Promise<void> => {
    while (queue.busy) {
      if (machine.answer() & Bell.DISK) queue.settle()
      await new Promise(resolve => setImmediate(resolve))
    }
  }
  return { thread, queue, memory: new Uint8Array(pool), failures, settle }
}

test('a disk thread reads and writes where the machine says, and closes in order', async () => {
  const path = join(folder, 'plain.img')
  writeFileSync(path, new Uint8Array(1 << 20))
  const { thread, queue, memory, failures, settle } = await fakeMachine([{ graph: { kind: 'file', path } }])
  const statuses: BlockStatus[] = []
  memory.fill(7, 4096, 8192)
  const done = (status: BlockStatus): number => statuses.push(status)
  const request = { offset: 512, length: 4096, segments: [memory.subarray(4096, 8192)], done }
  queue.disks[0].submit({ ...request, operation: 'write' })
  await settle()
  queue.disks[0].submit({ ...request, operation: 'read', segments: [memory.subarray(20_480, 24_576)] })
  await settle()
  expect(memory.subarray(20_480, 24_576).every(byte => byte === 7)).toBe(true)
  // What is under way at the end is done before the end.
  for (let index = 0; index < 100; index++) queue.disks[0].submit({ ...request, operation: 'write', offset: 8192 * index })
  await thread.close()
  queue.settle()
  expect([statuses.length, failures, readFileSync(path).filter(byte => byte === 7).length]).toEqual([102, [], 4096 * 100 + 512])
})

test('a disk thread takes snapshots between requests, and the one that is under way at its end', async () => {
  const path = join(folder, 'snapshots.qcow2')
  const file = await openDiskFile(path, { create: true })
  await createQcow2(file, { size: 1 << 20 }).finally(() => file.close())
  const { thread, queue, memory, failures } = await fakeMachine([{ graph: { kind: 'file', path } }, { graph: { kind: 'memory', size: 4096 } }])
  const statuses: BlockStatus[] = []
  const write = (value: number): void => {
    const segment = memory.subarray(4096 * value, 4096 * value + 4096).fill(value)
    queue.disks[0].submit({ operation: 'write', offset: 0, length: 4096, segments: [segment], done: status => statuses.push(status) })
  }
  const take = (name: string): ReturnType<DiskThread['snapshots']> => thread.snapshots({ action: 'create', name, seconds: 1 })
  write(1)
  const [one, two] = [take('one'), take('two')]
  for (let value = 2; value < 100; value++) write(value)
  expect(await one).toMatchObject({ snapshots: [{ disk: path, id: '1', name: 'one' }], leftOut: ['disk 1 (memory)'] })
  expect(await two).toMatchObject({ snapshots: [{ id: '2' }] })
  await expect(take('one')).rejects.toEqual(withCode('DISK_EXISTS'))
  await expect(openDiskFile(path)).rejects.toEqual(withCode('DISK_IN_USE'))
  const last = take('last')
  await thread.close()
  queue.settle()
  expect([(await last).snapshots.length, statuses.filter(status => status === 'ok').length, failures]).toEqual([1, 99, []])
  await expect(take('late')).rejects.toEqual(withCode('DISK_THREAD_FAILED'))
  if (spawnSync('qemu-img', ['--version']).status !== 0) return void process.stderr.write('skipped: qemu-img is not there to check the snapshots\n')
  expect(spawnSync('qemu-img', ['check', path]).status).toBe(0)
  expect(spawnSync('qemu-img', ['snapshot', '-l', path], { encoding: 'utf8' }).stdout).toMatch(/one[^]*two[^]*last/)
})

test('disks that are kept serve one machine after another, with all that was written', async () => {
  const first = await fakeMachine([{ graph: { kind: 'memory', size: 1 << 20 } }])
  const statuses: BlockStatus[] = []
  const done = (status: BlockStatus): number => statuses.push(status)
  first.memory.fill(9, 0, 512)
  for (let sector = 0; sector < 50; sector++) {
    first.queue.disks[0].submit({ operation: 'write', offset: 512 * sector, length: 512, segments: [first.memory.subarray(0, 512)], done })
  }
  // Its machine is gone with requests under way.
  await first.thread.detach()
  const second = await fakeMachine([], undefined, first.thread)
  second.queue.disks[0].submit({ operation: 'read', offset: 0, length: 25_600, segments: [second.memory.subarray(0, 25_600)], done })
  await second.settle()
  expect(second.memory.subarray(0, 25_600).every(byte => byte === 9)).toBe(true)
  await first.thread.close()
  expect([statuses, first.failures]).toEqual([['ok'], []])
})

test('a disk thread that fails is told of, and its requests fail', async () => {
  const { thread, queue, failures, settle } = await fakeMachine([{ graph: { kind: 'memory', size: 1 << 20 } }], new SharedArrayBuffer(4096))
  const statuses: BlockStatus[] = []
  // No machine asks for memory that its pool does not have.
  const segments = [new Uint8Array(new SharedArrayBuffer(1 << 16), 1 << 15, 512)]
  queue.disks[0].submit({ operation: 'read', offset: 0, length: 512, segments, done: status => statuses.push(status) })
  await settle()
  expect(statuses).toEqual(['io-error'])
  queue.disks[0].submit({ operation: 'flush', offset: 0, length: 0, segments: [], done: status => statuses.push(status) })
  expect(statuses).toEqual(['io-error', 'io-error'])
  await thread.close()
  expect(failures).toEqual([withCode('DISK_THREAD_FAILED')])
  expect(failures[0].message).toMatch(/Invalid typed array length/)
})
