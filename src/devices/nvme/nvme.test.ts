import { describe, expect, test } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import { deviceContract } from '../testing/contract.ts'
import { Random } from '../testing/random.ts'
import { DriverQueue, ENABLE, MEMORY, NvmeDriver, Register, newMemory } from './testing/driver.ts'
import { FakeDisk } from './testing/fake-disk.ts'
import { Status } from './status.ts'

const READ = 2
const WRITE = 1
const FLUSH = 0
const ZEROES = 8
const DATASET = 9
const text = (bytes: Uint8Array): string => String.fromCharCode(...bytes).trimEnd()
const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer)

function started(...disks: FakeDisk[]): { driver: NvmeDriver, queue: DriverQueue, disk: FakeDisk } {
  const all = disks.length > 0 ? disks : [new FakeDisk(1 << 20)]
  const driver = new NvmeDriver(all)
  return { driver, queue: driver.start(), disk: all[0] }
}

describe('registers', () => {
  test('say what the controller can do', () => {
    const driver = new NvmeDriver([new FakeDisk(4096)])
    expect(driver.readRegister(Register.VS)).toBe(0x10400)
    expect(driver.readRegister(Register.CAP) & 0xffff).toBe(1023)
    expect(driver.readRegister(Register.CAP + 4)).toBe(0x20)
    driver.writeRegister(Register.INTMS, 0x80000003)
    driver.writeRegister(Register.INTMC, 1)
    expect([driver.readRegister(Register.INTMS), driver.readRegister(Register.INTMC)]).toEqual([0x80000002, 0x80000002])
    expect(driver.device.readConfig(0x08, 4)).toBe(0x01080201)
  })

  test('enabling makes the controller ready, and disabling does away with all it had', () => {
    const { driver } = started()
    expect(driver.readRegister(Register.CSTS)).toBe(1)
    expect(driver.run({ opcode: 0x09, dwords: [0x06, 0] }).status).toBe(Status.SUCCESS)
    driver.writeRegister(Register.CC, 0)
    expect(driver.readRegister(Register.CSTS)).toBe(0)
    Object.assign(driver.admin, new DriverQueue(0, 0x10000, 0x20000, 16))
    driver.memory.write(gpa(0x20000), new Uint8Array(4096))
    driver.enable()
    expect(driver.run({ opcode: 0x0a, dwords: [0x06] }).result).toBe(1)
    driver.createQueue(1, 16)
  })

  test.each([
    ['queues of one entry', (driver: NvmeDriver) => driver.writeRegister(Register.AQA, 0)],
    ['a submission queue outside RAM', (driver: NvmeDriver) => driver.writeRegister(Register.ASQ, MEMORY - 0x1000 + 0x1000)],
    ['a completion queue far away', (driver: NvmeDriver) => driver.writeRegister(Register.ACQ + 4, 0xffffffff)],
  ])('%s are fatal, until the controller is disabled', (_, damage) => {
    const driver = new NvmeDriver([new FakeDisk(4096)])
    driver.enable()
    driver.writeRegister(Register.CC, 0)
    damage(driver)
    driver.writeRegister(Register.CC, ENABLE)
    expect(driver.readRegister(Register.CSTS)).toBe(2)
    driver.writeRegister(Register.CC, 0)
    expect(driver.readRegister(Register.CSTS)).toBe(0)
  })

  test.each([0x10, 0x80, 0x800])('CC %s, which is not supported, is fatal', (bits) => {
    const driver = new NvmeDriver([new FakeDisk(4096)])
    driver.enable()
    driver.writeRegister(Register.CC, 0)
    driver.writeRegister(Register.CC, ENABLE | bits)
    expect(driver.readRegister(Register.CSTS)).toBe(2)
  })

  test('without bus mastering nothing is taken; with it, what waited is', () => {
    const { driver, queue } = started()
    driver.device.writeConfig(4, 2, 2)
    driver.submit(queue, { opcode: FLUSH, namespace: 1 })
    expect(driver.peek(queue)).toBeUndefined()
    driver.device.writeConfig(4, 2, 6)
    expect(driver.reap(queue)).toHaveLength(1)
  })

  test('shutting down completes what is under way, flushes every disk, and says so', () => {
    const disks = [new FakeDisk(1 << 20), new FakeDisk(1 << 20)]
    const { driver, queue } = started(...disks)
    disks[0].isDeferred = disks[1].isDeferred = true
    driver.transfer(queue, 'write', 0, 1, [0x50000])
    driver.writeRegister(Register.CC, ENABLE | 0x4000)
    expect(driver.readRegister(Register.CSTS)).toBe(5)
    disks[0].answer()
    expect(driver.reap(queue)).toHaveLength(1)
    expect([disks[0].log, disks[1].log]).toEqual([['write 0 512', 'flush 0 0'], ['flush 0 0']])
    disks[1].answer()
    expect(driver.readRegister(Register.CSTS)).toBe(5)
    disks[0].answer()
    expect(driver.readRegister(Register.CSTS)).toBe(9)
  })

  test('a shutdown whose flush fails is complete, and fatal', () => {
    const { driver, disk } = started()
    disk.status = 'io-error'
    driver.writeRegister(Register.CC, ENABLE | 0x8000)
    expect(driver.readRegister(Register.CSTS)).toBe(0xb)
  })

  test('a reset waits for the disks, and completes nothing any more', () => {
    const { driver, queue, disk } = started()
    disk.isDeferred = true
    driver.transfer(queue, 'read', 0, 1, [0x50000])
    driver.writeRegister(Register.CC, 0)
    expect(driver.readRegister(Register.CSTS)).toBe(1)
    driver.writeRegister(Register.CC, ENABLE)
    expect(driver.readRegister(Register.CSTS)).toBe(1)
    disk.answer()
    expect(driver.readRegister(Register.CSTS)).toBe(1)
    expect(driver.peek(queue)).toBeUndefined()
    Object.assign(driver.admin, new DriverQueue(0, 0x10000, 0x20000, 16))
    driver.memory.write(gpa(0x20000), new Uint8Array(4096))
    driver.createQueue(1, 8)
  })
})

