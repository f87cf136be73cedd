import { beforeEach, describe, expect, it } from 'vitest'
import { gpa } from '../../../base/addresses.ts'
import type { GuestStream, StreamEnd } from '../../../machine/socket.ts'
import { VirtioDriver } from '../testing/driver.ts'
import { attach } from '../testing/function.ts'
import type { AttachedFunction } from '../testing/function.ts'
import { PlainMemory } from '../testing/plain-memory.ts'
import { BUFFER_SIZE } from './connection.ts'
import { HEADER_SIZE, Operation, Shutdown } from './packet.ts'
import { SocketFeature, VirtioSocket } from './socket.ts'

const GUEST = 77
const GUEST_PORT = 5000
const HOST_PORT = 1024

/** The host's end of a stream: keeps what comes, gives what it has. */
class FakeEnd implements StreamEnd {
  room = Infinity
  output = ''
  input = ''
  readonly heard: string[] = []

  transmit(bytes: Uint8Array): number {
    const count = Math.min(this.room, bytes.length)
    this.room -= count
    this.output += Buffer.from(bytes.subarray(0, count)).toString('latin1')
    return count
  }

  receive(into: Uint8Array): number {
    const count = Math.min(into.length, this.input.length)
    into.set(Buffer.from(this.input.slice(0, count), 'latin1'))
    this.input = this.input.slice(count)
    return count
  }

  opened(hostPort: number): void { this.heard.push(`opened ${hostPort}`) }
  ended(): void { this.heard.push('ended') }
  closed(reason: string): void { this.heard.push(reason) }
}

const memory = new PlainMemory(16 << 20)
let device: VirtioSocket
let attached: AttachedFunction
let driver: VirtioDriver
let accepted: { port: number, stream: GuestStream, end: FakeEnd }[]
let listens: boolean
let buffers: Map<number, number>

function build(): VirtioSocket {
  return new VirtioSocket(GUEST, {
    accept: (port, stream) => {
      const end = new FakeEnd()
      if (listens) accepted.push({ port, stream, end })
      return listens ? end : null
    },
  })
}

beforeEach(() => {
  accepted = []
  listens = true
  buffers = new Map()
  device = build()
  attached = attach(device, memory)
  driver = new VirtioDriver(attached.device, memory).start([SocketFeature.STREAM], 64)
})

interface Packet {
  readonly operation: number, readonly length?: number, readonly flags?: number, readonly bufferSize?: number, readonly forwarded?: number
  readonly guestPort?: number, readonly hostPort?: number, readonly payload?: string, readonly cid?: number, readonly type?: number
}

/** A packet from the guest. */
function send(packet: Packet): void {
  const payload = Buffer.from(packet.payload ?? '', 'latin1')
  const at = driver.allocate(HEADER_SIZE + payload.length)
  memory.writeU64(gpa(at), BigInt(packet.cid ?? GUEST))
  memory.writeU64(gpa(at + 8), 2n)
  const { guestPort = GUEST_PORT, hostPort = HOST_PORT, length = payload.length, flags = 0, bufferSize = 1 << 20, forwarded = 0 } = packet;
  [guestPort, hostPort, length].forEach((value, index) => memory.writeU32(gpa(at + 16 + 4 * index), value))
  memory.writeU16(gpa(at + 28), packet.type ?? 1)
  memory.writeU16(gpa(at + 30), packet.operation);
  [flags, bufferSize, forwarded].forEach((value, index) => memory.writeU32(gpa(at + 32 + 4 * index), value))
  memory.write(gpa(at + HEADER_SIZE), payload)
  driver.queues[1].add([{ address: at, length: HEADER_SIZE + payload.length, writable: false }])
  driver.queues[1].notify()
  driver.queues[1].poll()
}

function offer(count = 1, length = 4096): void {
  for (let n = 0; n < count; n++) {
    const address = driver.allocate(length)
    buffers.set(driver.queues[0].add([{ address, length, writable: true }]), address)
  }
  driver.queues[0].notify()
}

