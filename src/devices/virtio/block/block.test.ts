import { beforeEach, describe, expect, it } from 'vitest'
import { gpa } from '../../../base/addresses.ts'
import { DeviceStatus, Feature } from '../bits.ts'
import { VirtioDriver } from '../testing/driver.ts'
import type { DriverBuffer } from '../testing/driver.ts'
import { FakeDisk } from '../testing/fake-disk.ts'
import { PlainMemory } from '../testing/plain-memory.ts'
import { attach } from '../testing/function.ts'
import type { AttachedFunction } from '../testing/function.ts'
import { BlockFeature, VirtioBlock } from './block.ts'
import { LIMITS, RequestStatus, RequestType } from './block-request.ts'

const DISK_SIZE = 1 << 20
const FEATURES = [BlockFeature.FLUSH, BlockFeature.DISCARD, BlockFeature.WRITE_ZEROES, Feature.RING_INDIRECT_DESC]

let memory: PlainMemory
let disk: FakeDisk
let block: VirtioBlock
let attached: AttachedFunction
let driver: VirtioDriver

function build(options: ConstructorParameters<typeof FakeDisk>[1] = {}, features: readonly number[] = FEATURES): void {
  memory = new PlainMemory(8 << 20)
  disk = new FakeDisk(DISK_SIZE, options)
  block = new VirtioBlock(disk, { queues: 2 })
  attached = attach(block, memory)
  driver = new VirtioDriver(attached.device, memory).start(features, 64)
}

beforeEach(() => build())

interface Asked { readonly header: number, readonly data: DriverBuffer, readonly status: number }

/** A request's buffers: header, data, status. */
function request(type: number, sector: number, length: number, writable: boolean, content?: Uint8Array): Asked {
  const header = driver.allocate(16)
  memory.writeU32(gpa(header), type)
  memory.writeU64(gpa(header + 8), BigInt(sector))
  const data = { address: driver.allocate(length), length, writable }
  if (content) memory.write(gpa(data.address), content)
  const status = driver.allocate(1)
  memory.writeU8(gpa(status), 0xee)
  return { header, data, status }
}

function buffersOf({ header, data, status }: Asked): DriverBuffer[] {
  return [{ address: header, length: 16, writable: false }, data, { address: status, length: 1, writable: true }]
    .filter(({ length }) => length > 0)
}

function perform(asked: Asked, queue = 0): { status: number, length: number } {
  driver.queues[queue].add(buffersOf(asked))
  driver.queues[queue].notify()
  return { status: memory.readU8(gpa(asked.status)), length: driver.queues[queue].poll()[0]?.length ?? -1 }
}

const bytesOf = ({ data }: Asked): Uint8Array => memory.bytes.slice(data.address, data.address + data.length)
const segment = (sector: number, sectors: number, flags = 0): Uint8Array => {
  const view = new DataView(new ArrayBuffer(16))
  view.setBigUint64(0, BigInt(sector), true)
  view.setUint32(8, sectors, true)
  view.setUint32(12, flags, true)
  return new Uint8Array(view.buffer)
}

describe('what a block device says of itself', () => {
  it('is in its configuration space', () => {
    const words = [0, 4, 8, 12, 0x14, 0x18, 0x20, 0x24, 0x28, 0x2c, 0x30, 0x34, 0x38].map((at) => driver.read(0x2000 + at, 4))
    expect(words).toEqual([
      DISK_SIZE / 512, 0, LIMITS.SEGMENT, LIMITS.SEGMENTS, 512, 0x0008_0003, 0x0002_0001, 2 ** 21, 16, 8, 2 ** 21, 16, 1,
    ])
    expect(driver.read(0x2fff, 1)).toBe(0)
  })

  it('changes with its back end', () => {
    const before = driver.read(0x15, 1)
    Object.defineProperty(disk, 'size', { value: 2 ** 42 })
    block.resized()
    expect([driver.read(0x2000, 4), driver.read(0x2004, 4), driver.read(0x15, 1) - before, driver.isr]).toEqual([0, 2, 1, 2])
  })

  it('offers no writes to what is read-only, and refuses them', () => {
    build({ readOnly: true }, [BlockFeature.RO])
    expect(driver.offered()).not.toContain(BlockFeature.DISCARD)
    expect(driver.offered()).toContain(BlockFeature.RO)
    for (const type of [RequestType.OUT, RequestType.DISCARD, RequestType.WRITE_ZEROES]) {
      expect(perform(request(type, 0, 512, false)).status).toBe(RequestStatus.IOERR)
    }
    expect(disk.log).toEqual([])
  })
})