describe('admin commands', () => {
  test('Identify describes controller and namespaces', () => {
    const { driver } = started(new FakeDisk(1 << 20), new FakeDisk(1 << 20, { blockSize: 4096, readOnly: true }))
    const controller = driver.data({ opcode: 6, dwords: [1] })
    expect([text(controller.slice(4, 24)), text(controller.slice(24, 64)), text(controller.slice(64, 72))]).toEqual(['fake-disk', 'Tenon NVMe controller', '1'])
    expect(view(controller).getUint32(516, true)).toBe(2)
    expect(view(controller).getUint32(80, true)).toBe(0x10400)
    expect(text(controller.slice(768, 824))).toMatch(/^nqn\.2014-08\.org\.nvmexpress:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab]/)
    const [first, second] = [1, 2].map((namespace) => view(driver.data({ opcode: 6, namespace, dwords: [0] })))
    expect([first.getBigUint64(0, true), first.getUint8(130), first.getUint8(99)]).toEqual([2048n, 9, 0])
    expect([second.getBigUint64(0, true), second.getUint8(130), second.getUint8(99)]).toEqual([256n, 12, 1])
    expect(Array.from(new Uint32Array(driver.data({ opcode: 6, dwords: [2] }).buffer, 0, 4))).toEqual([1, 2, 0, 0])
    expect(Array.from(new Uint32Array(driver.data({ opcode: 6, namespace: 1, dwords: [2] }).buffer, 0, 2))).toEqual([2, 0])
    const descriptors = [1, 2].map((namespace) => driver.data({ opcode: 6, namespace, dwords: [3] }).slice(0, 24))
    expect(Array.from(descriptors[0].slice(0, 4))).toEqual([3, 16, 0, 0])
    expect(descriptors[0]).not.toEqual(descriptors[1])
  })

  test.each([
    ['Identify of no namespace', { opcode: 6, namespace: 3, dwords: [0] }, Status.INVALID_NAMESPACE],
    ['Identify of all namespaces', { opcode: 6, namespace: 0xffffffff, dwords: [0] }, Status.INVALID_NAMESPACE],
    ['a list after the last number', { opcode: 6, namespace: 0xfffffffe, dwords: [2] }, Status.INVALID_NAMESPACE],
    ['an unknown structure', { opcode: 6, dwords: [0x1c] }, Status.INVALID_FIELD],
    ['data outside RAM', { opcode: 6, dwords: [1], prp1: MEMORY }, Status.DATA_TRANSFER_ERROR],
    ['data at an odd place', { opcode: 6, dwords: [1], prp1: 0x30001 }, Status.PRP_OFFSET_INVALID],
    ['a second page at an offset', { opcode: 6, dwords: [1], prp1: 0x30004, prp2: 0x31004 }, Status.PRP_OFFSET_INVALID],
    ['an opcode that there is not', { opcode: 0x7f }, Status.INVALID_OPCODE],
    ['a scatter gather list', { opcode: 6, dwords: [1], flags: 0x40 }, Status.INVALID_FIELD],
    ['a fused command', { opcode: 6, dwords: [1], flags: 1 }, Status.INVALID_FIELD],
    ['an unknown log page', { opcode: 2, dwords: [0x70] }, Status.INVALID_LOG_PAGE],
    ['a log page of a namespace', { opcode: 2, namespace: 1, dwords: [0x7f0002] }, Status.INVALID_FIELD],
    ['a log page that is too long', { opcode: 2, dwords: [0xffff0002, 0xffff] }, Status.INVALID_FIELD],
    ['a log page from beyond its end', { opcode: 2, dwords: [0x7f0002, 0, 516] }, Status.INVALID_FIELD],
    ['saving a feature', { opcode: 9, dwords: [0x80000006, 1] }, Status.FEATURE_NOT_SAVEABLE],
    ['an unknown feature', { opcode: 9, dwords: [0x7f, 1] }, Status.INVALID_FIELD],
    ['another power state', { opcode: 9, dwords: [2, 1] }, Status.INVALID_FIELD],
    ['65536 queues', { opcode: 9, dwords: [7, 0xffff] }, Status.INVALID_FIELD],
    ['a number of queues too late', { opcode: 9, dwords: [7, 0x10001] }, Status.COMMAND_SEQUENCE_ERROR],
    ['a vector that there is not', { opcode: 9, dwords: [9, 17] }, Status.INVALID_FIELD],
    ['reading a default', { opcode: 10, dwords: [0x106] }, Status.INVALID_FIELD],
    ['a queue that is there', { opcode: 5, prp1: 0x60000, dwords: [0x3f0001, 3] }, Status.INVALID_QUEUE_IDENTIFIER],
    ['the admin queue again', { opcode: 5, prp1: 0x60000, dwords: [0x3f0000, 3] }, Status.INVALID_QUEUE_IDENTIFIER],
    ['a queue too many', { opcode: 5, prp1: 0x60000, dwords: [0x3f0011, 3] }, Status.INVALID_QUEUE_IDENTIFIER],
    ['a queue of one entry', { opcode: 5, prp1: 0x60000, dwords: [0x2, 3] }, Status.INVALID_QUEUE_SIZE],
    ['a queue that is too large', { opcode: 5, prp1: 0x60000, dwords: [0x4000002, 3] }, Status.INVALID_QUEUE_SIZE],
    ['a queue in pieces', { opcode: 5, prp1: 0x60000, dwords: [0x3f0002, 2] }, Status.INVALID_FIELD],
    ['a queue at an offset', { opcode: 5, prp1: 0x60010, dwords: [0x3f0002, 3] }, Status.PRP_OFFSET_INVALID],
    ['a queue outside RAM', { opcode: 5, prp1: MEMORY, dwords: [0x3f0002, 3] }, Status.DATA_TRANSFER_ERROR],
    ['a queue with an impossible vector', { opcode: 5, prp1: 0x60000, dwords: [0x3f0002, 0x110003] }, Status.INVALID_INTERRUPT_VECTOR],
    ['a submission queue without a completion queue', { opcode: 1, prp1: 0x60000, dwords: [0x3f0002, 0x20001] }, Status.COMPLETION_QUEUE_INVALID],
    ['a submission queue with the admin queue', { opcode: 1, prp1: 0x60000, dwords: [0x3f0002, 1] }, Status.INVALID_QUEUE_IDENTIFIER],
    ['deleting the admin queue', { opcode: 0, dwords: [0] }, Status.INVALID_QUEUE_IDENTIFIER],
    ['deleting no queue', { opcode: 4, dwords: [9] }, Status.INVALID_QUEUE_IDENTIFIER],
    ['deleting a completion queue in use', { opcode: 4, dwords: [1] }, Status.INVALID_QUEUE_DELETION],
  ])('%s is refused', (_, fields, status) => {
    const { driver } = started()
    const completion = driver.run({ prp1: 0x30000, prp2: 0x31000, ...fields })
    expect([completion.status, completion.doNotRetry]).toEqual([status, true])
    expect(view(driver.data({ opcode: 2, dwords: [0x3ff0001] })).getUint16(12, true) >> 1 & 0x7ff).toBe(status)
  })

  test('features are kept until the controller is disabled', () => {
    const { driver } = started()
    for (const [feature, value, expected] of [[1, 0x01020303, 0x01020303], [4, 0x100, 0x100], [5, 0xabcd, 0xabcd], [6, 0, 0], [8, 0x1234, 0x1234], [10, 1, 1], [11, 2, 2]]) {
      expect(driver.run({ opcode: 9, dwords: [feature, value] }).status).toBe(Status.SUCCESS)
      expect(driver.run({ opcode: 10, dwords: [feature] }).result).toBe(expected)
    }
    expect(driver.run({ opcode: 9, dwords: [9, 0x10002] }).status).toBe(Status.SUCCESS)
    expect(driver.run({ opcode: 10, dwords: [9, 2] }).result).toBe(0x10002)
    expect(driver.run({ opcode: 10, dwords: [7] }).result).toBe(0xf000f)
    expect(driver.run({ opcode: 10, dwords: [2] }).result).toBe(0)
  })

  test('SMART counts what was moved, and warns', () => {
    const { driver, queue, disk } = started()
    driver.transfer(queue, 'read', 0, 8, [0x50000])
    driver.transfer(queue, 'write', 0, 8, [0x50000])
    driver.transfer(queue, 'read', 0, 8, [0x50000])
    disk.status = 'io-error'
    driver.transfer(queue, 'read', 0, 8, [0x50000])
    driver.clock.advance(2.5 * 3600e9)
    driver.run({ opcode: 9, dwords: [4, 200] })
    const smart = view(driver.data({ opcode: 2, namespace: 0xffffffff, dwords: [0x7f0002] }))
    expect([smart.getUint8(0), smart.getUint16(1, true)]).toEqual([2, 298])
    expect([32, 48, 64, 80, 128, 160, 176].map((offset) => smart.getBigUint64(offset, true))).toEqual([1n, 1n, 2n, 1n, 2n, 1n, 1n])
  })

  test('other log pages name the firmware and the commands', () => {
    const { driver } = started()
    expect(text(driver.data({ opcode: 2, dwords: [0x7f0003] }).slice(8, 16))).toBe('1')
    const commands = driver.data({ opcode: 2, dwords: [0x3ff0005] })
    const supported = [0, 1024].map((start) => Array.from({ length: 256 }, (_, opcode) => opcode).filter((opcode) => commands[start + 4 * opcode] & 1))
    expect(supported).toEqual([[0, 1, 2, 4, 5, 6, 8, 9, 10, 12], [0, 1, 2, 8, 9]])
    expect(driver.data({ opcode: 2, dwords: [0x70005, 0, 1024] }).slice(0, 32)).toEqual(commands.slice(1024, 1056))
  })

  test('events wait for their requests, come once, and come again when their log was read', () => {
    const { driver } = started()
    const badDoorbell = (): void => driver.writeRegister(Register.DOORBELLS + 8 * 5, 1)
    const first = driver.submit(driver.admin, { opcode: 12 })
    const second = driver.submit(driver.admin, { opcode: 12 })
    expect(driver.reap(driver.admin)).toEqual([])
    badDoorbell()
    badDoorbell()
    expect(driver.reap(driver.admin)).toMatchObject([{ id: first, status: 0, result: 0x10000 }])
    driver.data({ opcode: 2, dwords: [0x3ff8001] })
    driver.writeRegister(Register.DOORBELLS + 8, 64)
    expect(driver.reap(driver.admin)).toEqual([])
    driver.data({ opcode: 2, dwords: [0x3ff0001] })
    driver.writeRegister(Register.DOORBELLS + 8, 64)
    expect(driver.reap(driver.admin)).toMatchObject([{ id: second, status: 0, result: 0x10100 }])
    driver.run({ opcode: 9, dwords: [11, 2] })
    driver.run({ opcode: 9, dwords: [4, 100] })
    expect(driver.run({ opcode: 12 }).result).toBe(0x20101)
  })

  test('four event requests can wait; Abort ends them, and nothing else', () => {
    const { driver, queue, disk } = started()
    const ids = Array.from({ length: 4 }, () => driver.submit(driver.admin, { opcode: 12 }))
    expect(driver.run({ opcode: 12 }).status).toBe(Status.ASYNCHRONOUS_EVENT_LIMIT)
    const abort = driver.submit(driver.admin, { opcode: 8, dwords: [ids[1] << 16] })
    expect(driver.reap(driver.admin)).toMatchObject([{ id: ids[1], status: Status.ABORT_REQUESTED }, { id: abort, status: 0, result: 0 }])
    disk.isDeferred = true
    const read = driver.transfer(queue, 'read', 0, 1, [0x50000])
    expect(driver.run({ opcode: 8, dwords: [read << 16 | 1] }).result).toBe(1)
    disk.answer()
    expect(driver.reap(queue)).toMatchObject([{ id: read, status: 0 }])
  })

  test('a submission queue is deleted when what was taken from it is done', () => {
    const { driver, queue, disk } = started()
    disk.isDeferred = true
    driver.transfer(queue, 'read', 0, 1, [0x50000])
    const deletion = driver.submit(driver.admin, { opcode: 0, dwords: [1] })
    driver.submit(queue, { opcode: FLUSH, namespace: 1 })
    expect(driver.run({ opcode: 0, dwords: [1] }).status).toBe(Status.INVALID_QUEUE_IDENTIFIER)
    expect(driver.run({ opcode: 4, dwords: [1] }).status).toBe(Status.INVALID_QUEUE_DELETION)
    disk.answer()
    expect(driver.reap(driver.admin)).toMatchObject([{ id: deletion, status: 0 }])
    expect(driver.reap(queue)).toMatchObject([{ head: 1 }])
    expect(disk.log).toEqual(['read 0 512'])
    expect(driver.run({ opcode: 4, dwords: [1] }).status).toBe(Status.SUCCESS)
    driver.createQueue(1, 16)
  })
})

