import type { GuestSocket, GuestStream, SocketBackend, StreamEnd } from '../../../machine/socket.ts'
import type { PortSize } from '../../../machine/io.ts'
import type { PlainData } from '../../../machine/lifecycle.ts'
import { StateReader } from '../../../machine/state-reader.ts'
import { DeviceId } from '../bits.ts'
import { ConfigBytes } from '../config-bytes.ts'
import { DescriptorChain } from '../descriptor-chain.ts'
import type { VirtioDevice, VirtioTransport } from '../device.ts'
import type { Virtqueue } from '../virtqueue.ts'
import { Connection } from './connection.ts'
import type { ConnectionOwner } from './connection.ts'
import { HEADER_SIZE, HOST_CID, Operation, PacketHeader, STREAM_TYPE } from './packet.ts'

/**
 * Socket device. Source: VIRTIO 1.2, §5.10.
 *
 *   configuration   0 guest_cid (8)
 *   queues          0 packets to the driver, 1 packets from it, 2 events
 *
 * The host's ends of streams are no state of the machine. A machine that is restored begins without streams, and the driver is told so
 * (the event TRANSPORT_RESET). Refusals wait in a list while the driver gives no buffers; when that is long, no more packets are taken.
 *
 * Left out on purpose: sequenced packets and datagrams, hosts other than ours (context identifier 2).
 */
export const SocketFeature = { STREAM: 0 } as const

const [RECEIVE, TRANSMIT, EVENT] = [0, 1, 2]
const QUEUE_SIZE = 128
const PORTION = 16 << 10
const MOST_CONNECTIONS = 256
const MOST_REFUSALS = 64
const REFUSAL_SIZE = 8
const FIRST_PORT = 0x40000000

interface Refusal { readonly hostPort: number, readonly guestPort: number }

export class VirtioSocket implements VirtioDevice, GuestSocket, ConnectionOwner {
  readonly schema = 'virtio-socket'
  readonly version = 1
  readonly deviceId = DeviceId.SOCKET
  readonly classCode = 0x078000
  readonly features = [SocketFeature.STREAM]
  readonly queueSizes = [QUEUE_SIZE, QUEUE_SIZE, 16]
  readonly transfers = false
  private readonly guestCid: number
  private readonly backend: SocketBackend
  private readonly config = new ConfigBytes(8)
  private readonly header = new PacketHeader()
  private readonly bytes = new Uint8Array(PORTION)
  private readonly connections = new Map<string, Connection>()
  /** Those that may have something to send, in their order. */
  private readonly speakers = new Set<Connection>()
  private refusals: Refusal[] = []
  /** The driver must hear that its streams are gone. */
  private lostStreams = false
  private serving = false
  private nextPort = FIRST_PORT
  private transport!: VirtioTransport
  private chain!: DescriptorChain

  /** `guestCid` is 3 to 2^32 - 2. */
  constructor(guestCid: number, backend: SocketBackend) {
    this.guestCid = guestCid
    this.backend = backend
    this.config.u64(0, guestCid)
  }

  connect(transport: VirtioTransport): void {
    this.transport = transport
    this.chain = new DescriptorChain(transport.memory)
  }

  open(port: number, end: StreamEnd): GuestStream | null {
    if (!this.transport.running || this.connections.size >= MOST_CONNECTIONS || this.refusals.length >= MOST_REFUSALS) return null
    while (this.connections.has(nameOf(port, this.nextPort))) this.nextPort = FIRST_PORT + (this.nextPort + 1) % FIRST_PORT
    const connection = this.add(port, this.nextPort)
    this.nextPort = FIRST_PORT + (this.nextPort + 1) % FIRST_PORT
    connection.start(end, true)
    return connection
  }

  readConfig(offset: number, size: PortSize): number { return this.config.read(offset, size) }
  writeConfig(): void { /* nothing can be written */ }

  notified(queue: Virtqueue): void {
    if (queue.index === EVENT) this.announceLoss()
    else this.serve()
  }

  ready(connection: Connection): void {
    this.speakers.add(connection)
    this.serve()
  }

  forget(connection: Connection, tell: boolean): void {
    this.connections.delete(nameOf(connection.guestPort, connection.hostPort))
    this.speakers.delete(connection)
    if (!tell) return
    this.refusals.push(connection)
    this.serve()
  }

  reset(): void {
    for (const connection of Array.from(this.connections.values())) connection.close('reset', false)
    this.refusals = []
    this.lostStreams = false
  }

  save(): PlainData {
    const refusals = Uint32Array.from(this.refusals.flatMap(({ hostPort, guestPort }) => [hostPort, guestPort]))
    return { refusals: new Uint8Array(refusals.buffer), lostStreams: this.lostStreams || this.connections.size > 0 }
  }

