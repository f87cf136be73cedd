import { Random } from '../../../base/testing/random.ts'
import { BufferPool } from '../buffer-pool.ts'
import { Connection } from '../connection.ts'
import type { ConnectionEnd, ConnectionLink, ConnectionPair, ConnectionUser } from '../connection-link.ts'
import { HEADER_SIZE, Segment } from '../segment.ts'

/** What a link does to packets, one way. Probabilities are from 0 to 1, times in ms. */
export interface Weather {
  loss?: number
  duplication?: number
  /** How many are late, and by how much at most. */
  reordering?: number
  lateness?: number
  delay?: number
  /** Bytes that can be under way; the link refuses more. */
  capacity?: number
  /** Bytes in a millisecond, and how many may wait for that: the link drops what is beyond. */
  rate?: number
  queue?: number
  /** Kinds of options that do not get through. */
  swallows?: readonly number[]
}

interface Event {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

/** Time that passes from event to event. */
export class SimulatedTime {
  now = 1000
  private readonly events: Event[] = []
  private order = 0

  after(delay: number, run: () => void): void {
    const event = { at: this.now + delay, order: this.order++, run }
    let index = this.events.length
    while (index > 0 && this.events[index - 1].at > event.at) index--
    this.events.splice(index, 0, event)
  }

  /** Runs the next event at `limit` at the latest; false if there is none. */
  step(limit: number): boolean {
    if (this.events.length === 0 || this.events[0].at > limit) return false
    const event = this.events.shift() as Event
    this.now = Math.max(this.now, event.at)
    event.run()
    return true
  }
}

/** One end: a connection, its user, and what it sends. The user takes all that comes, and sends what he is given. */
export class SimulatedEnd implements ConnectionLink, ConnectionUser {
  readonly pool: BufferPool
  readonly buffer = new Uint8Array(65536)
  readonly segmentStart = 0
  readonly mtu: number
  connection!: Connection
  readonly time: SimulatedTime
  peer!: SimulatedEnd
  readonly weather: Weather
  private readonly random: Random
  private readonly segment = new Segment()
  private underWay = 0
  private isBlocked = false
  private lastArrival = 0
  private queueEmptyAt = 0
  dropped = 0

  /** Of segments that were handed to the link, as one packet each. */
  packets = 0
  onPacket: ((bytes: Uint8Array) => void) | null = null

  readonly received: Uint8Array[] = []
  receivedBytes = 0
  /** How many bytes the user takes at once; 0: nothing for now. */
  appetite = Infinity
  toSend: Uint8Array = new Uint8Array(0)
  private sent = 0
  endsAfterSending = true
  private hasEnded = false
  isEstablished = false
  hasHeardEnd = false
  end: ConnectionEnd | null = null

  constructor(time: SimulatedTime, weather: Weather, random: Random, options: { mtu?: number, memory?: number } = {}) {
    this.time = time
    this.weather = weather
    this.random = random
    this.mtu = options.mtu ?? 1500
    this.pool = new BufferPool(options.memory ?? 8 << 20)
  }

  get now(): number { return this.time.now }

  /** Adds both directions' options: `initialSequence` may be near the end of the numbers. */
  plug(peer: SimulatedEnd, port: number, initialSequence: number): void {
    this.peer = peer
    const [local, remote] = [Uint8Array.of(10, 0, 0, port & 0xff), Uint8Array.of(10, 0, 0, 255)]
    this.connection = new Connection(this, {
      version: 4, localAddress: local, localPort: port, remoteAddress: remote, remotePort: 80 }, initialSequence | 0, this)
  }

  // ── ConnectionLink ──

  send(_pair: ConnectionPair, length: number, segmentSize: number): boolean {
    if (this.underWay > 0 && this.underWay + length > (this.weather.capacity ?? Infinity)) {
      this.isBlocked = true
      return false
    }
    const bytes = this.buffer.slice(0, length)
    const headerSize = (bytes[12] >>> 4) * 4
    if (segmentSize === 0) this.sendPacket(bytes)
    else for (let at = headerSize; at < length; at += segmentSize) this.sendPacket(cut(bytes, headerSize, at, segmentSize))
    return true
  }

  private sendPacket(bytes: Uint8Array): void {
    this.packets++
    swallow(bytes, this.weather.swallows ?? [])
    this.onPacket?.(bytes)
    if (bytes.length > this.mtu - 20) throw new Error(`a segment of ${bytes.length} bytes on a link with MTU ${this.mtu}`)
    const { loss = 0, duplication = 0, reordering = 0, lateness = 0, delay = 1 } = this.weather
    if (this.chance(loss) || this.isQueueFull(bytes.length)) return
    const copies = this.chance(duplication) ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      const isLate = this.chance(reordering)
      let arrival = Math.max(this.time.now, this.queueEmptyAt) + delay + (isLate ? this.random.below(1000) / 1000 * lateness : 0)
      if (!isLate) arrival = this.lastArrival = Math.max(this.lastArrival, arrival)
      this.underWay += bytes.length
      this.time.after(arrival - this.time.now, () => this.arrive(bytes))
    }
  }