/** Packets that came: operation, flags, payload; the rest is checked. */
function received(): [operation: number, flags: number, payload: string][] {
  return driver.queues[0].poll().map(({ head, length }) => {
    const at = buffers.get(head)!
    const bytes = memory.bytes.subarray(at, at + length)
    const payload = Buffer.from(bytes.subarray(HEADER_SIZE)).toString('latin1')
    if (length > 0) {
      expect([memory.readU64(gpa(at)), memory.readU64(gpa(at + 8))]).toEqual([2n, BigInt(GUEST)])
      expect(memory.readU32(gpa(at + 24))).toBe(payload.length)
    }
    return [memory.readU16(gpa(at + 30)), memory.readU32(gpa(at + 32)), payload]
  })
}

function open(): { stream: GuestStream, end: FakeEnd } {
  offer(6)
  send({ operation: Operation.REQUEST })
  accepted.at(-1)!.stream.accept()
  expect(received()).toEqual([[Operation.RESPONSE, 0, '']])
  return accepted.at(-1)!
}

describe('a stream that the guest opens', () => {
  it('carries bytes both ways', () => {
    const { stream, end } = open()
    expect(accepted[0].port).toBe(HOST_PORT)
    send({ operation: Operation.RW, payload: 'hello ' })
    send({ operation: Operation.RW, payload: 'host' })
    end.input = 'hello guest'
    stream.receiveReady()
    expect([end.output, received()]).toEqual(['hello host', [[Operation.RW, 0, 'hello guest']]])
  })

  it('is refused where nobody listens', () => {
    listens = false
    offer(1)
    send({ operation: Operation.REQUEST })
    expect(received()).toEqual([[Operation.RST, 0, '']])
  })

  it('waits until the host has accepted it, or not', () => {
    offer(4)
    send({ operation: Operation.REQUEST })
    const { stream, end } = accepted[0]
    end.input = 'not yet'
    stream.receiveReady()
    expect(received()).toEqual([])
    stream.accept()
    stream.accept()
    expect(received()).toEqual([[Operation.RESPONSE, 0, ''], [Operation.RW, 0, 'not yet']])
    send({ operation: Operation.REQUEST, guestPort: 6 })
    accepted[1].stream.reset()
    accepted[1].stream.accept()
    expect([accepted[1].end.heard, received()]).toEqual([[], [[Operation.RST, 0, '']]])
  })

  it('is not open because the guest says so', () => {
    offer(4)
    send({ operation: Operation.REQUEST })
    send({ operation: Operation.RESPONSE })
    send({ operation: Operation.REQUEST, guestPort: 6 })
    send({ operation: Operation.RW, guestPort: 6, payload: 'x' })
    expect([accepted.map(({ end }) => [end.output, end.heard]), received()]).toEqual([
      [['', ['reset']], ['', ['reset']]], [[Operation.RST, 0, ''], [Operation.RST, 0, '']],
    ])
  })

  it('ends one way and then the other', () => {
    const { stream, end } = open()
    end.input = 'last words'
    stream.end()
    expect(received()).toEqual([[Operation.RW, 0, 'last words'], [Operation.SHUTDOWN, Shutdown.SEND, '']])
    send({ operation: Operation.RW, payload: 'and mine' })
    send({ operation: Operation.SHUTDOWN, flags: Shutdown.SEND })
    expect([end.output, end.heard, received()]).toEqual(['and mine', ['ended'], []])
    send({ operation: Operation.SHUTDOWN, flags: Shutdown.BOTH })
    expect([end.heard, received()]).toEqual([['ended', 'closed'], [[Operation.RST, 0, '']]])
    send({ operation: Operation.RW, payload: 'x' })
    expect(received()).toEqual([[Operation.RST, 0, '']])
  })

  it('is closed by the guest only when the host has taken all', () => {
    const { stream, end } = open()
    end.room = 2
    send({ operation: Operation.RW, payload: 'abcdef' })
    send({ operation: Operation.SHUTDOWN, flags: Shutdown.BOTH })
    expect([end.output, end.heard, received()]).toEqual(['ab', [], []])
    end.room = 100
    stream.transmitReady()
    expect([end.output, end.heard, received()]).toEqual(['abcdef', ['closed'], [[Operation.RST, 0, '']]])
    stream.transmitReady()
    stream.reset()
    expect(received()).toEqual([])
  })

  it('is closed, and not broken off, when a guest that has ended is tired of waiting', () => {
    const { stream, end } = open()
    end.room = 2
    send({ operation: Operation.RW, payload: 'abcdef' })
    send({ operation: Operation.SHUTDOWN, flags: Shutdown.BOTH })
    send({ operation: Operation.RST })
    expect([end.output, end.heard, received()]).toEqual(['ab', [], []])
    // Its ports are not free before that.
    send({ operation: Operation.REQUEST })
    expect([accepted.length, received()]).toEqual([1, [[Operation.RST, 0, '']]])
    end.room = 100
    end.input = 'nobody hears it'
    stream.receiveReady()
    stream.transmitReady()
    expect([end.output, end.heard, received()]).toEqual(['abcdef', ['closed'], []])
    send({ operation: Operation.REQUEST })
    expect([accepted.length, received()]).toEqual([2, []])
  })

  it('is broken off by a guest that has ended one way only', () => {
    const { end } = open()
    end.room = 0
    send({ operation: Operation.SHUTDOWN, flags: Shutdown.SEND })
    send({ operation: Operation.RST })
    expect([end.heard, received()]).toEqual([['ended', 'reset'], []])
  })

  it('is broken off by either side', () => {
    const first = open()
    first.stream.reset()
    expect([first.end.heard, received()]).toEqual([[], [[Operation.RST, 0, '']]])
    const second = open()
    send({ operation: Operation.RST })
    expect([second.end.heard, received()]).toEqual([['reset'], []])
  })
})

