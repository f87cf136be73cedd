/** What a hostile driver may put into rings and descriptors. It may hurt itself, never us. */
import { beforeEach, describe, expect, it } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import type { GuestStream } from '../../machine/socket.ts'
import type { Random } from '../../base/testing/random.ts'
import { VirtioBalloon } from './balloon.ts'
import { DescriptorFlag, DeviceStatus, Feature } from './bits.ts'
import { VirtioBlock } from './block/block.ts'
import { RequestType } from './block/block-request.ts'
import { VirtioConsole } from './console/console.ts'
import { VirtioEntropy } from './entropy.ts'
import { VirtioFileSystem } from './fs/fs.ts'
import { VirtioNet } from './net/net.ts'
import { Command } from './scsi/command-block.ts'
import { VirtioScsi } from './scsi/scsi.ts'
import { VirtioSocket } from './socket/socket.ts'
import { VirtioDriver } from './testing/driver.ts'
import { FakeCable } from './testing/fake-cable.ts'
import { FakeDisk } from './testing/fake-disk.ts'
import { FakeFileSystem } from './testing/fake-file-system.ts'
import { FakePort } from './testing/fake-port.ts'
import { attach } from './testing/function.ts'
import { HOSTILE_MEMORY, surviveHostileDriver } from './testing/hostile-driver.ts'
import { PlainMemory } from './testing/plain-memory.ts'

const MEMORY = HOSTILE_MEMORY
const { NEXT, WRITE, INDIRECT } = DescriptorFlag

describe('a malformed chain breaks the device and nothing else', () => {
  let memory: PlainMemory
  let driver: VirtioDriver
  let table: number
  let buffer: number

  beforeEach(() => {
    memory = new PlainMemory(MEMORY)
    const { device } = attach(new VirtioEntropy({ fill: (bytes) => bytes.fill(1) }), memory)
    driver = new VirtioDriver(device, memory).start([Feature.RING_INDIRECT_DESC])
    table = driver.allocate(16 * 1100)
    buffer = driver.allocate(64)
  })

  const descriptor = (index: number, address: number, length: number, flags: number, next = 0): void =>
    driver.queues[0].writeDescriptor(driver.queues[0].descriptors + 16 * index, address, length, flags, next)
  const inTable = (index: number, address: number, length: number, flags: number, next = 0): void =>
    driver.queues[0].writeDescriptor(table + 16 * index, address, length, flags, next)

  const cases: Record<string, () => void> = {
    'a head that is no descriptor': () => driver.queues[0].publish(16),
    'more chains than the queue has': () => memory.writeU16(gpa(driver.queues[0].available + 2), 17),
    'a chain in a circle': () => { descriptor(0, buffer, 8, NEXT | WRITE, 1); descriptor(1, buffer, 8, NEXT | WRITE, 0) },
    'a descriptor that leads to itself': () => descriptor(0, buffer, 8, NEXT | WRITE, 0),
    'a circle of empty descriptors': () => descriptor(0, 0, 0, NEXT | WRITE, 0),
    'a next descriptor that is none': () => descriptor(0, buffer, 8, NEXT | WRITE, 16),
    'a buffer past memory': () => descriptor(0, MEMORY - 8, 9, WRITE),
    'a buffer far away': () => descriptor(0, 2 ** 52, 8, WRITE),
    'a length past memory': () => descriptor(0, buffer, 0xffffffff, WRITE),
    'a readable buffer after a writable one': () => { descriptor(0, buffer, 8, NEXT | WRITE, 1); descriptor(1, buffer, 8, 0) },
    'an indirect table past memory': () => descriptor(0, MEMORY - 16, 32, INDIRECT),
    'an indirect table of no whole descriptors': () => descriptor(0, table, 24, INDIRECT),
    'an empty indirect table': () => descriptor(0, table, 0, INDIRECT),
    'an indirect table that is too long': () => descriptor(0, table, 16 * 1025, INDIRECT),
    'something after an indirect table': () => { descriptor(0, table, 16, INDIRECT | NEXT, 1); inTable(0, buffer, 8, WRITE) },
    'an indirect table in an indirect table': () => { descriptor(0, table, 16, INDIRECT); inTable(0, table, 16, INDIRECT) },
    'an indirect circle': () => { descriptor(0, table, 16, INDIRECT); inTable(0, buffer, 8, WRITE | NEXT, 0) },
    'a next beyond the indirect table': () => { descriptor(0, table, 16, INDIRECT); inTable(0, buffer, 8, WRITE | NEXT, 1) },
    'more buffers than a chain may have': () => {
      descriptor(0, buffer, 8, NEXT | WRITE, 1)
      descriptor(1, table, 16 * 1024, INDIRECT)
      for (let index = 0; index < 1024; index++) inTable(index, buffer, 8, WRITE | (index < 1023 ? NEXT : 0), index + 1)
    },
  }

  it.each(Object.keys(cases))('%s', (name) => {
    cases[name]()
    if (!name.startsWith('a head') && !name.startsWith('more chains')) driver.queues[0].publish(0)
    driver.queues[0].notify()
    expect(driver.status & DeviceStatus.DEVICE_NEEDS_RESET).toBe(DeviceStatus.DEVICE_NEEDS_RESET)
    expect([driver.queues[0].poll(), driver.isr]).toEqual([[], 2])
    driver.queues[0].notify()
    expect([driver.queues[0].poll(), driver.isr]).toEqual([[], 0])
    driver.start()
    driver.queues[0].add([{ address: buffer, length: 8, writable: true }])
    driver.queues[0].notify()
    expect(driver.queues[0].poll().length).toBe(1)
  })

  it('but an indirect table after plain descriptors does not', () => {
    descriptor(0, buffer, 8, NEXT | WRITE, 5)
    descriptor(5, table, 32, INDIRECT | WRITE)
    inTable(0, buffer + 8, 8, WRITE | NEXT, 1)
    inTable(1, buffer + 16, 8, WRITE)
    driver.queues[0].publish(0)
    driver.queues[0].notify()
    expect(driver.queues[0].poll()).toEqual([{ head: 0, length: 24 }])
  })

  it('nor may a head that is in use be used again', () => {
    const disk = new FakeDisk(1 << 16, { deferred: true })
    const { device } = attach(new VirtioBlock(disk), memory)
    const other = new VirtioDriver(device, memory, driver.allocate(0)).start()
    const at = other.allocate(600)
    other.queues[0].add([{ address: at, length: 16, writable: false }, { address: at + 16, length: 513, writable: true }])
    other.queues[0].notify()
    for (let round = 0; round < 100; round++) other.queues[0].publish(other.queues[0].size - 1)
    other.queues[0].publish(0)
    other.queues[0].notify()
    expect([other.status & DeviceStatus.DEVICE_NEEDS_RESET, disk.waiting.length]).toEqual([DeviceStatus.DEVICE_NEEDS_RESET, 1])
    disk.answer()
    other.status = 0
    expect(other.status).toBe(0)
  })
})

