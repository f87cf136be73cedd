/**
 * Ports of the host that lead to a guest's: TCP and UDP, IPv4 and IPv6 on either side.
 *
 * The guest sees the client's own address where it can: of the same family, and none that the guest would not answer through the gateway.
 * Otherwise (the host's loopback, above all) the client has the gateway's address.
 */
import type { HostStream, Listener, SocketBackend, StreamEvents, UdpListener } from '../sockets.ts'
import type { Endpoint, SegmentTransport } from '../transport.ts'
import { isInside, isUnicastSource, parseAddress } from '../packet/addresses.ts'
import { networkError } from '../errors.ts'
import type { Counters } from './counters.ts'
import type { Names } from './dns/names.ts'
import type { Settings } from './settings.ts'
import type { Flow, UdpFlows } from './udp-flows.ts'

export interface PublishedPort {
  readonly protocol: 'tcp' | 'udp'
  /** The host's: `127.0.0.1`, `0.0.0.0`, `::`. */
  readonly address: string
  readonly port: number
  /** The guest: an address of this network, or a name. */
  readonly guest: string
  readonly guestPort: number
}

export interface Publication {
  readonly port: PublishedPort
  /** Stops listening. Connections that are open stay. */
  close(): void
}

const PORT_TRIES = 32
const FIRST_ALIAS = 1024

export class Publisher {
  private readonly settings: Settings
  private readonly sockets: SocketBackend
  private readonly transport: SegmentTransport
  private readonly flows: UdpFlows
  private readonly names: Names
  private readonly counters: Counters
  private readonly random: () => number
  private readonly publications = new Set<Publication>()
  private closed = false

  constructor(
    settings: Settings, sockets: SocketBackend, transport: SegmentTransport, flows: UdpFlows, names: Names, counters: Counters,
    random: () => number) {
    this.settings = settings
    this.sockets = sockets
    this.transport = transport
    this.flows = flows
    this.names = names
    this.counters = counters
    this.random = random
  }

  /** Throws PORT_IN_USE, PORT_UNAVAILABLE, PORT_TARGET_UNKNOWN. A guest that is named need not be there yet. */
  async publish(port: PublishedPort): Promise<Publication> {
    this.check(port)
    const listener = port.protocol === 'tcp' ? await this.listenTcp(port) : await this.listenUdp(port)
    if (this.closed) listener.close() // the network went away meanwhile
    const publication: Publication = {
      port,
      close: () => {
        listener.close()
        this.publications.delete(publication)
      },
    }
    if (!this.closed) this.publications.add(publication)
    return publication
  }

  list(): PublishedPort[] { return [...this.publications].map(({ port }) => port) }

  closeAll(): void {
    this.closed = true
    for (const publication of this.publications) publication.close()
  }

  private check(port: PublishedPort): void {
    const address = parseAddress(port.guest)
    const { ipv4, ipv6 } = this.settings
    const network = address?.length === 16 ? ipv6 : ipv4
    if (address === undefined || (network !== null && isInside(network, address, 0))) return
    throw networkError('PORT_TARGET_UNKNOWN', `port ${port.port} cannot be published to ${port.guest}: `
      + 'no guest of this network has that address; name a guest, or an address inside it')
  }

  private listenTcp(port: PublishedPort): Promise<Listener> {
    return this.sockets.listenTcp(port.address, port.port, {
      accepted: (stream, address, clientPort) => this.accept(port, stream, address, clientPort),
    })
  }

  private accept(port: PublishedPort, stream: HostStream, address: string, clientPort: number): StreamEvents | null {
    const guest = this.target(port)
    if (guest === null) return null
    const client = this.visible(address, guest.version)
    for (let attempt = 0; attempt < PORT_TRIES; attempt++) {
      const from: Endpoint = { version: guest.version, address: client, port: attempt === 0 ? clientPort : this.aliasPort() }
      const events = this.transport.accept(stream, from, guest)
      if (events !== null) return events
    }
    return null
  }

  private async listenUdp(port: PublishedPort): Promise<Listener> {
    const clients = new Map<string, Flow>()
    const owner = `published ${port.address} ${port.port}`
    const listener: UdpListener = await this.sockets.listenUdp(port.address, port.port, {
      message: (bytes, address, clientPort) => {
        const key = `${address} ${clientPort}`
        const flow = clients.get(key) ?? this.acceptUdp(port, owner, listener, address, clientPort)
        if (flow === null) return this.counters.drop('flows')
        clients.set(key, flow)
        flow.closed = () => { clients.delete(key) }
        flow.message(bytes)
      },
    })
    return {
      close: () => {
        listener.close()
        for (const flow of clients.values()) flow.end()
      },
    }
  }

  private acceptUdp(port: PublishedPort, owner: string, listener: UdpListener, address: string, clientPort: number): Flow | null {
    const guest = this.target(port)
    if (guest === null) return null
    const client = this.visible(address, guest.version)
    const socket = { send: (bytes: Uint8Array) => { listener.send(bytes, address, clientPort) }, close: () => {} }
    for (let attempt = 0; attempt < PORT_TRIES; attempt++) {
      const seen = attempt === 0 && clientPort >= FIRST_ALIAS ? clientPort : this.aliasPort()
      const flow = this.flows.accept(owner, guest.address, guest.port, client, seen, socket)
      if (flow !== null) return flow
    }
    return null
  }

  /** Null: the guest has no address now. */
  private target(port: PublishedPort): Endpoint | null {
    const host = parseAddress(port.guest) === undefined ? this.names.find(port.guest.toLowerCase()) : undefined
    const address = parseAddress(port.guest) ?? host?.ipv4 ?? host?.ipv6 ?? null
    return address === null ? null : { version: address.length === 4 ? 4 : 6, address, port: port.guestPort }
  }

  /** What the guest sees as the client's address. */
  private visible(text: string, version: 4 | 6): Uint8Array {
    const { ipv4, ipv6, linkLocal, kind } = this.settings
    const own = version === 4 ? ipv4.address : ipv6?.address ?? linkLocal
    const address = parseAddress(text.replace(/^::ffff:(?=\d+\.)/i, ''))
    const network = version === 4 ? ipv4 : ipv6
    // Without a route to the outside, the guest can answer its network's addresses only.
    const usable = kind === 'nat' && address !== undefined && address.length === own.length && isUnicastSource(address, 0, address.length)
      && network !== null && !isInside(network, address, 0) && !isLinkLocal(address)
    return usable ? address : own
  }

  private aliasPort(): number {
    return FIRST_ALIAS + this.random() % (0x10000 - FIRST_ALIAS)
  }
}

function isLinkLocal(address: Uint8Array): boolean {
  return address.length === 4 ? address[0] === 169 && address[1] === 254 : address[0] === 0xfe && (address[1] & 0xc0) === 0x80
}
