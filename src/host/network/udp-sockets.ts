import { createSocket } from 'node:dgram'
import type { Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import type { UdpEvents, UdpListener, UdpListenerEvents, UdpSocket } from '../../network/sockets.ts'
import { portError, socketFailure } from './socket-failures.ts'

/** Bytes that wait for the kernel; what is beyond is dropped, as a router would. */
const QUEUE_MAXIMUM = 1 << 20
/** Datagrams that wait for the socket to be connected, which is the next turn of the event loop. */
const EARLY_MAXIMUM = 64

/** A UDP socket of Node's that is connected to one peer. */
export class ConnectedUdp implements UdpSocket {
  private readonly socket: Socket
  private events: UdpEvents | null
  /** Null: the socket is connected. */
  private early: Uint8Array[] | null = []

  constructor(address: string, port: number, events: UdpEvents) {
    this.events = events
    this.socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
    this.socket.on('message', bytes => this.events?.message(bytes))
    this.socket.on('error', error => this.failed(error))
    this.socket.on('connect', () => this.connected())
    this.socket.connect(port, address)
  }

  send(bytes: Uint8Array): void {
    if (this.events === null) return
    if (this.early !== null) {
      if (this.early.length < EARLY_MAXIMUM) this.early.push(Buffer.from(bytes))
    } else if (this.socket.getSendQueueSize() < QUEUE_MAXIMUM) this.transmit(Buffer.from(bytes))
  }

  close(): void {
    if (this.events === null) return
    this.events = null
    this.socket.close()
  }

  private connected(): void {
    const early = this.early ?? []
    this.early = null
    for (const bytes of early) if (this.events !== null) this.transmit(bytes)
  }

  private transmit(bytes: Uint8Array): void {
    this.socket.send(bytes, error => { if (error !== null) this.failed(error) })
  }

  private failed(error: Error): void { this.events?.failed(socketFailure(error)) }
}

/** A UDP port that is open to all. Rejects with PORT_IN_USE or PORT_UNAVAILABLE. */
export function bindUdp(address: string, port: number, events: UdpListenerEvents): Promise<UdpListener> {
  return new Promise((resolve, reject) => {
    const isVersion6 = isIPv6(address)
    const socket = createSocket({ type: isVersion6 ? 'udp6' : 'udp4', ipv6Only: isVersion6 })
    socket.on('message', (bytes, peer) => events.message(bytes, peer.address.replace(/%.*/, ''), peer.port))
    socket.once('error', error => reject(portError('UDP', address, port, error)))
    socket.bind({ port, address, exclusive: true }, () => {
      socket.removeAllListeners('error')
      socket.on('error', ignore)
      resolve(listenerOf(socket))
    })
  })
}

function listenerOf(socket: Socket): UdpListener {
  let isOpen = true
  return {
    send: (bytes, address, port) => {
      if (isOpen && socket.getSendQueueSize() < QUEUE_MAXIMUM) socket.send(Buffer.from(bytes), port, address, ignore)
    },
    close: () => {
      if (isOpen) socket.close()
      isOpen = false
    },
  }
}

/** An ICMP error about one of many peers, or a datagram that could not be sent: as good as lost on the way. */
function ignore(): void { }
