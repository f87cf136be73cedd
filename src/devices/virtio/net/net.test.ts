import { beforeEach, describe, expect, it } from 'vitest'
import { complement, fold, sumBytes } from '../../../base/internet-checksum.ts'
import { gpa } from '../../../base/addresses.ts'
import { Feature } from '../bits.ts'
import { VirtioDriver } from '../testing/driver.ts'
import type { DriverQueue, UsedElement } from '../testing/driver.ts'
import { FakeCable } from '../testing/fake-cable.ts'
import { attach } from '../testing/function.ts'
import { PlainMemory } from '../testing/plain-memory.ts'
import { NetFeature } from './bits.ts'
import { VirtioNet } from './net.ts'

const ADDRESS = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56)
const OFFLOADS = [NetFeature.CSUM, NetFeature.GUEST_CSUM, NetFeature.HOST_TSO4, NetFeature.GUEST_TSO4]
const CONTROLS = [NetFeature.CTRL_VQ, NetFeature.CTRL_RX, NetFeature.CTRL_VLAN, NetFeature.CTRL_MAC_ADDR]
const HEADER = 12

let memory: PlainMemory
let cable: FakeCable
let card: VirtioNet
let driver: VirtioDriver
let receive: DriverQueue
let transmit: DriverQueue

function start(features: readonly number[] = [], pairs = 1): void {
  memory = new PlainMemory(1 << 20)
  cable = new FakeCable(new Uint8Array(70_000))
  card = new VirtioNet({ backend: cable, address: ADDRESS, pairs })
  driver = new VirtioDriver(attach(card, memory).device, memory).start(features, 64);
  [receive, transmit] = driver.queues
}

/** Gives the guest's driver buffers of these lengths to receive into; their addresses. */
function offer(...lengths: number[]): number[] {
  const addresses = lengths.map((length) => {
    const address = driver.allocate(length)
    receive.add([{ address, length, writable: true }])
    return address
  })
  receive.notify()
  return addresses
}

/** Sends a frame with this header (flags, gso_type, hdr_len, gso_size, csum_start, csum_offset), cut into buffers. */
function send(frame: Uint8Array, header: number[] = [0, 0, 0, 0, 0, 0], cuts: number[] = []): void {
  const [flags, type, ...words] = [...header, 0]
  const address = driver.allocate(HEADER + frame.length)
  memory.bytes.set([flags, type, ...words.flatMap((word) => [word & 0xff, word >> 8])], address)
  memory.bytes.set(frame, address + HEADER)
  const ends = [...cuts, HEADER + frame.length]
  const starts = [0, ...cuts]
  transmit.add(ends.map((end, index) => ({ address: address + starts[index], length: end - starts[index], writable: false })))
  transmit.notify()
}

function command(...bytes: number[]): number {
  const queue = driver.queues[driver.queues.length - 1]
  const address = driver.allocate(bytes.length + 1)
  memory.bytes.set([...bytes, 0xaa], address)
  queue.add([{ address, length: bytes.length, writable: false }, { address: address + bytes.length, length: 1, writable: true }])
  queue.notify()
  expect(queue.poll().map(({ length }) => length)).toEqual([1])
  return memory.bytes[address + bytes.length]
}

function received(address: number, { length }: UsedElement): { header: number[], frame: Uint8Array } {
  const header = Array.from(memory.bytes.subarray(address, address + HEADER))
  return { header, frame: memory.bytes.slice(address + HEADER, address + length) }
}

function frameTo(destination: Uint8Array | number[], length = 60): Uint8Array {
  const frame = Uint8Array.from({ length }, (_, index) => index)
  frame.set(destination)
  return frame
}

/** A TCP segment over IPv4 whose checksum lacks, and where its parts begin. */
function tcpFrame(payload: number): Uint8Array {
  const frame = new Uint8Array(14 + 20 + 20 + payload).map((_, index) => index * 7)
  frame.set(ADDRESS)
  frame.set([8, 0, 0x45, 0, (40 + payload) >> 8, (40 + payload) & 0xff, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], 12)
  const ip = complement(sumBytes(frame, 14, 20))
  frame.set([ip >> 8, ip & 0xff], 24)
  // Sequence number 0xffffff00, so that it wraps; flags FIN, PSH, ACK.
  frame.set([0x12, 0x34, 0, 80, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 0x50, 0x19, 4, 0, 0, 0, 0, 0], 34)
  const pseudo = fold(sumBytes(frame, 26, 8, 6 + 20 + payload))
  frame.set([pseudo >> 8, pseudo & 0xff], 34 + 16)
  return frame
}

