/**
 * One network's gateway: a router, name server and DHCP server that exists in user space only. Towards the guests it is one station on a
 * switch port; towards the outside it is sockets of the host's. See README.md.
 */
import type { Clock } from '../../machine/clock.ts'
import type { EntropySource } from '../../machine/entropy.ts'
import type { Frame, FrameEnd } from '../../machine/frame.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'
import type { HostStream, SocketBackend, StreamEvents } from '../sockets.ts'
import type { IpPacket, Refusal, SegmentTransport, TransportFactory } from '../transport.ts'
import { formatAddress, parseMac } from '../packet/addresses.ts'
import { equalBytes, getU32 } from '../packet/bytes.ts'
import { addressLength } from '../packet/packet.ts'
import { Ager } from './ager.ts'
import { Counters } from './counters.ts'
import { DhcpServer } from './dhcp-server.ts'
import { Discovery } from './discovery.ts'
import { Names } from './dns/names.ts'
import { DNS_PORT, DnsServer } from './dns/server.ts'
import { Upstream } from './dns/upstream.ts'
import { Echoes } from './echo.ts'
import { Fragments } from './fragments.ts'
import { HOST_ADDRESS } from './host-ports.ts'
import { IcmpErrors } from './icmp-errors.ts'
import { Input } from './input.ts'
import { Leases, type LeaseDescription } from './leases.ts'
import { Link } from './link.ts'
import { Neighbours, type Neighbour } from './neighbours.ts'
import { Output } from './output.ts'
import { Policy } from './policy.ts'
import { Publisher, type Publication, type PublishedPort } from './publisher.ts'
import { checkConfiguration, type GatewayConfiguration, type Reservation, type Settings } from './settings.ts'
import { UdpFlows, type FlowDescription } from './udp-flows.ts'

export interface GatewayOptions {
  readonly configuration: GatewayConfiguration
  readonly clock: Clock
  readonly entropy: EntropySource
  readonly sockets: SocketBackend
  readonly transport: TransportFactory
}

/** What `tenon network inspect` shows of a gateway. */
export interface GatewayReport {
  readonly leases: readonly LeaseDescription[]
  readonly neighbours: readonly Neighbour[]
  readonly udpFlows: readonly FlowDescription[]
  readonly published: readonly PublishedPort[]
  readonly drops: Readonly<Record<string, number>>
  readonly framesReceived: number
  readonly framesSent: number
}

const SCHEMA = 'network-gateway'

export class Gateway {
  private readonly settings: Settings
  private readonly clock: Clock
  private readonly entropy: EntropySource
  private readonly sockets: SocketBackend
  private readonly ager: Ager
  private readonly counters = new Counters()
  private readonly link: Link
  private readonly neighbours: Neighbours
  private readonly output: Output
  private readonly policy: Policy
  private readonly leases: Leases
  private readonly flows: UdpFlows
  private readonly dns: DnsServer
  private readonly upstream: Upstream
  private readonly transport: SegmentTransport
  private readonly publisher: Publisher
  private readonly input: Input
  private readonly randomBytes = new Uint8Array(4)

  /** Throws NETWORK_CONFIGURATION_INVALID, NETWORK_RULE_INVALID. */
  constructor(options: GatewayOptions) {
    const { clock, sockets } = options
    const settings = checkConfiguration(options.configuration)
    this.settings = settings
    this.clock = clock
    this.entropy = options.entropy
    this.sockets = sockets
    this.policy = new Policy(clock, settings.allow)
    this.ager = new Ager(clock)
    this.link = new Link(this.counters, () => { this.transport.ready() })
    const random = () => this.random()
    this.neighbours = new Neighbours(this.ager, this.counters, random(),
      (key, keyAt, mac) => { discovery.solicit(key, keyAt, mac) }, (frame) => { this.link.sendHeld(frame) })
    const errors = new IcmpErrors(clock, settings, this.counters, () => this.output)
    this.output = new Output(settings, this.link, this.neighbours, this.counters, random(), errors)
    const discovery = new Discovery(this.ager, settings, this.link, this.neighbours, this.counters, () => this.output)
    this.leases = new Leases(settings)
    this.flows = new UdpFlows(this.ager, this.counters, this.output, settings.flowLimit, random(),
      (address, port, events) => sockets.connectUdp(address, port, events))
    const names = new Names(clock, settings, this.leases, this.neighbours)
    this.upstream = new Upstream(this.ager, sockets, () => random() & 0xffff)
    const outside = settings.kind === 'nat' ? this.upstream : null
    this.dns = new DnsServer(this.ager, this.counters, this.output, names, outside, this.policy)
    this.transport = options.transport({
      clock, output: this.output, connect: (syn, port, events) => this.connectOutside(syn, port, events),
    })
    this.publisher = new Publisher(settings, sockets, this.transport, this.flows, names, this.counters, random)
    this.input = new Input({
      settings, counters: this.counters, discovery, errors, echoes: new Echoes(sockets, this.counters, this.output),
      dhcp: new DhcpServer(clock, settings, this.leases, this.neighbours, this.counters, this.output), dns: this.dns, flows: this.flows,
      policy: this.policy, transport: this.transport,
    }, expired => new Fragments(this.ager, this.counters, expired))
  }

