/**
 * The DHCP server of a network, the only one there: it answers for all its addresses (RFC 2131 section 4.3, "authoritative").
 * DHCPv6 without addresses beside it: RFC 8415 section 18.3.6.
 *
 * Left out: BOOTP, relays (giaddr), leases by client identifier (option 61): a guest is its card.
 */
import { formatAddress, isUnspecified } from '../packet/addresses.ts'
import { equalBytes, getU32 } from '../packet/bytes.ts'
import {
  DhcpOption, DhcpType, addressOption, encodeRoutes, parseDhcp, textOption, u16, u32, wantsBroadcast, writeDhcp, type DhcpMessage,
} from '../packet/dhcp.ts'
import { Dhcp6Option, Dhcp6Type, parseDhcp6, writeDhcp6 } from '../packet/dhcp6.ts'
import { encodeName } from '../packet/dns-name.ts'
import { Protocol, type ParsedPacket } from '../packet/packet.ts'
import { UDP_CHECKSUM, UDP_HEADER, writeUdp } from '../packet/udp.ts'
import type { Clock } from '../../machine/clock.ts'
import type { Counters } from './counters.ts'
import type { Lease, Leases } from './leases.ts'
import { PAYLOAD } from './link.ts'
import type { Neighbours } from './neighbours.ts'
import type { Output } from './output.ts'
import { OWN_NAMES, addressOf, isHostName, type Settings } from './settings.ts'

export const DHCP_SERVER_PORT = 67
const DHCP_CLIENT_PORT = 68
export const DHCP6_SERVER_PORT = 547
const DHCP6_CLIENT_PORT = 546

/** Names that programs look up and obey, whoever has them: a guest cannot give them to itself. */
const TRUSTED_NAMES = ['wpad', 'isatap', ...OWN_NAMES]
const EVERYBODY = Uint8Array.of(255, 255, 255, 255)
const DATA = PAYLOAD + UDP_HEADER

export class DhcpServer {
  private readonly clock: Clock
  private readonly settings: Settings
  private readonly leases: Leases
  private readonly neighbours: Neighbours
  private readonly counters: Counters
  private readonly output: Output

  constructor(clock: Clock, settings: Settings, leases: Leases, neighbours: Neighbours, counters: Counters, output: Output) {
    this.clock = clock
    this.settings = settings
    this.leases = leases
    this.neighbours = neighbours
    this.counters = counters
    this.output = output
  }

  /** A datagram to port 67, and its sender's MAC address. */
  receive(data: Uint8Array, mac: Uint8Array): void {
    const message = parseDhcp(data)
    if (message === undefined) return this.counters.drop('malformed')
    if (!equalBytes(message.chaddr, 0, mac, 0, 6)) return this.counters.drop('spoofed')
    if (!isUnspecified(message.giaddr, 0, 4)) return this.counters.drop('not-ours')
    switch (message.type) {
      case DhcpType.DISCOVER: return this.discover(message)
      case DhcpType.REQUEST: return this.request(message)
      case DhcpType.DECLINE: return this.decline(message)
      case DhcpType.RELEASE: return this.leases.release(message.chaddr, getU32(message.ciaddr, 0), this.clock.now())
      case DhcpType.INFORM: return this.inform(message)
      default: return this.counters.drop('not-ours')
    }
  }

  /** A datagram to port 547. */
  receive6(packet: ParsedPacket, data: Uint8Array): void {
    const message = parseDhcp6(data)
    const { ipv6, mac, domain } = this.settings
    if (message === undefined) return this.counters.drop('malformed')
    const server = Uint8Array.of(0, 3, 0, 1, ...mac) // DUID-LL, RFC 8415 section 11.4
    const asked = message.options.get(Dhcp6Option.SERVER)
    const ours = asked === undefined || (asked.length === server.length && equalBytes(asked, 0, server, 0, server.length))
    if (message.type !== Dhcp6Type.INFORMATION_REQUEST || ipv6 === null || !ours) return this.counters.drop('not-ours')
    const client = message.options.get(Dhcp6Option.CLIENT)
    const length = writeDhcp6(this.output.buffer, DATA, Dhcp6Type.REPLY, message.transaction, [
      ...client === undefined || client.length > 130 ? [] : [[Dhcp6Option.CLIENT, client] as const],
      [Dhcp6Option.SERVER, server], [Dhcp6Option.DNS_SERVERS, ipv6.address], [Dhcp6Option.DOMAINS, encodeName(domain)],
      [Dhcp6Option.REFRESH_TIME, u32(3600)],
    ])
    this.output.answer(packet, this.settings.linkLocal)
    this.send(DHCP6_SERVER_PORT, DHCP6_CLIENT_PORT, length)
  }

  private discover(message: DhcpMessage): void {
    const wanted = addressOption(message, DhcpOption.REQUESTED_ADDRESS)
    const lease = this.leases.offer(message.chaddr, wanted, this.nameOf(message), this.clock.now())
    if (lease === undefined) return this.counters.drop('prohibited')
    this.reply(message, DhcpType.OFFER, lease)
  }

