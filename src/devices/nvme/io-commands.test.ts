import { describe, expect, test } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import { Status } from './status.ts'
import { MEMORY } from './testing/driver.ts'
import { FakeDisk } from './testing/fake-disk.ts'
import { started } from './testing/started.ts'

const READ = 2
const WRITE = 1
const FLUSH = 0
const ZEROES = 8
const DATASET = 9

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
    const got = Buffer.concat(parts).subarray(0, 1 << 20)
    expect(Buffer.compare(got, disk.content.subarray(2560, 2560 + (1 << 20)))).toBe(0)
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
    const read = { opcode: READ, namespace: 1, prp1: 0x50000, prp2: 0x51000, dwords: [0, 0, 0] }
    expect(driver.run({ ...read, ...fields }, queue).status).toBe(status)
  })

  test.each([
    ['io-error', Status.UNRECOVERED_READ_ERROR, Status.WRITE_FAULT], ['no-space', Status.CAPACITY_EXCEEDED, Status.CAPACITY_EXCEEDED],
  ] as const)(
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
    for (const namespace of [0, 3]) expect(driver.run({ opcode: FLUSH, namespace }, queue).status).toBe(Status.INVALID_NAMESPACE)
    expect(disks.map(({ log }) => log.length)).toEqual([1, 2])
  })

  test('Dataset Management deallocates its ranges, if all of them are there', () => {
    const { driver, queue, disk } = started()
    const ranges = new Uint32Array([0, 8, 16, 0, 0, 0, 0, 0, 5, 1, 100, 0])
    driver.memory.write(gpa(0x50ff0), new Uint8Array(ranges.buffer, 0, 16))
    driver.memory.write(gpa(0x70000), new Uint8Array(ranges.buffer, 16))
    const command = { opcode: DATASET, namespace: 1, prp1: 0x50ff0, prp2: 0x70000 }
    const run = (ad: number): number => driver.run({ ...command, dwords: [2, ad] }, queue).status
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
    const status = (opcode: number): number => driver.run({ opcode, namespace: 1, prp1: 0x50000, dwords: [0, 0, 0] }, queue).status
    for (const opcode of [WRITE, ZEROES, DATASET]) expect(status(opcode)).toBe(Status.NAMESPACE_WRITE_PROTECTED)
    for (const opcode of [READ, FLUSH]) expect(status(opcode)).toBe(Status.SUCCESS)
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