describe('reads and writes', () => {
  test('go where the PRPs say, in pages of any order', () => {
    const { driver, queue, disk } = started()
    const before = disk.content.slice()
    driver.transfer(queue, 'read', 3, 20, [0x50200, 0x53000, 0x51000])
    expect(driver.reap(queue)).toMatchObject([{ status: 0 }])
    const got = [...driver.bytes(0x50200, 0xe00), ...driver.bytes(0x53000, 0x1000), ...driver.bytes(0x51000, 10240 - 0x1e00)]
    expect(Buffer.compare(Uint8Array.from(got), before.subarray(1536, 1536 + 10240))).toBe(0)
    driver.memory.write(gpa(0x60000), new Uint8Array(8192).fill(9))
    driver.transfer(queue, 'write', 8, 16, [0x60000, 0x61000])
    expect(driver.reap(queue)).toMatchObject([{ status: 0 }])
    before.fill(9, 4096, 4096 + 8192)
    expect(Buffer.compare(disk.content, before)).toBe(0)
  })

  test('a megabyte goes through lists in two pages, and more does not go', () => {
    const { driver, queue, disk } = started(new FakeDisk(4 << 20))
    const pages = Array.from({ length: 257 }, (_, index) => 0x400000 + 0x1000 * ((index * 97) % 257))
    // The list begins so near its page's end that it goes on in another.
    const list = 0x40f00
    const room = (0x41000 - list) / 8
    const entries = [...pages.slice(1, room), 0x48000, ...pages.slice(room)]
    entries.slice(0, room).forEach((entry, index) => driver.memory.writeU64(gpa(list + 8 * index), BigInt(entry)))
    entries.slice(room).forEach((entry, index) => driver.memory.writeU64(gpa(0x48000 + 8 * index), BigInt(entry)))
    driver.submit(queue, { opcode: READ, namespace: 1, prp1: pages[0] + 0x800, prp2: list, dwords: [5, 0, 2047] })
    expect(driver.reap(queue)).toMatchObject([{ status: 0 }])
    const parts = pages.map((page, index) => driver.bytes(index === 0 ? page + 0x800 : page, index === 0 ? 0x800 : 0x1000))
    expect(Buffer.compare(Buffer.concat(parts).subarray(0, 1 << 20), disk.content.subarray(2560, 2560 + (1 << 20)))).toBe(0)
    driver.submit(queue, { opcode: READ, namespace: 1, prp1: pages[0], prp2: list, dwords: [5, 0, 2048] })
    expect(driver.reap(queue)).toMatchObject([{ status: Status.INVALID_FIELD }])
  })

  test.each([
    ['no namespace', { namespace: 0 }, Status.INVALID_NAMESPACE],
    ['a namespace that there is not', { namespace: 2 }, Status.INVALID_NAMESPACE],
    ['all namespaces', { namespace: 0xffffffff }, Status.INVALID_NAMESPACE],
    ['blocks beyond the end', { dwords: [2047, 0, 1] }, Status.LBA_OUT_OF_RANGE],
    ['blocks at the end of all numbers', { dwords: [0xffffffff, 0xffffffff, 0] }, Status.LBA_OUT_OF_RANGE],
    ['memory that there is not', { prp1: MEMORY }, Status.DATA_TRANSFER_ERROR],
    ['memory at the end of all addresses', { prp1: 2 ** 63 }, Status.DATA_TRANSFER_ERROR],
    ['an unaligned list', { prp2: 0x40004, dwords: [0, 0, 31] }, Status.PRP_OFFSET_INVALID],
    ['a list outside RAM', { prp2: MEMORY, dwords: [0, 0, 31] }, Status.DATA_TRANSFER_ERROR],
    ['a list that crosses the end of RAM', { prp2: MEMORY - 8, dwords: [0, 0, 31] }, Status.DATA_TRANSFER_ERROR],
    ['a list of zeros', { prp2: 0x7f000, dwords: [0, 0, 31] }, Status.SUCCESS],
    ['a scatter gather list', { flags: 0x80 }, Status.INVALID_FIELD],
    ['a fused command', { flags: 2 }, Status.INVALID_FIELD],
    ['Compare', { opcode: 5 }, Status.INVALID_OPCODE],
    ['an opcode of a vendor', { opcode: 0xc0 }, Status.INVALID_OPCODE],
  ])('%s: the status of the specification', (_, fields, status) => {
    const { driver, queue } = started()
    // The last page of RAM is a list whose last entry leads out of it.
    driver.memory.writeU64(gpa(MEMORY - 8), BigInt(MEMORY))
    expect(driver.run({ opcode: READ, namespace: 1, prp1: 0x50000, prp2: 0x51000, dwords: [0, 0, 0], ...fields }, queue).status).toBe(status)
  })

  test.each([['io-error', Status.UNRECOVERED_READ_ERROR, Status.WRITE_FAULT], ['no-space', Status.CAPACITY_EXCEEDED, Status.CAPACITY_EXCEEDED]] as const)(
    'a disk\'s %s is told, and worth a retry', (status, read, write) => {
      const { driver, queue, disk } = started()
      disk.status = status
      driver.transfer(queue, 'read', 0, 1, [0x50000])
      driver.transfer(queue, 'write', 0, 1, [0x50000])
      expect(driver.reap(queue)).toMatchObject([{ status: read, doNotRetry: false }, { status: write, doNotRetry: false }])
    })

  test('FUA, and a write cache that is off, force writes to the disk', () => {
    const { driver, queue, disk } = started()
    const FUA = 0x40000000
    driver.run({ opcode: WRITE, namespace: 1, prp1: 0x50000, dwords: [0, 0, FUA] }, queue)
    driver.run({ opcode: READ, namespace: 1, prp1: 0x50000, dwords: [0, 0, FUA] }, queue)
    driver.run({ opcode: ZEROES, namespace: 1, dwords: [8, 0, FUA | 1 << 25 | 15] }, queue)
    driver.run({ opcode: 9, dwords: [6, 0] })
    driver.run({ opcode: WRITE, namespace: 1, prp1: 0x50000, dwords: [1, 0, 0] }, queue)
    driver.run({ opcode: ZEROES, namespace: 1, dwords: [0, 0, 0xffff] }, queue)
    expect(disk.log).toEqual(['write 0 512 fua', 'read 0 512', 'write-zeroes 4096 8192 fua unmap', 'write 512 512 fua'])
    driver.run({ opcode: ZEROES, namespace: 1, dwords: [0, 0, 2047] }, queue)
    expect(disk.log.at(-1)).toBe('write-zeroes 0 1048576 fua')
  })

  test('Flush is for one namespace or all', () => {
    const disks = [new FakeDisk(4096), new FakeDisk(4096)]
    const { driver, queue } = started(...disks)
    expect(driver.run({ opcode: FLUSH, namespace: 2 }, queue).status).toBe(0)
    expect(driver.run({ opcode: FLUSH, namespace: 0xffffffff }, queue).status).toBe(0)
    expect([0, 3].map((namespace) => driver.run({ opcode: FLUSH, namespace }, queue).status)).toEqual([Status.INVALID_NAMESPACE, Status.INVALID_NAMESPACE])
    expect(disks.map(({ log }) => log.length)).toEqual([1, 2])
  })

  test('Dataset Management deallocates its ranges, if all of them are there', () => {
    const { driver, queue, disk } = started()
    const ranges = new Uint32Array([0, 8, 16, 0, 0, 0, 0, 0, 5, 1, 100, 0])
    driver.memory.write(gpa(0x50ff0), new Uint8Array(ranges.buffer, 0, 16))
    driver.memory.write(gpa(0x70000), new Uint8Array(ranges.buffer, 16))
    const run = (ad: number): number => driver.run({ opcode: DATASET, namespace: 1, prp1: 0x50ff0, prp2: 0x70000, dwords: [2, ad] }, queue).status
    expect([run(0), disk.log]).toEqual([0, []])
    expect([run(4), disk.log]).toEqual([0, ['discard 8192 4096', 'discard 51200 512']])
    driver.memory.writeU32(gpa(0x70018), 2048)
    expect([run(4), disk.log.length]).toEqual([Status.LBA_OUT_OF_RANGE, 2])
    disk.status = 'unsupported'
    driver.memory.writeU32(gpa(0x70018), 0)
    expect(run(4)).toBe(0)
    expect(driver.run({ opcode: DATASET, namespace: 1, prp1: MEMORY, dwords: [0, 4] }, queue).status).toBe(Status.DATA_TRANSFER_ERROR)
  })

  test('a disk that may not be written is protected', () => {
    const { driver, queue } = started(new FakeDisk(1 << 20, { readOnly: true }))
    const status = [WRITE, ZEROES, DATASET, READ, FLUSH].map((opcode) => driver.run({ opcode, namespace: 1, prp1: 0x50000, dwords: [0, 0, 0] }, queue).status)
    expect(status).toEqual([Status.NAMESPACE_WRITE_PROTECTED, Status.NAMESPACE_WRITE_PROTECTED, Status.NAMESPACE_WRITE_PROTECTED, 0, 0])
  })

  test('code that was read over is stale', () => {
    const { driver, queue, disk } = started()
    disk.isDeferred = true
    driver.transfer(queue, 'read', 0, 16, [0x50000, 0x51000])
    const told: number[] = []
    driver.memory.written = (address, length) => told.push(address, length)
    disk.answer()
    expect(told).toEqual([0x50000, 0x2000])
  })
})

