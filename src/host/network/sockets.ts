import { Resolver } from 'node:dns'
import { connect, createServer, isIPv6 } from 'node:net'
import type { Server, Socket } from 'node:net'
import type {
  EchoResult, HostStream, Listener, ListenerEvents, SocketBackend, StreamEvents, UdpEvents, UdpListener, UdpListenerEvents, UdpSocket,
} from '../../network/sockets.ts'
import { ReadBuffer } from './read-buffer.ts'
import { SendBuffers } from './send-buffers.ts'
import { portError } from './socket-failures.ts'
import { KEEP_ALIVE_DELAY, TcpStream } from './tcp-stream.ts'
import { bindUdp, ConnectedUdp } from './udp-sockets.ts'

/** Milliseconds for which the host's list of resolvers is believed. */
const RESOLVERS_LIFETIME = 5000
const OPTIONS = { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_DELAY }

export type Echo = (address: string, length: number, done: (result: EchoResult) => void) => void

/** The host's network, through Node. An object serves one thread. */
export class HostSockets implements SocketBackend {
  readonly echo: Echo
  private readonly readBuffer = new ReadBuffer()
  private readonly sendBuffers = new SendBuffers()
  private knownResolvers: readonly string[] = []
  private resolversAt = -Infinity

  /** Echo requests need means of their own. */
  constructor(echo: Echo) { this.echo = echo }

  connectTcp(address: string, port: number, events: StreamEvents): HostStream {
    const reader = this.readBuffer.reader()
    const receive = (count: number, bytes: Uint8Array): boolean => {
      reader.read(count)
      return stream.receive(bytes.subarray(0, count))
    }
    const socket = connect({ ...OPTIONS, host: address, port, onread: { buffer: () => reader.next(), callback: receive } })
    const stream = new TcpStream(socket, this.sendBuffers, false)
    stream.listen(events)
    return stream
  }

  listenTcp(address: string, port: number, events: ListenerEvents): Promise<Listener> {
    const server = createServer({ ...OPTIONS, pauseOnConnect: true }, socket => this.accept(socket, events))
    return listen(server, address, port)
  }

  connectUdp(address: string, port: number, events: UdpEvents): UdpSocket { return new ConnectedUdp(address, port, events) }

  listenUdp(address: string, port: number, events: UdpListenerEvents): Promise<UdpListener> { return bindUdp(address, port, events) }

  resolvers(): readonly string[] {
    const now = performance.now()
    if (now - this.resolversAt < RESOLVERS_LIFETIME) return this.knownResolvers
    this.resolversAt = now
    this.knownResolvers = new Resolver().getServers()
    return this.knownResolvers
  }

  private accept(socket: Socket, events: ListenerEvents): void {
    const stream = new TcpStream(socket, this.sendBuffers, true)
    const { remoteAddress, remotePort } = socket
    const streamEvents = remoteAddress === undefined ? null : events.accepted(stream, remoteAddress.replace(/%.*/, ''), remotePort ?? 0)
    if (streamEvents === null) {
      stream.abort()
      return
    }
    stream.listen(streamEvents)
    socket.on('data', bytes => { if (!stream.receive(bytes)) socket.pause() })
    socket.resume()
  }
}

function listen(server: Server, address: string, port: number): Promise<Listener> {
  return new Promise((resolve, reject) => {
    server.once('error', error => reject(portError('TCP', address, port, error)))
    server.listen({ host: address, port, ipv6Only: isIPv6(address), exclusive: true }, () => {
      server.removeAllListeners('error')
      server.on('error', () => { }) // a connection that could not be accepted: its peer has seen that
      resolve({ close: () => server.close() })
    })
  })
}
