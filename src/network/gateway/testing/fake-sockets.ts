import type {
  EchoResult, HostStream, Listener, ListenerEvents, SocketBackend, StreamEvents, UdpEvents, UdpListener, UdpListenerEvents, UdpSocket,
} from '../../sockets.ts'

export class FakeUdpSocket implements UdpSocket {
  readonly address: string
  readonly port: number
  readonly events: UdpEvents
  readonly sent: Uint8Array[] = []
  closed = false

  constructor(address: string, port: number, events: UdpEvents) {
    this.address = address
    this.port = port
    this.events = events
  }

  send(bytes: Uint8Array): void { this.sent.push(bytes.slice()) }
  close(): void { this.closed = true }
}

export class FakeStream implements HostStream {
  readonly address: string
  readonly port: number
  readonly events: StreamEvents
  readonly written: number[] = []
  ended = false
  aborted = false

  constructor(address: string, port: number, events: StreamEvents) {
    this.address = address
    this.port = port
    this.events = events
  }

  write(bytes: Uint8Array): number {
    this.written.push(...bytes)
    return bytes.length
  }

  resume(): void {}
  end(): void { this.ended = true }
  abort(): void { this.aborted = true }
}

export class FakeUdpListener implements UdpListener {
  readonly events: UdpListenerEvents
  readonly sent: { readonly bytes: Uint8Array, readonly address: string, readonly port: number }[] = []
  closed = false

  constructor(events: UdpListenerEvents) { this.events = events }

  send(bytes: Uint8Array, address: string, port: number): void { this.sent.push({ bytes: bytes.slice(), address, port }) }
  close(): void { this.closed = true }
}

/** The host, played by the test. */
export class FakeSockets implements SocketBackend {
  readonly udp: FakeUdpSocket[] = []
  readonly tcp: FakeStream[] = []
  readonly listeners: ListenerEvents[] = []
  readonly udpListeners: FakeUdpListener[] = []
  readonly pings: { readonly address: string, readonly length: number, readonly done: (result: EchoResult) => void }[] = []
  nameServers: string[] = ['192.0.2.53']

  connectTcp(address: string, port: number, events: StreamEvents): HostStream {
    const stream = new FakeStream(address, port, events)
    this.tcp.push(stream)
    return stream
  }

  connectUdp(address: string, port: number, events: UdpEvents): UdpSocket {
    const socket = new FakeUdpSocket(address, port, events)
    this.udp.push(socket)
    return socket
  }

  listenTcp(_address: string, _port: number, events: ListenerEvents): Promise<Listener> {
    this.listeners.push(events)
    return Promise.resolve({ close: () => {} })
  }

  listenUdp(_address: string, _port: number, events: UdpListenerEvents): Promise<UdpListener> {
    const listener = new FakeUdpListener(events)
    this.udpListeners.push(listener)
    return Promise.resolve(listener)
  }

  echo(address: string, length: number, done: (result: EchoResult) => void): void { this.pings.push({ address, length, done }) }

  resolvers(): readonly string[] { return this.nameServers }
}
