import { Random } from '../../../base/testing/random.ts'
import type { HostStream, StreamEvents } from '../../../network/sockets.ts'
import { Tcp } from '../../../network/tcp/tcp.ts'
import type { TcpLimits } from '../../../network/tcp/tcp.ts'
import type { IpPacket, Refusal, SegmentHeader } from '../../../network/transport.ts'
import { RealClock } from './real-clock.ts'

/** What happens to frames on the way, in both directions. Probabilities from 0 to 1, times in ms. */
export interface Weather {
  loss: number
  reordering: number
  duplication: number
  delay: number
}

const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1)
const GATEWAY = Uint8Array.of(10, 99, 77, 1)
const ETHERNET = 14
const IPV4 = 20
const MTU = 1500

/**
 * As little of a gateway as TCP needs, for tests against other systems' TCP: ARP, IPv4 headers, checksums, and segments cut in software,
 * written apart from the gateway's own code.
 */
export class PlainGateway {
  readonly tcp: Tcp
  weather: Weather = { loss: 0, reordering: 0, duplication: 0, delay: 0 }
  readonly unreachables: string[] = []
  private readonly random = new Random(7)
  private readonly transmit: (frame: Uint8Array) => void
  private guest = new Uint8Array(6)

  constructor(transmit: (frame: Uint8Array) => void,
    connect: (address: string, port: number, events: StreamEvents) => HostStream | Refusal, limits: Partial<TcpLimits> = {}) {
    this.transmit = frame => this.travel(() => transmit(frame))
    const buffer = new Uint8Array(65536)
    const output = {
      mtu: MTU, buffer, segmentStart: 40,
      send: (header: SegmentHeader, length: number) => this.sendSegment(header, buffer.subarray(40, 40 + length)),
      quote: (packet: IpPacket) => new Uint8Array(packet.bytes.subarray(packet.header, packet.header + 28)),
      unreachable: (quote: Uint8Array, why: string) => {
        this.unreachables.push(why)
        this.sendUnreachable(quote)
      },
    }
    this.tcp = new Tcp({
      clock: new RealClock(), output,
      connect: (syn, port, events) => connect(syn.bytes.subarray(syn.destination, syn.destination + 4).join('.'), port, events),
    }, { random: () => this.random.u32(), limits })
  }

  /** A frame of the guest's. */
  receive(frame: Uint8Array): void { this.travel(() => this.handle(frame)) }

  private travel(arrive: () => void): void {
    const { loss, reordering, duplication, delay } = this.weather
    if (this.chance(loss)) return
    for (let copy = this.chance(duplication) ? 2 : 1; copy > 0; copy--) {
      const late = this.chance(reordering) ? 5 : 0
      if (delay + late > 0) setTimeout(arrive, delay + late)
      else arrive()
    }
  }

  private chance(probability: number): boolean { return probability > 0 && this.random.below(1 << 20) < probability * (1 << 20) }

  private handle(frame: Uint8Array): void {
    const type = frame[12] << 8 | frame[13]
    if (type === 0x0806 && frame[21] === 1 && Buffer.compare(frame.subarray(38, 42), GATEWAY) === 0) this.answerArp(frame)
    if (type !== 0x0800 || frame[ETHERNET + 9] !== 6) return
    const length = frame[16] << 8 | frame[17]
    const headerSize = (frame[ETHERNET] & 15) * 4
    this.tcp.receive({
      bytes: frame, version: 4, header: ETHERNET, source: ETHERNET + 12, destination: ETHERNET + 16, protocol: 6, payload: ETHERNET + headerSize,
      payloadLength: length - headerSize, hopLimit: 64, trafficClass: 0, checksumValid: true, segmentSize: 0,
    })
  }

  private answerArp(request: Uint8Array): void {
    this.guest = new Uint8Array(request.subarray(6, 12))
    const reply = new Uint8Array(request.subarray(0, 42))
    reply.set(this.guest, 0)
    reply.set(MAC, 6)
    reply[21] = 2
    reply.set(MAC, 22)
    reply.set(GATEWAY, 28)
    reply.set(request.subarray(22, 32), 32)
    this.transmit(reply)
  }

  private sendSegment(header: SegmentHeader, segment: Uint8Array): boolean {
    const headerSize = (segment[12] >>> 4) * 4
    const size = header.segmentSize || segment.length
    let at = headerSize
    do {
      this.sendPacket(header, segment, headerSize, at, Math.min(segment.length, at + size))
      at += size
    } while (at < segment.length)
    return true
  }

  private sendPacket(header: SegmentHeader, segment: Uint8Array, headerSize: number, start: number, end: number): void {
    const packet = new Uint8Array(headerSize + end - start)
    packet.set(segment.subarray(0, headerSize))
    packet.set(segment.subarray(start, end), headerSize)
    const view = new DataView(packet.buffer)
    view.setInt32(4, view.getInt32(4) + start - headerSize)
    if (end < segment.length) packet[13] &= ~0x09 // FIN and PSH go with the last
    const pseudo = sum(header.source) + sum(header.destination) + 6 + packet.length
    view.setUint16(16, 0)
    view.setUint16(16, ~fold(pseudo + sum(packet)) & 0xffff)
    this.sendIp(header.source, header.destination, 6, packet)
  }

  private sendUnreachable(quote: Uint8Array): void {
    const message = new Uint8Array(8 + quote.length)
    message.set([3, 1])
    message.set(quote, 8)
    new DataView(message.buffer).setUint16(2, ~fold(sum(message)) & 0xffff)
    this.sendIp(GATEWAY, quote.subarray(12, 16), 1, message)
  }

  private sendIp(source: Uint8Array, destination: Uint8Array, protocol: number, payload: Uint8Array): void {
    const frame = new Uint8Array(ETHERNET + IPV4 + payload.length)
    frame.set(this.guest)
    frame.set(MAC, 6)
    frame[12] = 8
    const view = new DataView(frame.buffer)
    frame.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol], ETHERNET)
    view.setUint16(ETHERNET + 2, IPV4 + payload.length)
    frame.set(source, ETHERNET + 12)
    frame.set(destination, ETHERNET + 16)
    view.setUint16(ETHERNET + 10, ~fold(sum(frame.subarray(ETHERNET, ETHERNET + IPV4))) & 0xffff)
    frame.set(payload, ETHERNET + IPV4)
    this.transmit(frame)
  }
}

function sum(bytes: Uint8Array): number {
  let total = 0
  for (let at = 0; at < bytes.length; at += 2) total += bytes[at] << 8 | (bytes[at + 1] ?? 0)
  return total
}

function fold(total: number): number {
  let rest = total
  while (rest > 0xffff) rest = (rest & 0xffff) + Math.floor(rest / 65536)
  return rest
}
