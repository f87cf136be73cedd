import { gpa } from '../../../base/addresses.ts'
import { HEADER_SIZE, Operation } from '../../../devices/virtio/socket/packet.ts'
import { SocketFeature, VirtioSocket } from '../../../devices/virtio/socket/socket.ts'
import { VirtioDriver } from '../../../devices/virtio/testing/driver.ts'
import { attach } from '../../../devices/virtio/testing/function.ts'
import { PlainMemory } from '../../../devices/virtio/testing/plain-memory.ts'
import { MachineStreams } from '../machine-streams.ts'
import type { MachineVsock } from '../vsock-order.ts'

const CID = 3
const BUFFER = 4096
const RECEIVE_BUFFERS = 32
/** Bytes that the guest takes before it must read. */
export const WINDOW = 256 << 10

export interface GuestPacket {
  readonly operation: number
  readonly guestPort: number
  readonly hostPort: number
  readonly flags?: number
  readonly payload?: Buffer
}

/** What the guest's kernel knows of one stream. */
class GuestConnection {
  input = Buffer.alloc(0)
  /** Operations that came, but for data and credit. */
  readonly heard: number[] = []
  /** Bytes sent, and what the host said of its buffer. */
  sent = 0
  hostBuffer = 0
  hostForwarded = 0
  /** Takes what comes; otherwise its window fills up. */
  reads = true
  forwarded = 0

  get credit(): number { return this.hostBuffer - (this.sent - this.hostForwarded) }
}

/** A machine's thread, the real device, and its driver with what a kernel does, in one: for tests of what is behind the device. */
export class TestGuest {
  readonly device: VirtioSocket
  readonly streams: MachineStreams
  readonly driver: VirtioDriver
  /** The machine's bell. */
  isRung = false
  readonly #memory = new PlainMemory(2 << 20)
  readonly #connections = new Map<string, GuestConnection>()
  readonly #buffers = new Map<number, number>()
  readonly #sendBuffer: number
  #isLooking = false

  constructor(parts: Pick<MachineVsock, 'memory' | 'doorbell'>) {
    this.streams = new MachineStreams(parts)
    this.device = new VirtioSocket(CID, this.streams)
    this.streams.connect(this.device)
    this.driver = new VirtioDriver(attach(this.device, this.#memory).device, this.#memory).start([SocketFeature.STREAM], 64)
    this.#sendBuffer = this.driver.allocate(HEADER_SIZE + BUFFER)
    for (let count = 0; count < RECEIVE_BUFFERS; count++) this.#offer(this.driver.allocate(HEADER_SIZE + BUFFER))
  }

  connection(guestPort: number, hostPort: number): GuestConnection {
    const name = `${guestPort} ${hostPort}`
    const connection = this.#connections.get(name) ?? new GuestConnection()
    this.#connections.set(name, connection)
    return connection
  }

  /** Which ports of the host were given to streams to this port. */
  hostPorts(guestPort: number): number[] {
    const names = [...this.#connections.keys()].map(name => name.split(' ').map(Number))
    return names.filter(([port]) => port === guestPort).map(([, port]) => port)
  }

  send({ operation, guestPort, hostPort, flags = 0, payload = Buffer.alloc(0) }: GuestPacket): void {
    const { forwarded } = this.connection(guestPort, hostPort)
    const at = this.#sendBuffer
    this.#memory.writeU64(gpa(at), BigInt(CID))
    this.#memory.writeU64(gpa(at + 8), 2n)
    for (const [offset, value] of [[16, guestPort], [20, hostPort], [24, payload.length], [32, flags], [36, WINDOW], [40, forwarded]]) {
      this.#memory.writeU32(gpa(at + offset), value)
    }
    this.#memory.writeU32(gpa(at + 28), 1 | operation << 16)
    this.#memory.write(gpa(at + HEADER_SIZE), payload)
    const queue = this.driver.queues[1]
    queue.add([{ address: at, length: HEADER_SIZE + payload.length, writable: false }])
    queue.notify()
    queue.poll()
    this.look()
  }

  /** Sends what the credit allows, and returns how much that was. */
  write(guestPort: number, hostPort: number, bytes: Buffer): number {
    const connection = this.connection(guestPort, hostPort)
    let sent = 0
    while (sent < bytes.length && connection.credit > 0) {
      const payload = bytes.subarray(sent, sent + Math.min(BUFFER, connection.credit))
      connection.sent += payload.length
      sent += payload.length
      this.send({ operation: Operation.RW, guestPort, hostPort, payload })
    }
    return sent
  }

  /** Answers the bell, and takes what the device has put into the driver's buffers. */
  look(): void {
    if (this.#isLooking) return
    this.#isLooking = true
    this.#lookOnce()
    this.#isLooking = false
  }

  #lookOnce(): void {
    if (this.isRung) {
      this.isRung = false
      this.streams.settle()
    }
    const came = this.driver.queues[0].poll().map(({ head, length }) => ({ at: this.#buffers.get(head)!, length }))
    const packets = came.map(({ at, length }) => Buffer.from(this.#memory.bytes.slice(at, at + length)))
    for (const { at } of came) this.#offer(at)
    for (const packet of packets) this.#take(packet)
  }

  async until(enough: () => boolean): Promise<void> {
    const end = performance.now() + 25_000
    for (this.look(); !enough(); this.look()) {
      if (performance.now() > end) throw new Error('nothing came')
      await new Promise(resolve => { setTimeout(resolve, 1) })
    }
  }

  #take(packet: Buffer): void {
    const [hostPort, guestPort] = [packet.readUInt32LE(16), packet.readUInt32LE(20)]
    const connection = this.connection(guestPort, hostPort)
    const operation = packet.readUInt16LE(30)
    connection.hostBuffer = packet.readUInt32LE(36)
    connection.hostForwarded = packet.readUInt32LE(40)
    if (operation === Operation.RW) {
      connection.input = Buffer.concat([connection.input, packet.subarray(HEADER_SIZE)])
      if (connection.reads) this.#giveCredit(guestPort, hostPort)
    } else if (operation !== Operation.CREDIT_UPDATE) connection.heard.push(operation)
  }

  #giveCredit(guestPort: number, hostPort: number): void {
    const connection = this.connection(guestPort, hostPort)
    if (connection.input.length - connection.forwarded < WINDOW / 4) return
    connection.forwarded = connection.input.length
    this.send({ operation: Operation.CREDIT_UPDATE, guestPort, hostPort })
  }

  #offer(address: number): void {
    const queue = this.driver.queues[0]
    this.#buffers.set(queue.add([{ address, length: HEADER_SIZE + BUFFER, writable: true }]), address)
    queue.notify()
  }
}
