/**
 * What the vsock thread does: it listens for programs of the host, connects to them for the guest, and passes bytes on both ways.
 *
 *     host program ── PATH: CONNECT 52 ──▶ slot, ASKED ─▶ the guest's port 52 ─▶ OPENED ──▶ OK 1073741824
 *     guest ── port 1024 of the host ──▶ slot, ASKED ──▶ PATH_1024, if somebody listens there ──▶ OPENED, else CLOSED
 */
import { connect, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import type { Doorbell } from '../machine/doorbell.ts'
import { readGreeting } from './greeting.ts'
import { HostStream } from './host-stream.ts'
import { listenAt } from './socket-file.ts'
import type { SocketFile } from './socket-file.ts'
import { Side, STREAMS_EACH, StreamFlag } from './stream-channel.ts'
import type { StreamChannel, StreamSlot } from './stream-channel.ts'
import { StreamTable } from './stream-table.ts'

/** How long a program may take from its connecting until the guest has accepted. */
const OPENING_MS = 10_000
/** How long sockets may take to send what the guest has left. */
const CLOSING_MS = 1000
/** Of those who have not said yet what they want. */
const GREETINGS = 32

export interface StreamServerParts {
  readonly path: string
  readonly channel: StreamChannel
  readonly doorbell: Doorbell
  /** Has the machine's thread look at its news. */
  readonly ring: () => void
  readonly openingMs?: number
}

export class StreamServer {
  readonly #parts: StreamServerParts
  readonly #table: StreamTable<HostStream>
  /** All sockets that are not closed, and their streams once they have one. */
  readonly #sockets = new Map<Socket, HostStream | undefined>()
  readonly #server: Server
  #file: SocketFile | undefined
  #stopping = false

  constructor(parts: StreamServerParts) {
    this.#parts = parts
    this.#table = new StreamTable(parts.channel, Side.HOST)
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, socket => void this.#welcome(socket))
    this.#server.maxConnections = STREAMS_EACH + GREETINGS
  }

  /** @throws TenonError VSOCK_UNFIT, VSOCK_IN_USE. */
  async listen(): Promise<void> { this.#file = await listenAt(this.#server, this.#parts.path) }

  /** Serves until `close`. The event loop has its turn between two looks. */
  async run(): Promise<void> {
    const { channel, doorbell } = this.#parts
    const hasNews = (): boolean => this.#stopping || channel.hasNews(Side.HOST)
    while (!this.#stopping) {
      this.#table.lookAtNews(slot => this.#connect(slot))
      await setImmediate()
      await doorbell.sleep(hasNews)
    }
  }

  /** The machine is gone. What its guest has sent still reaches those who take it soon. */
  async close(): Promise<void> {
    this.#stopping = true
    this.#parts.doorbell.ring()
    await this.#file?.close()
    const sockets = [...this.#sockets]
    const gone = sockets.map(([socket]) => new Promise<void>(resolve => { socket.once('close', () => resolve()) }))
    for (const [socket, stream] of sockets) {
      if (stream === undefined) socket.destroy()
      else stream.finish()
    }
    const timer = setTimeout(() => sockets.forEach(([socket]) => socket.destroy()), CLOSING_MS)
    await Promise.all(gone)
    clearTimeout(timer)
  }

  /** Somebody has connected to PATH. */
  async #welcome(socket: Socket): Promise<void> {
    this.#keep(socket)
    const deadline = setTimeout(() => socket.destroy(), this.#parts.openingMs ?? OPENING_MS)
    socket.on('close', () => clearTimeout(deadline))
    const port = await readGreeting(socket)
    const slot = port === undefined || socket.destroyed || this.#stopping ? undefined : this.#table.take()
    if (port === undefined || slot === undefined) return void socket.destroy()
    slot.port = port
    this.#add(slot, socket, () => clearTimeout(deadline))
    slot.raise(Side.HOST, StreamFlag.ASKED)
    this.#tell(slot)
  }

  /** The guest connects to a port of the host. */
  #connect(slot: StreamSlot): void {
    const socket = connect({ path: `${this.#parts.path}_${slot.port}`, allowHalfOpen: true })
    this.#keep(socket)
    const stream = this.#add(slot, socket)
    socket.once('connect', () => stream.open())
  }

  #keep(socket: Socket): void {
    this.#sockets.set(socket, undefined)
    socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket))
  }

  #add(slot: StreamSlot, socket: Socket, opened?: () => void): HostStream {
    const stream = new HostStream(slot, socket, {
      opened,
      tell: () => this.#tell(slot),
      over: () => {
        this.#table.leave(slot)
        this.#parts.ring()
      },
    })
    this.#sockets.set(socket, stream)
    this.#table.add(slot, stream)
    return stream
  }

  #tell(slot: StreamSlot): void {
    this.#parts.channel.mark(Side.MACHINE, slot.number)
    this.#parts.ring()
  }
}