describe('queues', () => {
  test('are round, and commands end in any order', () => {
    const { driver, queue, disk } = started()
    for (let round = 0; round < 40; round++) {
      disk.isDeferred = true
      const ids = [0, 1, 2, 3, 4].map((block) => driver.transfer(queue, 'read', block, 1, [0x50000]))
      disk.answer(3)
      disk.answer(0)
      disk.answer(2)
      disk.answer(0)
      disk.answer(0)
      expect(driver.reap(queue).map(({ id }) => id)).toEqual([ids[3], ids[0], ids[4], ids[1], ids[2]])
    }
  })

  test('several share the disks, each with its vector', () => {
    const { driver, queue } = started()
    const others = [2, 3].map((id) => driver.createQueue(id, 16))
    driver.messages.length = 0
    for (const each of [others[1], queue, others[0]]) expect(driver.run({ opcode: FLUSH, namespace: 1 }, each)).toMatchObject({ status: 0, queue: each.id })
    expect(driver.messages).toEqual([3, 1, 2])
  })

  test('a full completion queue holds commands back, and loses none', () => {
    const driver = new NvmeDriver([new FakeDisk(1 << 20)])
    const large = driver.start('msix', 64)
    const small = new DriverQueue(2, 0x600000, 0x610000, 64)
    driver.run({ opcode: 5, prp1: small.completionBase, dwords: [3 << 16 | 2, 2 << 16 | 3] })
    driver.run({ opcode: 1, prp1: small.submissionBase, dwords: [63 << 16 | 2, 2 << 16 | 1] })
    const ids = Array.from({ length: 50 }, () => driver.put(small, { opcode: FLUSH, namespace: 1 }))
    driver.ring(small)
    const reader = new DriverQueue(2, 0, small.completionBase, 4)
    const got: number[] = []
    for (let round = 0; round < 60 && got.length < 50; round++) got.push(...driver.reap(reader).map(({ id }) => id))
    expect(got).toEqual(ids)
    expect(driver.run({ opcode: FLUSH, namespace: 1 }, large).status).toBe(0)
  })

  test('more commands than can be in flight wait in their queue', () => {
    const disk = new FakeDisk(1 << 20)
    const driver = new NvmeDriver([disk])
    const queue = driver.start('msix', 512)
    disk.isDeferred = true
    for (let index = 0; index < 500; index++) driver.put(queue, { opcode: READ, namespace: 1, prp1: 0x50000, dwords: [index, 0, 0] })
    driver.ring(queue)
    expect(disk.waiting.length).toBe(256)
    expect(driver.run({ opcode: 8, dwords: [1] }).result).toBe(1)
    while (disk.waiting.length > 0) disk.answer()
    expect(driver.reap(queue).map(({ status }) => status)).toEqual(Array.from({ length: 500 }, () => 0))
    expect(disk.log).toEqual(Array.from({ length: 500 }, (_, index) => `read ${512 * index} 512`))
  })

  test('have their turns by the arbitration burst', () => {
    const { driver, queue, disk } = started()
    const other = driver.createQueue(2, 64)
    driver.run({ opcode: 9, dwords: [1, 1] })
    driver.device.writeConfig(4, 2, 2)
    for (let block = 0; block < 5; block++) driver.transfer(queue, 'read', block, 1, [0x50000])
    for (let block = 10; block < 13; block++) driver.transfer(other, 'read', block, 1, [0x50000])
    driver.device.writeConfig(4, 2, 6)
    expect(disk.log).toEqual([0, 1, 10, 11, 2, 3, 12, 4].map((block) => `read ${512 * block} 512`))
  })

  test('INTx follows what waits, and the mask', () => {
    const driver = new NvmeDriver([new FakeDisk(1 << 20)])
    const queue = driver.start('intx')
    expect(driver.line.asserted).toBe(false)
    driver.submit(queue, { opcode: FLUSH, namespace: 1 })
    expect(driver.line.asserted).toBe(true)
    driver.writeRegister(Register.INTMS, 2)
    expect(driver.line.asserted).toBe(false)
    driver.writeRegister(Register.INTMC, 2)
    expect(driver.line.asserted).toBe(true)
    driver.reap(queue)
    expect([driver.line.asserted, driver.messages]).toEqual([false, []])
  })
})