  /** Plugs the switch's end in, and gives the end to send to. Frames are answered from inside `receive`. */
  connect(end: FrameEnd): FrameEnd {
    this.link.connect(end)
    return {
      receive: (frame: Frame) => {
        this.input.receive(frame)
        return true
      },
      ready: () => { this.link.ready() },
    }
  }

  /** Throws PORT_IN_USE, PORT_UNAVAILABLE, PORT_TARGET_UNKNOWN. */
  publish(port: PublishedPort): Promise<Publication> { return this.publisher.publish(port) }

  /** Keeps an address or a name for a card. Throws NETWORK_CONFIGURATION_INVALID. */
  reserve(reservation: Reservation): void { this.leases.reserve(reservation, this.clock.now()) }

  unreserve(mac: string): void { this.leases.unreserve(mac) }

  /** The lease and the connections of a card's guest, for `resume` of the gateway that it is plugged into later. */
  standingOf(mac: string): PlainData {
    return { leases: this.leases.saveOf(mac, this.clock.now()), transport: this.transport.flowsOf(this.addressesOf(mac)) }
  }

  /** A card is unplugged: what its guest had open is closed. */
  leave(mac: string): void {
    const addresses = this.addressesOf(mac)
    this.transport.endFlowsOf(addresses)
    this.flows.closeOf(addresses)
  }

  /** A guest is plugged in that had this elsewhere: it keeps its lease, and hears that its connections are gone. Throws SNAPSHOT_INVALID. */
  resume(mac: string, standing: PlainData): void {
    const reader = new StateReader(`what the card ${mac} had`, standing)
    this.leases.resume(reader, mac, this.clock.now())
    // It is not asked who has the address: it may not run yet, and the answer would come too late.
    const owner = parseMac(mac)!
    this.transport.endSaved(reader.plain('transport'), address => this.neighbours.learn(address, 0, address.length, owner, 0, true))
  }

  report(): GatewayReport {
    return {
      leases: this.leases.list(this.clock.now()), neighbours: this.neighbours.list(), udpFlows: this.flows.list(),
      published: this.publisher.list(), drops: { ...this.counters.drops }, framesReceived: this.counters.framesReceived,
      framesSent: this.counters.framesSent,
    }
  }

  /**
   * Leases, neighbours, and what TCP knows of its connections. The host's sockets cannot be saved: a UDP flow is opened again, from another
   * port, by the guest's next datagram, and open questions and pings are lost, as datagrams are.
   */
  save(): PlainData {
    const { schema, version } = this.transport
    return {
      schema: SCHEMA, version: 1, leases: this.leases.save(this.clock.now()), neighbours: this.neighbours.save(),
      transport: { schema, version, state: this.transport.save() },
    }
  }

  /** Into a new gateway of the same configuration. Throws SNAPSHOT_INVALID. */
  restore(state: PlainData): void {
    const reader = new StateReader(SCHEMA, state)
    reader.choice('schema', [SCHEMA])
    reader.integer('version', 1, 1)
    this.leases.restore(reader, this.clock.now())
    this.neighbours.restore(reader)
    const transport = reader.child('transport')
    transport.choice('schema', [this.transport.schema])
    transport.integer('version', this.transport.version, this.transport.version)
    this.transport.restore((state as { transport: { state: PlainData } }).transport.state)
  }

  /** The network goes: closes all sockets, resets all connections. */
  close(): void {
    this.publisher.closeAll()
    this.transport.close()
    this.flows.closeAll()
    this.upstream.close()
    this.ager.stop()
    this.link.disconnect()
  }

  private connectOutside(syn: IpPacket, port: number, events: StreamEvents): HostStream | Refusal {
    const { bytes, destination } = syn
    const length = addressLength(syn)
    if (this.isOwn(bytes, destination, length)) return this.connectOwn(syn, port, events)
    const allowed = this.settings.kind === 'nat' && port !== 0 && this.policy.allows('tcp', bytes, destination, length, port)
    if (allowed) return this.sockets.connectTcp(formatAddress(bytes, destination, length), port, events)
    this.counters.drop('prohibited')
    return 'prohibited'
  }

  private connectOwn(syn: IpPacket, port: number, events: StreamEvents): HostStream | Refusal {
    if (port === DNS_PORT) return this.dns.connect(syn, events) ?? 'reset'
    return this.settings.hostPorts.has('tcp', port) ? this.sockets.connectTcp(HOST_ADDRESS, port, events) : 'reset'
  }

  private isOwn(bytes: Uint8Array, at: number, length: number): boolean {
    const { ipv4, ipv6, linkLocal } = this.settings
    const own = length === 4 ? [ipv4.address] : [linkLocal, ...ipv6 === null ? [] : [ipv6.address]]
    return own.some(address => equalBytes(bytes, at, address, 0, length))
  }

  private addressesOf(mac: string): ReadonlySet<string> {
    const isOf = (each: { readonly mac: string }): boolean => each.mac.toLowerCase() === mac.toLowerCase()
    return new Set([...this.neighbours.list(), ...this.leases.list(this.clock.now())].filter(isOf).map(({ address }) => address))
  }

  private random(): number {
    this.entropy.fill(this.randomBytes)
    return getU32(this.randomBytes, 0)
  }
}