  restore(saved: PlainData): void {
    const state = new StateReader(this.schema, saved)
    const bytes = state.bytes('refusals', 0, (MOST_REFUSALS + MOST_CONNECTIONS) * REFUSAL_SIZE)
    if (bytes.length % REFUSAL_SIZE !== 0) throw state.invalid('refusals', 'has half of one')
    const words = new Uint32Array(bytes.buffer)
    this.refusals = Array.from({ length: words.length / 2 }, (_, index) => {
      return { hostPort: words[2 * index], guestPort: words[2 * index + 1] }
    })
    this.lostStreams = state.boolean('lostStreams')
  }

  resume(): void { this.announceLoss() }

  private add(guestPort: number, hostPort: number): Connection {
    const connection = new Connection(guestPort, hostPort, this)
    this.connections.set(nameOf(guestPort, hostPort), connection)
    return connection
  }

  /** Takes packets and gives packets, until there is nothing more to do. Not again from within. */
  private serve(): void {
    if (this.serving || !this.transport.running) return
    this.serving = true
    const transmit = this.transport.queues[TRANSMIT]
    do {
      this.takePackets(transmit)
      this.givePackets(this.transport.queues[RECEIVE])
    } while (this.refusals.length < MOST_REFUSALS && transmit.waiting > 0)
    this.serving = false
  }

  private takePackets(queue: Virtqueue): void {
    while (this.refusals.length < MOST_REFUSALS && queue.take(this.chain)) {
      const { head } = this.chain
      if (this.chain.read(0, this.header.bytes) === HEADER_SIZE) this.takePacket()
      queue.complete(head, 0)
    }
    queue.signal()
  }

  private takePacket(): void {
    const { header, chain } = this
    const { sourcePort: guestPort, destinationPort: hostPort, operation } = header
    if (header.sourceCid !== BigInt(this.guestCid) || header.destinationCid !== BigInt(HOST_CID)) return
    const connection = this.connections.get(nameOf(guestPort, hostPort))
    if (connection !== undefined && !connection.gone && header.type === STREAM_TYPE) {
      connection.hear(header, chain, this.bytes)
      if (this.connections.get(nameOf(guestPort, hostPort)) === connection) this.speakers.add(connection)
    } else if (connection === undefined && operation === Operation.REQUEST && header.type === STREAM_TYPE) this.accept(guestPort, hostPort)
    else if (operation !== Operation.RST) this.refusals.push({ hostPort, guestPort })
  }

  private accept(guestPort: number, hostPort: number): void {
    const connection = new Connection(guestPort, hostPort, this)
    connection.noteCredit(this.header)
    const end = this.connections.size < MOST_CONNECTIONS ? this.backend.accept(hostPort, connection) : null
    if (end === null) return void this.refusals.push({ hostPort, guestPort })
    this.connections.set(nameOf(guestPort, hostPort), connection)
    connection.start(end, false)
  }

  private givePackets(queue: Virtqueue): void {
    while (this.refusals.length + this.speakers.size > 0 && queue.peek(this.chain)) {
      const room = this.chain.writableLength - HEADER_SIZE
      // A buffer without room for any payload is of no use; what a packet will be is not known before.
      const payload = this.bytes.subarray(0, Math.max(0, Math.min(room, PORTION)))
      const length = payload.length === 0 ? 0 : this.nextPacket(payload)
      if (length < 0) break
      queue.consume(this.chain)
      queue.complete(this.chain.head, payload.length === 0 ? 0 : this.writePacket(payload.subarray(0, length)))
    }
    if (this.refusals.length + this.speakers.size === 0) queue.suppressNotification()
    queue.signal()
  }

  private writePacket(payload: Uint8Array): number {
    return this.chain.write(0, this.header.bytes) + this.chain.write(HEADER_SIZE, payload)
  }

  /** Puts the next packet into `header` and `payload`. Returns the payload's length, or -1 if nobody has anything to say. */
  private nextPacket(payload: Uint8Array): number {
    const refusal = this.refusals.shift()
    if (refusal !== undefined) {
      this.header.fill(this.guestCid, refusal.hostPort, refusal.guestPort, Operation.RST)
      return 0
    }
    for (const connection of this.speakers) {
      this.speakers.delete(connection)
      const length = connection.speak(this.header, this.guestCid, payload)
      if (length < 0) continue
      this.speakers.add(connection)
      return length
    }
    return -1
  }

  /** §5.10.6.7: the driver gives up its streams, and asks for the context identifier again. */
  private announceLoss(): void {
    const queue = this.transport.queues[EVENT]
    if (!this.lostStreams || !queue.take(this.chain)) return
    this.lostStreams = false
    queue.complete(this.chain.head, this.chain.write(0, TRANSPORT_RESET))
    queue.signal()
  }
}

/** A 32-bit event number of 0. */
const TRANSPORT_RESET = new Uint8Array(4)

function nameOf(guestPort: number, hostPort: number): string { return `${guestPort} ${hostPort}` }