describe('a restored controller', () => {
  test('has the disks do again what they had not done', () => {
    const { driver, queue, disk } = started()
    disk.isDeferred = true
    const read = driver.transfer(queue, 'read', 8, 8, [0x50000])
    const flush = driver.submit(queue, { opcode: FLUSH, namespace: 1 })
    const event = driver.submit(driver.admin, { opcode: 12 })
    const deletion = driver.submit(driver.admin, { opcode: 0, dwords: [1] })
    const disks = [new FakeDisk(1 << 20)]
    const copy = driver.moved(disks)
    expect(copy.device.save()).toEqual(driver.device.save())
    expect(disks[0].log).toEqual([])
    copy.device.resume()
    expect(disks[0].log).toEqual(['read 4096 4096', 'flush 0 0'])
    expect(copy.reap(queue)).toMatchObject([{ id: read, status: 0 }, { id: flush, status: 0 }])
    expect(Buffer.compare(copy.bytes(0x50000, 4096), disks[0].content.subarray(4096, 8192))).toBe(0)
    expect(copy.reap(copy.admin)).toMatchObject([{ id: deletion, status: 0 }])
    copy.writeRegister(Register.DOORBELLS + 8 * 7, 1)
    expect(copy.reap(copy.admin)).toMatchObject([{ id: event }])
  })

  test('goes on with a shutdown, and with a reset', () => {
    for (const [configuration, status] of [[ENABLE | 0x4000, 9], [0, 0]]) {
      const { driver, queue, disk } = started()
      disk.isDeferred = true
      driver.transfer(queue, 'write', 0, 1, [0x50000])
      driver.writeRegister(Register.CC, configuration)
      const copy = driver.moved([new FakeDisk(1 << 20)])
      copy.device.resume()
      expect(copy.readRegister(Register.CSTS)).toBe(status)
      // A late answer to the old machine's disk changes nothing in the new one.
      disk.answer()
      expect(copy.readRegister(Register.CSTS)).toBe(status)
    }
  })

  test('a machine\'s reset forgets what is in flight', () => {
    const { driver, queue, disk } = started()
    disk.isDeferred = true
    driver.transfer(queue, 'read', 0, 1, [0x50000])
    driver.device.reset()
    const fresh = driver.device.save()
    disk.answer()
    expect(driver.device.save()).toEqual(fresh)
    expect(fresh).toEqual(new NvmeDriver([new FakeDisk(4096)]).device.save())
  })
})