describe('requests', () => {
  it('read and write where they say', () => {
    const content = Uint8Array.from({ length: 9 * 512 }, (_, index) => index * 3)
    expect(perform(request(RequestType.OUT, 11, content.length, false, content))).toEqual({ status: 0, length: 1 })
    expect(disk.content.slice(11 * 512, 20 * 512)).toEqual(content)
    const read = request(RequestType.IN, 10, 3 * 512, true)
    expect(perform(read, 1)).toEqual({ status: 0, length: 3 * 512 + 1 })
    expect(bytesOf(read)).toEqual(disk.content.slice(10 * 512, 13 * 512))
    expect(memory.writtenRanges).toEqual([read.data.address, 3 * 512])
  })

  it('may be cut up anyhow, and lie in an indirect table', () => {
    const asked = request(RequestType.IN, 4, 2048, true)
    const { address } = asked.data
    // The header in three pieces; data and status in pieces that know nothing of each other.
    const tail = driver.allocate(4000)
    const buffers = [
      { address: asked.header, length: 1, writable: false }, { address: asked.header + 1, length: 0, writable: false },
      { address: asked.header + 1, length: 8, writable: false }, { address: asked.header + 9, length: 7, writable: false },
      { address, length: 3, writable: true }, { address: address + 3, length: 2000, writable: true },
      { address: tail, length: 46, writable: true },
    ]
    driver.queues[0].add(buffers, driver.allocate(16 * buffers.length))
    driver.queues[0].notify()
    expect(driver.queues[0].poll()).toEqual([{ head: expect.any(Number), length: 2049 }])
    const got = Uint8Array.of(...memory.bytes.slice(address, address + 2003), ...memory.bytes.slice(tail, tail + 45))
    expect([got, memory.readU8(gpa(tail + 45))]).toEqual([disk.content.slice(2048, 4096), 0])
  })

  it('flush, discard, write zeroes and tell the serial number', () => {
    expect(perform(request(RequestType.FLUSH, 0, 0, false)).status).toBe(0)
    const ranges = Uint8Array.of(...segment(8, 16), ...segment(100, 1))
    expect(perform(request(RequestType.DISCARD, 0, ranges.length, false, ranges)).status).toBe(0)
    expect(perform(request(RequestType.WRITE_ZEROES, 0, 16, false, segment(64, 8, 1))).status).toBe(0)
    expect(disk.log).toEqual(['flush 0 0', 'discard 4096 8192', 'discard 51200 512', 'write-zeroes 32768 4096  unmap'])
    const id = request(RequestType.GET_ID, 0, 20, true)
    expect(perform(id)).toEqual({ status: 0, length: 21 })
    expect(new TextDecoder().decode(bytesOf(id))).toBe('fake-disk-0123456789')
  })

  it('that are impossible get an error', () => {
    const { IOERR, UNSUPP } = RequestStatus
    const refused: [number, number, number, boolean, Uint8Array | undefined, number][] = [
      [RequestType.IN, DISK_SIZE / 512, 512, true, undefined, IOERR],
      [RequestType.IN, 2 ** 52, 512, true, undefined, IOERR],
      [RequestType.IN, 0, 511, true, undefined, IOERR],
      [RequestType.OUT, DISK_SIZE / 512 - 1, 1024, false, undefined, IOERR],
      [RequestType.IN, 0, LIMITS.TRANSFER + 512, true, undefined, IOERR],
      [77, 0, 512, true, undefined, UNSUPP],
      [RequestType.DISCARD, 0, 15, false, undefined, IOERR],
      [RequestType.DISCARD, 0, 16, false, segment(0, 2 ** 31), IOERR],
      [RequestType.DISCARD, 0, 16, false, segment(DISK_SIZE / 512, 1), IOERR],
      [RequestType.DISCARD, 0, 16, false, segment(0, 8, 1), UNSUPP],
      [RequestType.WRITE_ZEROES, 0, 16, false, segment(0, 8, 2), UNSUPP],
      [RequestType.WRITE_ZEROES, 0, 17 * 16, false, undefined, IOERR],
    ]
    for (const [type, sector, length, writable, content, status] of refused) {
      expect(perform(request(type, sector, length, writable, content)).status).toBe(status)
    }
    expect([disk.log, driver.status & DeviceStatus.DEVICE_NEEDS_RESET]).toEqual([[], 0])
  })

  it('know blocks of 4096 bytes', () => {
    build({ blockSize: 4096 })
    expect([driver.read(0x2014, 4), driver.read(0x2018, 4)]).toEqual([4096, 0x0001_0000])
    expect(perform(request(RequestType.IN, 1, 4096, true)).status).toBe(RequestStatus.IOERR)
    expect(perform(request(RequestType.IN, 8, 4096, true)).status).toBe(RequestStatus.OK)
  })

  it('carry what the back end says', () => {
    for (const [said, status] of [['io-error', 1], ['no-space', 1], ['unsupported', 2], ['ok', 0]] as const) {
      disk.status = said
      expect(perform(request(RequestType.OUT, 0, 512, false)).status).toBe(status)
    }
  })

  it('without room for a status break the device', () => {
    driver.queues[0].add([{ address: driver.allocate(16), length: 16, writable: false }])
    driver.queues[0].notify()
    expect([driver.status & DeviceStatus.DEVICE_NEEDS_RESET, driver.isr]).toEqual([DeviceStatus.DEVICE_NEEDS_RESET, 2])
  })
})

