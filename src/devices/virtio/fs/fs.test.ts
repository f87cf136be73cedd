import { describe, expect, it } from 'vitest'
import { gpa } from '../../../base/addresses.ts'
import { DeviceStatus, Feature } from '../bits.ts'
import { Region } from '../pci-capabilities.ts'
import { VirtioDriver } from '../testing/driver.ts'
import { FakeFileSystem } from '../testing/fake-file-system.ts'
import { attach } from '../testing/function.ts'
import { PlainMemory } from '../testing/plain-memory.ts'
import { VirtioFileSystem } from './fs.ts'

const MEMORY = 4 << 20

function setUp(deferred = false, features: readonly number[] = [Feature.RING_INDIRECT_DESC]) {
  const memory = new PlainMemory(MEMORY)
  const server = new FakeFileSystem({ deferred })
  const { device } = attach(new VirtioFileSystem(server), memory)
  const driver = new VirtioDriver(device, memory).start(features, 512)
  return { memory, server, device, driver }
}

describe('virtio file system', () => {
  it('says its tag and how many queues there are', () => {
    const { driver } = setUp()
    const bytes = Array.from({ length: 40 }, (_, index) => driver.read(Region.DEVICE + index, 1))
    expect(bytes).toEqual([...new TextEncoder().encode('fake'), ...Array.from({ length: 32 }, () => 0), 1, 0, 0, 0])
    expect(driver.queues.length).toBe(2)
  })

  it('gives the server the message and the room where they lie, and the driver the reply', () => {
    const { memory, driver } = setUp()
    const [message, more, reply] = [driver.allocate(40), driver.allocate(5000), driver.allocate(6000)]
    memory.bytes.fill(7, more, more + 5000)
    memory.bytes.fill(9, message, message + 40)
    const head = driver.queues[1].add([
      { address: message, length: 40, writable: false }, { address: more, length: 5000, writable: false },
      { address: reply, length: 6000, writable: true },
    ])
    driver.queues[1].notify()
    expect(driver.queues[1].poll()).toEqual([{ head, length: 5040 }])
    expect([39, 40, 5039, 5040].map((offset) => memory.bytes[reply + offset])).toEqual([9, 7, 7, 0])
    expect(memory.writtenRanges).toEqual([reply, 5040])
  })

  it('carries a megabyte in one request', () => {
    const { driver } = setUp()
    const table = driver.allocate(16 * 300)
    const pages = Array.from({ length: 256 }, () => ({ address: driver.allocate(4096, 4096), length: 4096, writable: false }))
    const reply = { address: driver.allocate(16), length: 16, writable: true }
    driver.queues[1].add([{ address: driver.allocate(80), length: 80, writable: false }, ...pages, reply], table)
    driver.queues[1].notify()
    expect(driver.queues[1].poll().map(({ length }) => length)).toEqual([16])
  })

  it('needs no reply for what has none', () => {
    const { driver, server } = setUp(true)
    const [queue] = driver.queues
    queue.add([{ address: driver.allocate(48), length: 48, writable: false }])
    queue.notify()
    server.answer()
    expect(queue.poll()).toEqual([{ head: 0, length: 0 }])
  })

  it.each([
    ['no header', [39, 100]], ['no room for the header of a reply', [40, 15]], ['a message that is too long', [(1 << 20) + 8193, 100]],
    ['a reply that is too long', [40, (1 << 20) + 8193]],
  ])('%s breaks it', (_, [readable, writable]) => {
    const { driver, server } = setUp()
    driver.queues[1].add([{ address: 0x10000, length: readable, writable: false }, { address: 0x10000, length: writable, writable: true }])
    driver.queues[1].notify()
    expect([driver.status & DeviceStatus.DEVICE_NEEDS_RESET, server.served]).toEqual([DeviceStatus.DEVICE_NEEDS_RESET, 0])
  })

  it('too many pieces break it', () => {
    const { driver, server } = setUp()
    const table = driver.allocate(16 * 700)
    driver.queues[1].add(Array.from({ length: 641 }, () => ({ address: 0x1000, length: 64, writable: false })), table)
    driver.queues[1].notify()
    expect([driver.status & DeviceStatus.DEVICE_NEEDS_RESET, server.served]).toEqual([DeviceStatus.DEVICE_NEEDS_RESET, 0])
  })

  it('a reset waits for what the server has, and answers from before it go nowhere', () => {
    const { driver, device, server, memory } = setUp(true)
    const post = (): void => {
      driver.queues[1].add([{ address: 0x300000, length: 40, writable: false }, { address: 0x300100, length: 40, writable: true }])
      driver.queues[1].notify()
    }
    post()
    driver.status = 0
    expect(driver.status).not.toBe(0)
    server.answer()
    expect(driver.status).toBe(0)
    driver.start()
    post()
    device.reset()
    const used = memory.readU16(gpa(driver.queues[1].used + 2))
    server.answer()
    expect(memory.readU16(gpa(driver.queues[1].used + 2))).toBe(used)
  })
})