/** Random accesses and commands, mostly nonsense. */
function disturb(driver: NvmeDriver, random: Random): void {
  const offset = random.pick([0x14, 0x1c, 0x24, 0x28, 0x30, 0x1000, 0x1004, 0x1008, 0x100c, 0x1010, random.below(0x4000) & ~3])
  switch (random.below(8)) {
    case 0: return driver.writeRegister(offset, random.value())
    case 1: return driver.writeRegister(0x1000 + 4 * random.below(6), random.below(70))
    case 2: return driver.memory.write(gpa(random.below(driver.memory.lowSize)), Uint8Array.from({ length: 64 }, () => random.value() & 0xff))
    case 3: return void driver.readRegister(offset)
    default: return command(driver, random)
  }
}

const QUEUES = [0, 1, 2].map((id) => new DriverQueue(id, 0x10000 + id * 0x2000, 0x20000 + id * 0x2000, id === 0 ? 16 : 64))

function command(driver: NvmeDriver, random: Random): void {
  const size = driver.memory.lowSize
  const queue = random.pick(QUEUES)
  queue.tail = random.below(queue.size - 1)
  const address = (): number => random.pick([random.below(size) & ~7, random.below(size) & ~0xfff, random.value(), size - 8])
  const dwords = [random.value(), random.pick([0, 3, 0x10003, random.value()]), random.pick([0, random.below(64), random.value()])]
  driver.submit(queue, {
    opcode: random.pick([0, 1, 2, 5, 6, 8, 9, 10, 12, random.below(256)]), namespace: random.pick([1, 2, 0, random.value()]),
    prp1: address(), prp2: address(), dwords: random.below(2) ? dwords : [random.below(2100), 0, dwords[2]], flags: random.below(8) ? 0 : random.below(256),
    id: random.below(65536),
  })
}

