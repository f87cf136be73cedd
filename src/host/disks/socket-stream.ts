import { connect, type Socket } from 'node:net'
import { storageError } from '../../storage/errors.ts'
import type { ByteStream } from '../../storage/nbd/byte-stream.ts'
import type { NbdAddress } from './nbd-uri.ts'

/** Connects. Rejects with DISK_PEER_FAILED, after `timeout` milliseconds at the latest. */
export function connectSocket(address: NbdAddress, timeout: number): Promise<SocketStream> {
  const name = addressName(address)
  const socket = address.kind === 'unix' ? connect({ path: address.path }) : connect({ host: address.host, port: address.port })
  return new Promise((resolve, reject) => {
    const giveUp = (error: Error) => {
      clearTimeout(timer)
      socket.destroy()
      reject(error)
    }
    const timer = setTimeout(() => giveUp(failed(name, `there is no answer after ${timeout / 1000} s`)), timeout)
    socket.once('error', error => giveUp(failed(name, explain(error), error)))
    socket.once('connect', () => {
      clearTimeout(timer)
      socket.removeAllListeners('error')
      resolve(new SocketStream(socket, name))
    })
  })
}

export function addressName(address: NbdAddress): string {
  if (address.kind === 'unix') return address.path
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`
}

/** A TCP connection or a Unix socket as a stream of bytes. Reads no more than is asked for, so that a fast peer waits. */
export class SocketStream implements ByteStream {
  readonly peer: string
  private readonly socket: Socket
  private failure: Error | null = null
  private wake: () => void = () => {}

  constructor(socket: Socket, peer: string) {
    this.socket = socket
    this.peer = peer
    socket.setNoDelay(true)
    socket.on('error', (error) => { this.failure = failed(peer, explain(error), error) })
    for (const event of ['readable', 'end', 'close', 'error']) socket.on(event, () => this.wake())
  }

  async read(): Promise<Uint8Array> {
    for (;;) {
      const chunk = this.socket.read() as Buffer | null
      if (chunk !== null) return chunk
      if (this.failure !== null) throw this.failure
      if (this.socket.readableEnded || this.socket.destroyed) return new Uint8Array(0)
      await new Promise<void>((resolve) => { this.wake = resolve })
    }
  }

  write(pieces: readonly Uint8Array[]): Promise<void> {
    const filled = pieces.filter(piece => piece.length > 0)
    if (filled.length === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const done = (error?: Error | null) => {
        if (error === undefined || error === null) resolve()
        else reject(this.failure ?? failed(this.peer, explain(error), error))
      }
      this.socket.cork()
      filled.forEach((piece, index) => this.socket.write(piece, index === filled.length - 1 ? done : undefined))
      this.socket.uncork()
    })
  }

  close(): void { this.socket.destroy() }
}

const EXPLANATIONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there: start the server, or see to the address',
  ENOENT: 'there is no such socket: start the server, or see to the path',
  ENOTFOUND: 'there is no host of this name',
  EAI_AGAIN: 'the name of the host cannot be looked up at the moment',
  EACCES: 'the permissions of the socket do not allow it',
  ECONNRESET: 'the other end has cut the connection',
  EPIPE: 'the other end has closed the connection',
  ERR_STREAM_DESTROYED: 'the connection was closed',
}

function explain(error: Error): string {
  const { code } = error as NodeJS.ErrnoException
  return EXPLANATIONS[code ?? ''] ?? error.message
}

function failed(name: string, why: string, cause?: unknown): Error { return storageError('DISK_PEER_FAILED', `${name}: ${why}`, cause) }
