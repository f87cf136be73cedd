/**
 * The host's sockets, as the gateway sees them. Portable: Node's are in ../host/network/, a web page has none, a test has its own.
 *
 * Addresses are text: `192.0.2.1`, `2001:db8::1`, without brackets or zones. No method calls back before it has returned.
 */

/**
 * Why the host could not do it. `refused`: RST, or ICMP port unreachable. `denied`: the host's own rules (EPERM, EACCES). `in-use` and
 * `no-address`: where a port should be published. `exhausted`: no descriptors or memory are left.
 */
export type SocketFailure =
  | 'refused' | 'reset' | 'unreachable-host' | 'unreachable-net' | 'timed-out' | 'denied' | 'in-use' | 'no-address' | 'exhausted'
  | 'too-long' | 'failed'

/** A connected TCP stream, or one that is being connected. */
export interface HostStream {
  /**
   * Takes bytes for the peer, and returns how many. After less than all `StreamEvents.writable` says when to go on. The array belongs
   * to the caller again. Before `connected` nothing is taken.
   */
  write(bytes: Uint8Array): number
  /** After `StreamEvents.data` has returned false: bytes are welcome again. */
  resume(): void
  /** Sends FIN after all that was taken. Data of the peer still arrives. */
  end(): void
  /** Breaks it off, with RST where the host can. No event follows. */
  abort(): void
}

export interface StreamEvents {
  /** Not called for an accepted stream. */
  connected(): void
  /**
   * Bytes of the peer, at most 64 KiB, all of which must be taken; they are the caller's again after the call. False: no more until
   * `HostStream.resume`.
   */
  data(bytes: Uint8Array): boolean
  /** FIN of the peer. */
  ended(): void
  writable(): void
  /** The last event. Without a failure: both directions had ended. */
  closed(failure?: SocketFailure): void
}

/** A UDP socket that talks to one peer only, so that ICMP errors of the path reach it. */
export interface UdpSocket {
  /** Sends a datagram, or drops it for want of room; the array belongs to the caller again. */
  send(bytes: Uint8Array): void
  /** No event follows. */
  close(): void
}

export interface UdpEvents {
  /** A datagram of the peer. The array is the caller's again after the call. */
  message(bytes: Uint8Array): void
  /**
   * Something went wrong: with `refused`, `unreachable-*` and `too-long` the socket lives on, as in the BSD interface; the owner
   * closes it, whatever the failure.
   */
  failed(failure: SocketFailure): void
}

/** A published UDP port. */
export interface UdpListener {
  send(bytes: Uint8Array, address: string, port: number): void
  close(): void
}

export interface UdpListenerEvents {
  message(bytes: Uint8Array, address: string, port: number): void
}

/** A published TCP port. */
export interface Listener {
  close(): void
}

export interface ListenerEvents {
  /** Somebody has connected. The handler's answer gets the stream's events; null: the stream is aborted. */
  accepted(stream: HostStream, address: string, port: number): StreamEvents | null
}

/** What an echo request to the outside came to. `unavailable`: the host has no means to send one. */
export type EchoResult = 'reply' | 'timed-out' | 'unreachable' | 'unavailable'

export interface SocketBackend {
  connectTcp(address: string, port: number, events: StreamEvents): HostStream
  /** Rejects with a TenonError (`PORT_IN_USE`, `PORT_UNAVAILABLE`) that says which port of which address, and what to do. */
  listenTcp(address: string, port: number, events: ListenerEvents): Promise<Listener>
  connectUdp(address: string, port: number, events: UdpEvents): UdpSocket
  /** As `listenTcp`. */
  listenUdp(address: string, port: number, events: UdpListenerEvents): Promise<UdpListener>
  /** Sends one ICMP echo request with `length` bytes of data; `done` is called once. */
  echo(address: string, length: number, done: (result: EchoResult) => void): void
  /** The host's resolvers, `192.0.2.1` or `[2001:db8::1]:5353`; asked again whenever a name is to be resolved. */
  resolvers(): readonly string[]
}