  /** RFC 2131 section 4.3.2: selecting has a server, rebooting an address, renewing and rebinding have the client's own. */
  private request(message: DhcpMessage): void {
    const server = addressOption(message, DhcpOption.SERVER)
    if (server !== undefined && server !== getU32(this.settings.ipv4.address, 0)) return this.counters.drop('not-ours')
    const renewing = !isUnspecified(message.ciaddr, 0, 4)
    const address = renewing ? getU32(message.ciaddr, 0) : addressOption(message, DhcpOption.REQUESTED_ADDRESS)
    if (address === undefined) return this.counters.drop('malformed')
    const lease = this.leases.bind(message.chaddr, address, this.nameOf(message), this.clock.now())
    if (lease === undefined) return this.refuse(message, address)
    this.reply(message, DhcpType.ACK, lease)
    this.neighbours.learn(addressOf(lease.address), 0, 4, message.chaddr, 0, true)
  }

  private decline(message: DhcpMessage): void {
    const address = addressOption(message, DhcpOption.REQUESTED_ADDRESS)
    if (address !== undefined) this.leases.decline(message.chaddr, address, this.clock.now())
  }

  /** The guest has an address from elsewhere, and wants to know the rest. */
  private inform(message: DhcpMessage): void {
    if (isUnspecified(message.ciaddr, 0, 4)) return this.counters.drop('malformed')
    this.reply(message, DhcpType.ACK, null)
  }

  private refuse(message: DhcpMessage, address: number): void {
    const text = `${formatAddress(addressOf(address), 0, 4)} is not free for this card`
    this.transmit(message, 0, [
      [DhcpOption.MESSAGE_TYPE, Uint8Array.of(DhcpType.NAK)], [DhcpOption.SERVER, this.settings.ipv4.address],
      [DhcpOption.MESSAGE, Uint8Array.from(text, letter => letter.charCodeAt(0))],
    ], true)
  }

  private reply(message: DhcpMessage, type: number, lease: Lease | null): void {
    const { settings } = this
    const seconds = lease === null ? 0 : settings.leaseSeconds
    this.transmit(message, lease?.address ?? 0, [
      [DhcpOption.MESSAGE_TYPE, Uint8Array.of(type)], [DhcpOption.SERVER, settings.ipv4.address],
      ...lease === null ? [] : [
        [DhcpOption.LEASE_TIME, u32(seconds)] as const, [DhcpOption.RENEWAL, u32(seconds >>> 1)] as const,
        [DhcpOption.REBINDING, u32(Math.floor(seconds * 7 / 8))] as const,
      ],
      [DhcpOption.SUBNET_MASK, settings.netmask], [DhcpOption.BROADCAST, settings.broadcast],
      ...this.routers(), [DhcpOption.DNS, settings.ipv4.address],
      [DhcpOption.DOMAIN, Uint8Array.from(settings.domain, letter => letter.charCodeAt(0))], [DhcpOption.MTU, u16(settings.mtu)],
      [DhcpOption.SEARCH, encodeName(settings.domain)], ...this.hostName(message),
    ], false)
  }

  /** RFC 3442: who understands option 121 ignores option 3, so that the former has the default route too. */
  private routers(): [number, Uint8Array][] {
    const { kind, ipv4, routes } = this.settings
    const router: [number, Uint8Array][] = kind === 'nat' ? [[DhcpOption.ROUTER, ipv4.address]] : []
    if (routes.length === 0) return router
    const classless = routes.map(({ to, via }) => ({ network: to.address, prefixLength: to.prefixLength, router: via }))
    const everything = { network: new Uint8Array(4), prefixLength: 0, router: ipv4.address }
    return [...router, [DhcpOption.ROUTES, encodeRoutes(kind === 'nat' ? [everything, ...classless] : classless)]]
  }

  private hostName(message: DhcpMessage): [number, Uint8Array][] {
    const name = this.leases.reservedName(message.chaddr)
    return name === null ? [] : [[DhcpOption.HOST_NAME, Uint8Array.from(name, letter => letter.charCodeAt(0))]]
  }

  /** Section 4.1: where the answer goes. */
  private transmit(message: DhcpMessage, yiaddr: number, options: readonly (readonly [number, Uint8Array])[], refusal: boolean): void {
    const { output } = this
    const renewing = !isUnspecified(message.ciaddr, 0, 4)
    const length = writeDhcp(output.buffer, DATA, message, { yiaddr, options })
    const everybody = refusal || (!renewing && wantsBroadcast(message))
    output.address(4, this.settings.ipv4.address, 0, everybody ? EVERYBODY : renewing ? message.ciaddr : addressOf(yiaddr), 0)
    if (!everybody) output.packet.mac = message.chaddr
    this.send(DHCP_SERVER_PORT, DHCP_CLIENT_PORT, length)
  }

  private send(from: number, to: number, length: number): void {
    const { output } = this
    writeUdp(output.buffer, PAYLOAD, from, to, length)
    output.packet.protocol = Protocol.UDP
    output.packet.checksumField = UDP_CHECKSUM
    output.transmit(UDP_HEADER + length)
  }

  /** The reservation's name, or what the guest says, if that can be a name. */
  private nameOf(message: DhcpMessage): string | null {
    const reserved = this.leases.reservedName(message.chaddr)
    const said = textOption(message, DhcpOption.HOST_NAME)?.split('.')[0].toLowerCase()
    return reserved ?? (said !== undefined && isHostName(said) && !TRUSTED_NAMES.includes(said) ? said : null)
  }
}