describe('random rings', () => {
  it('do not hurt a block device', () => {
    for (const deferred of [false, true]) {
      let disk = new FakeDisk(1 << 16, { deferred })
      let requests = 0
      const build = (): VirtioBlock => {
        requests += disk.log.length
        disk = new FakeDisk(1 << 16, { deferred })
        return new VirtioBlock(disk, { queues: 2 })
      }
      const answer = (random: Random): void => { if (random.below(2) === 0) disk.answer(random.below(disk.waiting.length + 1)) }
      const words = Object.values(RequestType).map((type) => [type, 0, 8, 0])
      surviveHostileDriver(build, { buffers: [[2, 1], [1, 2], [1, 1]], header: 16, words }, 11, answer)
      expect(requests).toBeGreaterThan(200)
    }
  })

  it('do not hurt a SCSI device', () => {
    for (const deferred of [false, true]) {
      let disk = new FakeDisk(1 << 16, { deferred })
      let requests = 0
      const build = (): VirtioScsi => {
        requests += disk.log.length
        disk = new FakeDisk(1 << 16, { deferred })
        return new VirtioScsi([disk])
      }
      const answer = (random: Random): void => { if (random.below(2) === 0) disk.answer(random.below(disk.waiting.length + 1)) }
      // A task management function, and commands: their operation code is the last byte of the fifth word.
      const words = [[0, 1, 1, 0], ...Object.values(Command).map((code) => [1, 0, 3, 0, code << 24, 0, 0x0100_0000, 0x0100_0100])]
      surviveHostileDriver(build, { buffers: [[1, 1], [2, 1], [1, 2]], header: 51, lengths: [108, 620], words }, 16, answer)
      expect(requests).toBeGreaterThan(50)
    }
  })

  it('do not hurt a file system device', () => {
    for (const deferred of [false, true]) {
      let server = new FakeFileSystem({ deferred })
      let requests = 0
      const build = (): VirtioFileSystem => {
        requests += server.served
        server = new FakeFileSystem({ deferred })
        return new VirtioFileSystem(server)
      }
      const answer = (random: Random): void => { if (random.below(2) === 0) server.answer(random.below(server.waiting.length + 1)) }
      surviveHostileDriver(build, { buffers: [[1, 1], [2, 1], [1, 2], [1, 0]], header: 40, lengths: [16, 96, 4096] }, 17, answer)
      expect(requests).toBeGreaterThan(200)
    }
  })

  it('do not hurt an entropy device', () => {
    let filled = 0
    const build = (): VirtioEntropy => new VirtioEntropy({ fill: (bytes) => { filled += bytes.length } })
    surviveHostileDriver(build, { buffers: [[0, 1], [0, 3]], header: 64 }, 12)
    expect(filled).toBeGreaterThan(10_000)
  })

  it('do not hurt a balloon', () => {
    let released = 0
    let built: VirtioBalloon
    const build = (): VirtioBalloon => built = new VirtioBalloon({ releasePages: (ranges) => { released += ranges.length } })
    surviveHostileDriver(build, { buffers: [[1, 0], [2, 0], [0, 1], [0, 3]], header: 400 }, 14, () => { built.requestStatistics() })
    expect(released).toBeGreaterThan(1000)
  })

  it('do not hurt a socket device', () => {
    const streams: GuestStream[] = []
    let built: VirtioSocket
    let received = 0
    const end = { transmit: (bytes: Uint8Array) => { received += bytes.length; return bytes.length >> 1 }, receive: () => 7 }
    const build = (): VirtioSocket => {
      streams.length = 0
      return built = new VirtioSocket(3, { accept: (_port, stream) => { streams.push(stream); return end } })
    }
    const words = [1, 1, 2, 4, 5, 5, 5, 6, 7].flatMap((operation) =>
      [5, 6].map((port) => [3, 0, 2, 0, port, 9, 20, 1 | operation << 16, 3, 70_000, 0]))
    surviveHostileDriver(build, { buffers: [[1, 0], [2, 0], [0, 1], [0, 2]], header: 100, words }, 15, (random) => {
      const stream = streams[random.below(streams.length + 1)]
      if (stream !== undefined) [() => stream.transmitReady(), () => stream.receiveReady(), () => stream.end(), () => stream.accept()][random.below(4)]()
      if (random.below(20) === 0) built.open(5, end)?.reset()
    })
    expect(received).toBeGreaterThan(300)
  })

  it('do not hurt a network card', () => {
    let cable = new FakeCable()
    const passed = [0, 0]
    let built: VirtioNet | undefined
    const build = (): VirtioNet => {
      passed[0] += built?.counters.sentFrames ?? 0
      passed[1] += built?.counters.receivedFrames ?? 0
      cable = new FakeCable(new Uint8Array(66_000))
      return built = new VirtioNet({ backend: cable, address: Uint8Array.of(2, 0, 0, 0, 0, 1), pairs: 2 })
    }
    const words = [[0], [1, 0, 0x00060022], [0x0101, 0x00220200, 0x10], [0x0501, 0x00220001, 6], [0x00000001, 2], [0x00010004], [5, 0x20]]
    const shape = { buffers: [[1, 0], [2, 0], [0, 1], [0, 2], [1, 1]], header: 70, lengths: [1, 16, 512, 1600], words } as const
    surviveHostileDriver(build, shape, 17, (random) => {
      cable.room = random.below(4)
      built!.ready()
      const frame = random.bytes(random.below(3000))
      if (frame.length > 54) frame.set([8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6], 12)
      cable.give(frame, random.pick([{}, { checksumStart: random.below(70), checksumOffset: 16 },
        { checksumStart: 34, checksumOffset: 16, segmentation: 'tcp4', segmentSize: random.below(600) }]))
      if (random.below(20) === 0) built!.setLink(random.below(4) !== 0)
      if (random.below(20) === 0) built!.announce()
    })
    expect(passed.every((count) => count > 100)).toBe(true)
  })

  it('do not hurt a console, nor one with ports', () => {
    const words = [0, 1, 3, 6].flatMap((event) => [[0, event | 0x10000], [1, event | 0x10000]])
    const shape = { buffers: [[1, 0], [2, 0], [0, 1], [0, 2]], header: 100, words } as const
    for (const multiport of [false, true]) {
      const port = new FakePort()
      let built: VirtioConsole
      const ports = ['one', 'two'].map((name) => ({ name, backend: port }))
      const build = (): VirtioConsole => built = new VirtioConsole(multiport ? { ports } : { console: port })
      surviveHostileDriver(build, shape, 13, (random) => {
        port.room = random.below(3000)
        port.input = 'x'.repeat(random.below(300))
        const { ports } = built
        random.pick(ports).transmitReady()
        random.pick(ports).receiveReady()
        random.pick(ports).setConnected(random.below(2) === 0)
      })
      expect(port.output.length).toBe(10_000)
    }
  })
})