/** A controller with queues 1 and 2, whatever it was before. */
function restart(driver: NvmeDriver): void {
  driver.writeRegister(Register.CC, 0)
  Object.assign(driver.admin, QUEUES[0], { tail: 0, head: 0, phase: 1, nextId: 1 })
  driver.memory.write(gpa(driver.admin.completionBase), new Uint8Array(4096))
  driver.configure()
  driver.enable()
  for (const { id, size, submissionBase, completionBase } of QUEUES.slice(1)) {
    driver.run({ opcode: 0x05, prp1: completionBase, dwords: [size - 1 << 16 | id, id << 16 | 3] })
    driver.run({ opcode: 0x01, prp1: submissionBase, dwords: [size - 1 << 16 | id, id << 16 | 1] })
  }
}

test('no guest hurts the controller', () => {
  let written = 0
  for (let seed = 1; seed <= 12; seed++) {
    const random = new Random(seed)
    const disks = [new FakeDisk(1 << 20), new FakeDisk(1 << 16, { blockSize: 4096 })]
    let driver = new NvmeDriver(disks)
    restart(driver)
    for (let step = 0; step < 1500; step++) {
      for (const disk of disks) {
        disk.isDeferred = random.below(2) === 1
        disk.status = random.pick(['ok', 'ok', 'io-error', 'no-space', 'unsupported'])
        if (random.below(4) === 0 && disk.waiting.length > 0) disk.answer(random.below(disk.waiting.length))
      }
      disturb(driver, random)
      if (random.below(200) === 0) {
        driver = driver.moved(disks)
        driver.device.resume()
      }
      if (random.below(100) !== 0) continue
      driver.writeRegister(Register.CC, 0)
      while (disks.some(({ waiting }) => waiting.length > 0)) for (const disk of disks) disk.answer()
      restart(driver)
      expect(driver.readRegister(Register.CSTS)).toBe(1)
    }
    written += disks[0].log.filter((line) => line.startsWith('write')).length
  }
  expect(written).toBeGreaterThan(100)
})

