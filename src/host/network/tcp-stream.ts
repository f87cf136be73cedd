import { Socket } from 'node:net'
import type { HostStream, SocketFailure, StreamEvents } from '../../network/sockets.ts'
import { socketFailure } from './socket-failures.ts'
import type { SendBuffers } from './send-buffers.ts'

/** Bytes that may wait for the kernel, beside what it holds itself. */
const PENDING_MAXIMUM = 256 * 1024
/** A dead peer is noticed after ten minutes and some seconds, so that a guest's flow does not live for ever. */
export const KEEP_ALIVE_DELAY = 600_000

/**
 * A TCP socket of Node's as a `HostStream`. Bytes that come in lie in a buffer that all sockets share (read-buffer.ts); bytes that go
 * out are copied into buffers that are used again, and are taken only as long as the kernel keeps up.
 */
export class TcpStream implements HostStream {
  private readonly socket: Socket
  private readonly buffers: SendBuffers
  private events: StreamEvents | null = null
  private failure: SocketFailure | undefined
  private isConnected: boolean
  private pending = 0
  private isFull = false

  constructor(socket: Socket, buffers: SendBuffers, isConnected: boolean) {
    this.socket = socket
    this.buffers = buffers
    this.isConnected = isConnected
    socket.on('error', error => { this.failure = socketFailure(error) })
    socket.on('close', () => this.close())
    socket.on('end', () => this.events?.ended())
    socket.on('connect', () => this.connected())
  }

  listen(events: StreamEvents): void { this.events = events }

  write(bytes: Uint8Array): number {
    const count = this.isConnected ? Math.min(bytes.length, PENDING_MAXIMUM - this.pending) : 0
    if (count < bytes.length) this.isFull = true
    for (let at = 0; at < count;) at += this.send(bytes, at, count)
    return count
  }

  resume(): void { this.socket.resume() }

  end(): void { this.socket.end() }

  abort(): void {
    this.events = null
    if (this.socket.connecting) this.socket.destroy()
    else this.socket.resetAndDestroy()
  }

  /** Bytes that came in, valid during the call. False: no more for now. */
  receive(bytes: Uint8Array): boolean { return this.events === null || this.events.data(bytes) }

  /** Sends what fits into one buffer, and returns how much that was. */
  private send(bytes: Uint8Array, start: number, end: number): number {
    const buffer = this.buffers.take(end - start)
    const count = Math.min(buffer.length, end - start)
    buffer.set(bytes.subarray(start, start + count))
    this.pending += count
    this.socket.write(buffer.subarray(0, count), () => this.sent(buffer, count))
    return count
  }

  private sent(buffer: Buffer, count: number): void {
    this.buffers.give(buffer)
    this.pending -= count
    if (this.isFull && this.pending <= PENDING_MAXIMUM / 2) this.drained()
  }

  private drained(): void {
    this.isFull = false
    this.events?.writable()
  }

  private connected(): void {
    this.isConnected = true
    this.events?.connected()
    if (this.isFull) this.drained()
  }

  private close(): void {
    const { events } = this
    this.events = null
    events?.closed(this.failure)
  }
}