describe('a stream that the host opens', () => {
  it('is open when the guest says so', () => {
    offer(4)
    const end = new FakeEnd()
    end.input = 'early'
    device.open(GUEST_PORT, end)
    expect(received()).toEqual([[Operation.REQUEST, 0, '']])
    const hostPort = memory.readU32(gpa([...buffers.values()][0] + 16))
    send({ operation: Operation.RESPONSE, hostPort })
    expect([end.heard, received()]).toEqual([[`opened ${hostPort}`], [[Operation.RW, 0, 'early']]])
    driver.status = 0
    expect(end.heard).toEqual([`opened ${hostPort}`, 'reset'])
  })

  it('may be refused, and needs a driver', () => {
    offer(4)
    const end = new FakeEnd()
    device.open(GUEST_PORT, end)
    received()
    send({ operation: Operation.RST, hostPort: memory.readU32(gpa([...buffers.values()][0] + 16)) })
    expect(end.heard).toEqual(['refused'])
    driver.status = 0
    expect(device.open(GUEST_PORT, end)).toBeNull()
  })

  it('has a port of its own', () => {
    for (let n = 0; n < 256; n++) expect(device.open(GUEST_PORT, new FakeEnd())).not.toBeNull()
    expect(device.open(GUEST_PORT, new FakeEnd())).toBeNull()
    offer(40)
    const ports = driver.queues[0].poll().map(({ head }) => memory.readU32(gpa(buffers.get(head)! + 16)))
    expect(new Set(ports).size).toBe(40)
  })
})