const TSO4 = (payload: number): number[] => [1, 1, 54, payload, 34, 16]

/** Both checksums of a TCP segment over IPv4 are right. */
function hasRightChecksums(frame: Uint8Array): boolean {
  const length = frame.length - 34
  const pseudo = sumBytes(frame, 26, 8, 6 + length)
  return fold(sumBytes(frame, 14, 20)) === 0xffff && fold(sumBytes(frame, 34, length, pseudo)) === 0xffff
}

describe('virtio-net', () => {
  beforeEach(() => start([...OFFLOADS, ...CONTROLS, NetFeature.MRG_RXBUF]))

  it('says what it is', () => {
    expect(Array.from({ length: 17 }, (_, index) => driver.read(0x2000 + index, 1))).toEqual([
      ...ADDRESS, 1, 0, 1, 0, 1500 & 0xff, 1500 >> 8, 10_000 & 0xff, 10_000 >> 8, 0, 0, 1,
    ])
    const expected = [Feature.VERSION_1, NetFeature.MAC, NetFeature.HOST_USO, NetFeature.SPEED_DUPLEX]
    expect(driver.offered()).toEqual(expect.arrayContaining(expected))
    expect(driver.offered()).not.toContain(NetFeature.MQ)
  })

  it('sends frames however they are cut up, and puts them where the back end wants them', () => {
    const frame = frameTo([2, 0, 0, 0, 0, 1], 1514)
    for (const cuts of [[], [12], [5, 12, 13, 700], [20]]) send(frame, undefined, cuts)
    expect(cable.sent.map(({ bytes }) => bytes)).toEqual([frame, frame, frame, frame])
    expect(transmit.poll().map(({ length }) => length)).toEqual([0, 0, 0, 0])
    expect(cable.place!.bytes.subarray(100, 100 + frame.length)).toEqual(frame)
    expect(card.counters).toMatchObject({ sentFrames: 4, sentBytes: 4 * 1514 })
  })

  it('passes on what is left to do on a frame', () => {
    const frame = tcpFrame(3000)
    send(frame, TSO4(1460))
    send(tcpFrame(10), [1, 0, 0, 0, 34, 16])
    expect(cable.sent).toMatchObject([
      { bytes: frame, checksumStart: 34, checksumOffset: 16, segmentation: 'tcp4', segmentSize: 1460 },
      { checksumStart: 34, checksumOffset: 16, segmentation: 'none', segmentSize: 0 },
    ])
  })

  it.each([
    ['a checksum past the end', 60, [1, 0, 0, 0, 50, 9]],
    ['a checksum in the Ethernet header', 60, [1, 0, 0, 0, 4, 0]],
    ['segments without a checksum', 60, [0, 1, 54, 100, 0, 0]],
    ['segments of nothing', 60, [1, 1, 54, 0, 34, 16]],
    ['segments of what is no TCP', 60, [1, 1, 54, 100, 34, 16]],
    ['an unknown segmentation', 60, [1, 2, 54, 100, 34, 16]],
    ['segmentation that was not agreed on', 60, [1, 5, 42, 100, 34, 6]],
    ['a frame without a header', 13, [0, 0, 0, 0, 0, 0]],
    ['a frame that is too long', 65_554, [0, 0, 0, 0, 0, 0]],
  ])('drops %s, and goes on', (_, length, header) => {
    send(frameTo([], length), header)
    expect([transmit.poll().length, cable.sent.length, card.counters.droppedMalformed]).toEqual([1, 0, 1])
    send(frameTo([]))
    expect(cable.sent.length).toBe(1)
  })

  it('leaves frames in the queue while the back end has no room', () => {
    cable.room = 1
    for (let index = 0; index < 3; index++) send(frameTo([2, index]))
    expect([transmit.poll().length, cable.sent.length]).toEqual([1, 1])
    cable.room = 1
    card.ready()
    expect([transmit.poll().length, cable.sent.length]).toEqual([1, 2])
    cable.room = 9
    card.ready()
    expect([transmit.poll().length, cable.sent.map(({ bytes }) => bytes[1])]).toEqual([1, [0, 1, 2]])
  })

  it('gives frames into as many buffers as they need', () => {
    const [first, second, third] = offer(100, 64, 1000)
    const frame = frameTo(ADDRESS, 300)
    expect(cable.give(frame)).toBe(true)
    const used = receive.poll()
    expect(used.map(({ length }) => length)).toEqual([100, 64, 300 - 88 - 64])
    expect(received(first, used[0]).header).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0])
    const parts = [[first + HEADER, first + 100], [second, second + 64], [third, third + 148]]
    expect(Buffer.concat(parts.map(([from, to]) => memory.bytes.slice(from, to)))).toEqual(Buffer.from(frame))
  })

  it('keeps no buffer for a frame that needs more than there are', () => {
    offer(100, 100)
    const frame = frameTo(ADDRESS, 300)
    expect([cable.give(frame), receive.poll().length]).toEqual([false, 0])
    const readied = cable.readied
    offer(200)
    expect([cable.readied, cable.give(frame), receive.poll().length]).toEqual([readied + 1, true, 3])
  })

  it('without mergeable buffers needs one that is large enough', () => {
    start(OFFLOADS)
    const [address] = offer(200, 1600)
    expect([cable.give(frameTo(ADDRESS, 300)), card.counters.droppedTooLong]).toEqual([true, 1])
    expect(cable.give(frameTo(ADDRESS, 100))).toBe(true)
    expect(received(address, receive.poll()[0]).header).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0])
  })

  it('tells the driver what is left to do, and what is known', () => {
    const addresses = offer(4000, 4000, 4000)
    cable.give(tcpFrame(3000), { checksumStart: 34, checksumOffset: 16, segmentation: 'tcp4', segmentSize: 1460 })
    cable.give(tcpFrame(10), { checksumStart: 34, checksumOffset: 16 })
    cable.give(tcpFrame(10), { checksumValid: true })
    const headers = receive.poll().map((used, index) => received(addresses[index], used).header)
    expect(headers).toEqual([
      [1, 1, 54, 0, 1460 & 0xff, 1460 >> 8, 34, 0, 16, 0, 1, 0],
      [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 1, 0],
      [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
    ])
  })

  it('completes checksums and cuts segments for a driver that cannot', () => {
    start([NetFeature.MRG_RXBUF])
    const addresses = offer(2000, 2000, 2000, 2000)
    cable.give(tcpFrame(10), { checksumStart: 34, checksumOffset: 16 })
    cable.give(tcpFrame(3000), { checksumStart: 34, checksumOffset: 16, segmentation: 'tcp4', segmentSize: 1460 })
    const frames = receive.poll().map((used, index) => received(addresses[index], used))
    expect(frames.map(({ header }) => header[0])).toEqual([0, 0, 0, 0])
    expect(frames.map(({ frame }) => [frame.length, hasRightChecksums(frame)]))
      .toEqual([[64, true], [1514, true], [1514, true], [134, true]])
    const [, one, two, three] = frames.map(({ frame }) => frame)
    expect(Buffer.concat([one, two, three].map((frame) => frame.slice(54)))).toEqual(Buffer.from(tcpFrame(3000).slice(54)))
    expect([one, two, three].map((frame) => Buffer.from(frame).readUInt32BE(38))).toEqual([0xffffff00, 0x4b4, 0xa68])
    expect([one, two, three].map((frame) => [frame[19], frame[47]])).toEqual([[0x34, 0x10], [0x35, 0x10], [0x36, 0x19]])
  })

  it('drops what makes no sense on its way to the guest', () => {
    start()
    offer(2000, 2000)
    cable.give(frameTo(ADDRESS), { checksumStart: 34, checksumOffset: 16, segmentation: 'tcp4', segmentSize: 10 })
    cable.give(frameTo(ADDRESS, 13))
    expect([receive.poll().length, card.counters.droppedMalformed]).toEqual([0, 2])
  })

  it('filters by address and VLAN as the driver says', () => {
    offer(...Array.from({ length: 20 }, () => 200))
    const passes = (destination: number[], vlan?: number): boolean => {
      const frame = frameTo(destination)
      if (vlan !== undefined) frame.set([0x81, 0, vlan >> 8, vlan & 0xff], 12)
      cable.give(frame)
      return receive.poll().length === 1
    }
    const own = Array.from(ADDRESS)
    const [broadcast, group] = [[255, 255, 255, 255, 255, 255], [1, 0, 0x5e, 0, 0, 1]]
    const [other, second] = [[2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 8]]
    const all = (): boolean[] => [own, broadcast, group, other].map((each) => passes(each))
    expect(all()).toEqual([true, true, true, true])
    expect(command(0, 0, 0)).toBe(0)
    expect(all()).toEqual([true, true, false, false])
    expect(command(1, 0, 1, 0, 0, 0, ...second, 1, 0, 0, 0, ...group)).toBe(0)
    expect([...all(), passes(second)]).toEqual([true, true, true, false, true])
    expect([passes(own, 7), command(2, 0, 7, 0), passes(own, 7)]).toEqual([false, 0, true])
    expect([command(2, 1, 7, 0), passes(own, 7)]).toEqual([0, false])
    expect([command(1, 1, 2, 2, 2, 2, 2, 2), passes(own), passes([2, 2, 2, 2, 2, 2])]).toEqual([0, false, true])
    expect(driver.read(0x2000, 4)).toBe(0x02020202)
  })

  it('refuses commands that it does not know, or cannot read', () => {
    const commands = [[0, 9, 1], [0, 0], [7, 0, 1], [1, 0, 2, 0, 0, 0], [2, 0, 0, 16], [4, 0, 1, 0], [1], [1, 0, 0xff, 0xff, 0xff, 0xff]]
    for (const bytes of commands) expect(command(...bytes)).toBe(1)
  })

  it('tells the driver of its link, and lets nothing through without one', () => {
    offer(200, 200)
    card.setLink(false)
    expect([driver.read(0x2006, 2), driver.isr]).toEqual([0, 2])
    cable.give(frameTo(ADDRESS))
    send(frameTo([2]))
    expect([receive.poll().length, cable.sent.length, card.counters.droppedDown]).toEqual([0, 0, 2])
    card.setLink(true)
    cable.give(frameTo(ADDRESS))
    expect([receive.poll().length, driver.read(0x2006, 2)]).toEqual([1, 1])
  })

  it('has the driver announce itself', () => {
    start([...CONTROLS, NetFeature.GUEST_ANNOUNCE])
    card.announce()
    expect(driver.read(0x2006, 2)).toBe(3)
    expect([command(3, 0), driver.read(0x2006, 2)]).toEqual([0, 1])
  })

  it('answers a flow on the pair of queues that it came from', () => {
    start([...CONTROLS, NetFeature.MQ], 4)
    expect([driver.queues.length, command(4, 0, 5, 0), command(4, 0, 0, 0), command(4, 0, 3, 0)]).toEqual([9, 1, 1, 0])
    receive = driver.queues[4]
    transmit = driver.queues[5]
    offer(200, 200)
    const request = tcpFrame(10)
    send(request)
    const answer = request.slice()
    answer.set(request.subarray(26, 30), 30)
    answer.set(request.subarray(30, 34), 26)
    answer.set(request.subarray(34, 36), 36)
    answer.set(request.subarray(36, 38), 34)
    cable.give(answer)
    expect(receive.poll().length).toBe(1)
  })

  it('lets the driver switch offloads off', () => {
    start([...OFFLOADS, ...CONTROLS, NetFeature.CTRL_GUEST_OFFLOADS])
    expect([command(5, 0, 0, 1, 0, 0, 0, 0, 0, 0), command(5, 0, 0, 0, 0, 0, 0, 0, 0, 0)]).toEqual([1, 0])
    const [address] = offer(200)
    cable.give(tcpFrame(10), { checksumStart: 34, checksumOffset: 16 })
    const { header, frame } = received(address, receive.poll()[0])
    expect([header[0], hasRightChecksums(frame)]).toEqual([0, true])
  })

  it('drops frames while there is no driver, and sends nothing', () => {
    driver.status = 0
    expect([cable.give(frameTo(ADDRESS)), card.counters.droppedDown]).toEqual([true, 1])
  })

  it('goes on after a restore with the frames that waited', () => {
    cable.room = 0
    send(frameTo([2, 5]))
    const saved = attach(new VirtioNet({ backend: new FakeCable(), address: ADDRESS }), memory).device.save()
    expect(saved).toHaveProperty('device.pairs', 1)
    cable.room = 1
    card.resume()
    expect(cable.sent.map(({ bytes }) => bytes[1])).toEqual([5])
  })

  it('interrupts the driver when it asked for it', () => {
    start([Feature.RING_EVENT_IDX])
    offer(200, 200, 200)
    receive.wantInterrupt(1)
    expect([cable.give(frameTo(ADDRESS)), driver.isr, cable.give(frameTo(ADDRESS)), driver.isr]).toEqual([true, 0, true, 1])
    expect(memory.readU16(gpa(receive.used + 2))).toBe(2)
  })
})