const CONTRACT_MEMORY = 0x30000

/** A controller and its guest's memory: what comes of a command depends on both. */
class ControllerWithMemory implements Stateful {
  readonly schema = 'nvme-with-memory'
  readonly version = 1
  readonly driver: NvmeDriver

  constructor(driver: NvmeDriver) { this.driver = driver }

  save(): PlainData { return { device: this.driver.device.save(), ram: Buffer.from(this.driver.bytes(0, CONTRACT_MEMORY)).toString('latin1') } }

  restore(state: PlainData): void {
    const { device, ram } = Object(state) as { device: PlainData, ram: PlainData }
    this.driver.memory.write(gpa(0), Buffer.from(String(ram), 'latin1').subarray(0, CONTRACT_MEMORY))
    this.driver.device.restore(device)
  }

  reset(): void {
    this.driver.memory.write(gpa(0), new Uint8Array(CONTRACT_MEMORY))
    this.driver.device.reset()
  }
}

deviceContract('NVMe', (world) => {
  const driver = new NvmeDriver([new FakeDisk(1 << 16)], newMemory(CONTRACT_MEMORY), {
    line: world.line(), clock: world.clock, messages: { sendMessage: (address, data) => world.events.push(`${address} ${data}`) },
  })
  const configRegister = (random: Random): number => random.below(0x50) & ~3
  return {
    device: new ControllerWithMemory(driver),
    mmio: [{ device: driver.device.registers, length: 0x4000, likely: [0x14, 0x24, 0x28, 0x30, 0x0c, 0x10, 0x1000, 0x1004, 0x1008, 0x2000, 0x200c] }],
    actions: [
      (random) => random.below(8) === 0 ? restart(driver) : command(driver, random), (random) => command(driver, random),
      (random) => driver.device.writeConfig(configRegister(random), 4, random.value()), (random) => driver.device.readConfig(configRegister(random), 4),
    ],
  }
})