describe('credit', () => {
  it('lets the host send no more than the guest can hold', () => {
    const { stream, end } = open()
    send({ operation: Operation.CREDIT_UPDATE, bufferSize: 10 })
    end.input = 'x'.repeat(25)
    stream.receiveReady()
    expect(received()).toEqual([[Operation.RW, 0, 'x'.repeat(10)]])
    send({ operation: Operation.CREDIT_UPDATE, bufferSize: 10, forwarded: 4 })
    expect(received()).toEqual([[Operation.RW, 0, 'x'.repeat(4)]])
    send({ operation: Operation.CREDIT_UPDATE, bufferSize: 10, forwarded: 1000 })
    expect(received()).toEqual([])
  })

  it('is given to the guest as the host takes', () => {
    const { stream, end } = open()
    end.room = 0
    for (let n = 0; n < 16; n++) send({ operation: Operation.RW, payload: 'a'.repeat(BUFFER_SIZE / 16) })
    expect([end.output, received()]).toEqual(['', []])
    end.room = BUFFER_SIZE / 2
    stream.transmitReady()
    expect(received()).toEqual([[Operation.CREDIT_UPDATE, 0, '']])
    send({ operation: Operation.RW, payload: 'z'.repeat(BUFFER_SIZE / 2) })
    end.room = Infinity
    stream.transmitReady()
    expect([end.output.length, end.output.at(-1), end.heard]).toEqual([1.5 * BUFFER_SIZE, 'z', []])
    expect(received()).toEqual([[Operation.CREDIT_UPDATE, 0, '']])
    send({ operation: Operation.CREDIT_REQUEST })
    expect(received()).toEqual([[Operation.CREDIT_UPDATE, 0, '']])
  })

  it('cannot be overdrawn', () => {
    const { end } = open()
    end.room = 0
    send({ operation: Operation.RW, payload: 'x'.repeat(BUFFER_SIZE) })
    send({ operation: Operation.RW, payload: 'y' })
    expect([end.heard, received()]).toEqual([['reset'], [[Operation.RST, 0, '']]])
  })
})

describe('packets that make no sense', () => {
  it('are answered by RST, or dropped', () => {
    const { RW, REQUEST, RESPONSE, RST } = Operation
    offer(20)
    for (const packet of [{ operation: RW }, { operation: RESPONSE }, { operation: 99 }, { operation: REQUEST, type: 2 }]) {
      send(packet)
      expect(received()).toEqual([[RST, 0, '']])
    }
    send({ operation: RST })
    send({ operation: REQUEST, cid: 5 })
    expect([received(), accepted]).toEqual([[], []])
    for (const packet of [{ operation: REQUEST }, { operation: RW, length: 9 }, { operation: RESPONSE }, { operation: 99 }]) {
      const { end } = open()
      send(packet)
      expect([end.heard, received()]).toEqual([['reset'], [[RST, 0, '']]])
    }
  })

  it('wait while their answers have no room', () => {
    for (let n = 0; n < 60; n++) send({ operation: Operation.RW })
    for (let n = 0; n < 60; n++) send({ operation: Operation.RW, guestPort: n })
    offer(60)
    offer(1, HEADER_SIZE)
    const got = received()
    offer(60)
    got.push(...received())
    expect(got.filter(([operation]) => operation === Operation.RST).length).toBeGreaterThanOrEqual(119)
  })
})

it('tells a restored driver that its streams are gone', () => {
  open()
  const copy = attach(build(), memory)
  copy.device.restore(attached.device.save())
  const other = new VirtioDriver(copy.device, memory)
  copy.device.resume()
  expect(copy.device.registers.readMmio(0x1000, 1)).toBe(1)
  const address = driver.allocate(4)
  memory.writeU32(gpa(address), 99)
  driver.queues[2].add([{ address, length: 4, writable: true }])
  other.write(0x3000 + 8, 2, 2)
  expect([driver.queues[2].poll().map(({ length }) => length), memory.readU32(gpa(address))]).toEqual([[4], 0])
  driver.queues[2].add([{ address, length: 4, writable: true }])
  other.write(0x3000 + 8, 2, 2)
  expect(driver.queues[2].poll()).toEqual([])
})
