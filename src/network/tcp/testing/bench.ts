import type { Endpoint, IpPacket, Refusal, SegmentHeader, SegmentOutput, TransportContext, Unreachable } from '../../transport.ts'
import { Random } from '../../../base/testing/random.ts'
import type { HostStream, StreamEvents } from '../../sockets.ts'
import {
  HEADER_SIZE, Segment, writeHeader, writeMaximumSegmentSize, writeSack, writeSackPermitted, writeTimestamps, writeWindowScale,
} from '../segment.ts'
import { Tcp } from '../tcp.ts'
import type { TcpLimits } from '../tcp.ts'
import { VirtualClock } from './virtual-clock.ts'

/** A stream of the host's that a test plays. */
export class TestStream implements HostStream {
  readonly log: string[] = []
  readonly pieces: Uint8Array[] = []
  /** Bytes that it still takes. */
  room = Infinity
  events!: StreamEvents
  isHeldBack = false

  write(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, this.room)
    this.room -= count
    if (count > 0) this.pieces.push(bytes.slice(0, count))
    return count
  }
  resume(): void {
    this.isHeldBack = false
    this.log.push('resume')
  }
  /** Data of the host's, as long as it is welcome. */
  give(bytes: Uint8Array): void { if (!this.isHeldBack) this.isHeldBack = !this.events.data(bytes) }
  end(): void { this.log.push('end') }
  abort(): void { this.log.push('abort') }
  get received(): string { return Buffer.concat(this.pieces).toString('latin1') }
}

/** A segment that TCP has sent: a copy, with what it was sent with. */
export interface Sent {
  readonly segment: Segment
  readonly source: string
  readonly destination: string
  readonly segmentSize: number
  readonly payload: string
}

/** What a guest's segment is made of; what is missing is 0 or not there. */
export interface Crafted {
  control: number
  sequence?: number
  acknowledgment?: number
  window?: number
  payload?: string | Uint8Array
  sourcePort?: number
  destinationPort?: number
  from?: Uint8Array
  to?: Uint8Array
  maximumSegmentSize?: number
  windowScale?: number
  sackPermitted?: boolean
  timestamps?: readonly [number, number]
  sack?: readonly number[]
}

export const GUEST = Uint8Array.of(10, 0, 5, 2)
export const SERVER = Uint8Array.of(192, 0, 2, 80)

/** TCP with a gateway, a host and a guest that tests play. */
export class Bench {
  readonly clock = new VirtualClock()
  readonly tcp: Tcp
  readonly sent: Sent[] = []
  readonly streams: TestStream[] = []
  readonly unreachables: Unreachable[] = []
  /** What the host says to a connection, if not yes. */
  refusal: Refusal | null = null
  isFull = false

  constructor(limits: Partial<TcpLimits> = {}, mtu = 1500, seed = 1) {
    const random = new Random(seed)
    this.tcp = new Tcp(this.context(mtu), { random: () => random.u32(), limits })
  }

  /** Gives TCP a segment of the guest's. */
  give(crafted: Crafted): void {
    const bytes = craft(crafted)
    this.giveBytes(bytes, crafted.from ?? GUEST, crafted.to ?? SERVER)
  }

  giveBytes(segment: Uint8Array, from: Uint8Array, to: Uint8Array): void { this.tcp.receive(packetOf(segment, from, to)) }

  /** The segments since the last call. */
  take(): Sent[] { return this.sent.splice(0) }

  publish(to: Endpoint): TestStream | null {
    const stream = new TestStream()
    const events = this.tcp.accept(stream, { version: 4, address: SERVER, port: 5000 }, to)
    if (events === null) return null
    stream.events = events
    this.streams.push(stream)
    return stream
  }

  private context(mtu: number): TransportContext {
    return {
      clock: this.clock,
      output: this.output(mtu),
      connect: (_syn, _port, events) => {
        if (this.refusal !== null) return this.refusal
        const stream = new TestStream()
        stream.events = events
        this.streams.push(stream)
        return stream
      },
    }
  }

  private output(mtu: number): SegmentOutput {
    const buffer = new Uint8Array(65536)
    return {
      mtu, buffer, segmentStart: 40,
      send: (header, length) => this.record(header, buffer.slice(40, 40 + length)),
      quote: packet => packet.bytes.slice(packet.header, packet.header + 28),
      unreachable: (_quote, why) => { this.unreachables.push(why) },
    }
  }

  private record(header: SegmentHeader, bytes: Uint8Array): boolean {
    if (this.isFull) return false
    const segment = new Segment()
    if (!segment.parse(bytes, 0, bytes.length)) throw new Error('TCP has sent what is no segment')
    const payload = Buffer.from(bytes.subarray(segment.payloadStart)).toString('latin1')
    const [source, destination] = [header.source.join('.'), header.destination.join('.')]
    this.sent.push({ segment, payload, segmentSize: header.segmentSize, source, destination })
    return true
  }
}

export function packetOf(segment: Uint8Array, from: Uint8Array, to: Uint8Array): IpPacket {
  const header = from.length * 2
  const bytes = new Uint8Array(header + segment.length)
  bytes.set(from)
  bytes.set(to, from.length)
  bytes.set(segment, header)
  return {
    bytes, version: from.length === 4 ? 4 : 6, header: 0, source: 0, destination: from.length, protocol: 6, payload: header,
    payloadLength: segment.length, hopLimit: 64, trafficClass: 0, checksumValid: true, segmentSize: 0,
  }
}

export function craft(crafted: Crafted): Uint8Array {
  const bytes = new Uint8Array(60)
  const end = writeOptions(bytes, HEADER_SIZE, crafted)
  const { sourcePort = 40000, destinationPort = 80, sequence = 0, acknowledgment = 0, control, window = 65535 } = crafted
  writeHeader(bytes, 0, sourcePort, destinationPort, sequence, acknowledgment, end, control, window)
  const payload = typeof crafted.payload === 'string' ? Buffer.from(crafted.payload, 'latin1') : crafted.payload ?? new Uint8Array(0)
  return Buffer.concat([bytes.subarray(0, end), payload])
}

function writeOptions(bytes: Uint8Array, start: number, crafted: Crafted): number {
  let at = start
  if (crafted.maximumSegmentSize !== undefined) at = writeMaximumSegmentSize(bytes, at, crafted.maximumSegmentSize)
  if (crafted.windowScale !== undefined) at = writeWindowScale(bytes, at, crafted.windowScale)
  if (crafted.sackPermitted === true) at = writeSackPermitted(bytes, at)
  if (crafted.timestamps !== undefined) at = writeTimestamps(bytes, at, ...crafted.timestamps)
  if (crafted.sack !== undefined) at = writeSack(bytes, at, Int32Array.from(crafted.sack), crafted.sack.length / 2)
  return at
}