  /** Puts bytes into the queue of a link with a rate, if there is room. */
  private isQueueFull(length: number): boolean {
    const { rate = Infinity, queue = Infinity } = this.weather
    const start = Math.max(this.time.now, this.queueEmptyAt)
    if ((start - this.time.now) * rate > queue) {
      this.dropped++
      return true
    }
    this.queueEmptyAt = start + length / rate
    return false
  }

  private chance(probability: number): boolean { return probability > 0 && this.random.below(1 << 20) < probability * (1 << 20) }

  private arrive(bytes: Uint8Array): void {
    this.underWay -= bytes.length
    this.peer.take(bytes)
    if (!this.isBlocked) return
    this.isBlocked = false
    this.connection.linkReady()
    this.settle()
  }

  take(bytes: Uint8Array): void {
    if (!this.segment.parse(bytes, 0, bytes.length)) throw new Error('a segment that cannot be read')
    if (this.connection.state === 'OPENING') {
      this.connection.noteSyn(this.segment)
      this.connection.accept()
    } else this.connection.receive(this.segment)
    this.settle()
  }

  /** What an endpoint does after each event: here, one timer for each deadline. */
  settle(): void {
    this.pump()
    const { deadline } = this.connection
    if (deadline === Infinity || deadline >= this.armed) return
    this.armed = deadline
    this.time.after(Math.max(0, deadline - this.time.now), () => {
      this.armed = Infinity
      if (this.connection.deadline <= this.time.now) this.connection.expire()
      this.settle()
    })
  }

  private armed = Infinity

  // ── ConnectionUser ──

  established(): void { this.isEstablished = true }

  deliver(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, this.appetite)
    if (count > 0) this.received.push(bytes.slice(0, count))
    this.receivedBytes += count
    return count
  }

  deliverEnd(): void { this.hasHeardEnd = true }
  acknowledged(): void { }
  over(end: ConnectionEnd): void { this.end = end }

  /** Writes as long as there is room. */
  pump(): void {
    const { state } = this.connection
    if (state === 'CLOSED' || state === 'TIME-WAIT' || this.hasEnded) return
    while (this.sent < this.toSend.length && this.connection.hasRoom) {
      const piece = this.toSend.subarray(this.sent, this.sent + 1 + this.random.below(65536))
      this.sent += piece.length
      this.connection.write(piece)
    }
    if (this.sent < this.toSend.length || !this.endsAfterSending) return
    this.hasEnded = true
    this.connection.finish()
  }

  setAppetite(bytes: number): void {
    this.appetite = bytes
    this.connection.drain()
    this.settle()
  }
}

function cut(bytes: Uint8Array, headerSize: number, at: number, segmentSize: number): Uint8Array {
  const piece = new Uint8Array(headerSize + Math.min(segmentSize, bytes.length - at))
  piece.set(bytes.subarray(0, headerSize))
  piece.set(bytes.subarray(at, at + segmentSize), headerSize)
  const view = new DataView(piece.buffer)
  view.setInt32(4, view.getInt32(4) + at - headerSize)
  const isLast = at + segmentSize >= bytes.length
  if (!isLast) piece[13] &= ~0x09 // PSH and FIN go with the last
  return piece
}

/** Has no-operations in place of options, as some middleboxes do. */
function swallow(bytes: Uint8Array, kinds: readonly number[]): void {
  const end = (bytes[12] >>> 4) * 4
  for (let at = HEADER_SIZE; at < end;) {
    const length = bytes[at] <= 1 ? 1 : bytes[at + 1]
    if (kinds.includes(bytes[at])) bytes.fill(1, at, at + length)
    at += length
  }
}

/** Two ends and a link; the first one opens. `initial`: both initial sequence numbers. */
export function simulate(seed: number, weather: Weather, options: {
  initial?: number, mtu?: number, memory?: number, back?: Weather } = {},
): { time: SimulatedTime, client: SimulatedEnd, server: SimulatedEnd } {
  const random = new Random(seed)
  const time = new SimulatedTime()
  const client = new SimulatedEnd(time, weather, random, options)
  const server = new SimulatedEnd(time, options.back ?? weather, random, options)
  client.plug(server, 1, options.initial ?? random.u32())
  server.plug(client, 2, options.initial ?? random.u32())
  return { time, client, server }
}