describe('the write cache', () => {
  const write = (): string => {
    perform(request(RequestType.OUT, 0, 512, false))
    return disk.log.pop()!
  }

  it('is written through for a driver that cannot flush', () => {
    build({}, [])
    expect(write()).toBe('write 0 512 fua')
    build({}, [BlockFeature.FLUSH])
    expect(write()).toBe('write 0 512')
  })

  it('can be turned off', () => {
    driver.write(0x2020, 1, 0)
    expect([driver.read(0x2020, 1), write()]).toEqual([1, 'write 0 512'])
    build({}, [BlockFeature.FLUSH, BlockFeature.CONFIG_WCE])
    driver.write(0x2020, 1, 0)
    expect([driver.read(0x2020, 1), write()]).toEqual([0, 'write 0 512 fua'])
    driver.status = 0
    expect(driver.read(0x2020, 1)).toBe(1)
  })
})

describe('requests under way', () => {
  beforeEach(() => build({ deferred: true }))

  it('are answered in any order', () => {
    const asked = [0, 1, 2].map((sector) => request(RequestType.IN, sector, 512, true))
    const heads = asked.map((each) => driver.queues[0].add(buffersOf(each)))
    driver.queues[0].notify()
    expect(driver.queues[0].poll()).toEqual([])
    disk.answer(1)
    disk.answer(1)
    disk.answer(0)
    expect(driver.queues[0].poll().map(({ head }) => head)).toEqual([heads[1], heads[2], heads[0]])
    expect(asked.map((each) => bytesOf(each))).toEqual([0, 1, 2].map((sector) => disk.content.slice(sector * 512, sector * 512 + 512)))
  })

  it('hold up a reset by the driver until they are done', () => {
    const asked = request(RequestType.IN, 0, 512, true)
    driver.queues[0].add(buffersOf(asked))
    driver.queues[0].notify()
    driver.status = 0
    expect(driver.status).not.toBe(0)
    driver.queues[0].add(buffersOf(request(RequestType.IN, 1, 512, true)))
    driver.queues[0].notify()
    expect(disk.waiting.length).toBe(1)
    disk.answer()
    expect([driver.status, driver.queues[0].poll()]).toEqual([0, []])
    driver.start(FEATURES)
    expect(driver.status).toBe(0x0f)
  })

  it('are forgotten by a hard reset', () => {
    const asked = request(RequestType.IN, 0, 512, true)
    driver.queues[0].add(buffersOf(asked))
    driver.queues[0].notify()
    attached.device.reset()
    disk.answer()
    expect([memory.readU8(gpa(asked.status)), driver.queues[0].poll()]).toEqual([0xee, []])
  })

  it('are submitted again after a restore', () => {
    const asked = [request(RequestType.OUT, 3, 512, false, new Uint8Array(512).fill(9)), request(RequestType.IN, 5, 512, true)]
    for (const each of asked) driver.queues[1].add(buffersOf(each))
    driver.queues[1].notify()
    const saved = attached.device.save()
    const other = new FakeDisk(DISK_SIZE)
    const copy = attach(new VirtioBlock(other, { queues: 2 }), memory)
    copy.device.restore(saved)
    expect(other.log).toEqual([])
    copy.device.resume()
    expect(other.log.sort()).toEqual(['read 2560 512', 'write 1536 512'])
    expect(asked.map(({ status }) => memory.readU8(gpa(status)))).toEqual([0, 0])
    expect(driver.queues[1].poll().length).toBe(2)
    expect([copy.line.asserted, bytesOf(asked[1])]).toEqual([true, other.content.slice(2560, 3072)])
  })
})
