/** What a gateway is told to be: plain data, checked here once. */
import {
  formatAddress, formatMac, isInside, parseIpv4, parseMac, parseNetwork, type Network,
} from '../packet/addresses.ts'
import { getU32 } from '../packet/bytes.ts'
import { networkError } from '../errors.ts'
import { HostPorts } from './host-ports.ts'

export interface Reservation {
  /** `52:54:00:12:34:56` */
  readonly mac: string
  /** An address for this card alone; without one, any of the pool. */
  readonly address?: string
  /** The guest's name in DNS, whatever it calls itself. */
  readonly name?: string
}

export interface GatewayConfiguration {
  /**
   * `host-only`: guests reach each other, the gateway, and what of the host `hostPorts` names; nothing outside, not even names. The host
   * reaches published ports.
   */
  readonly kind: 'nat' | 'host-only'
  /** The gateway's own card. */
  readonly mac: string
  /** The largest IP packet, 1280 to 65535; 1500 if left out. */
  readonly mtu?: number
  /** The gateway's address in its network: `10.0.5.1/24`, prefix of 8 to 30 bits. */
  readonly ipv4: string
  /** Addresses to give away; if left out, all but the gateway's, up to 4096. */
  readonly pool?: { readonly first: string, readonly last: string }
  /** The gateway's address in a prefix of 64 bits, `fd12:3456:789a:5::1/64`. Without it there is no IPv6. */
  readonly ipv6?: string
  /** Where the guests' names are; `internal` if left out. */
  readonly domain?: string
  /** 120 to 2^31; 3600 if left out. */
  readonly leaseSeconds?: number
  readonly reservations?: readonly Reservation[]
  /** Routes for guests beside the gateway's own (DHCP option 121): `10.8.0.0/16` by way of another guest. */
  readonly routes?: readonly { readonly to: string, readonly via: string }[]
  /** What guests may reach: see policy.ts. Left out: all but the host's own. */
  readonly allow?: readonly string[]
  /** Ports of the host's loopback that guests reach at the gateway's address: see host-ports.ts. */
  readonly hostPorts?: readonly string[]
  /** UDP flows at a time, 10,000 if left out. */
  readonly flowLimit?: number
}

/** The same, as bytes. */
export interface Settings {
  readonly kind: 'nat' | 'host-only'
  readonly mac: Uint8Array
  readonly mtu: number
  readonly ipv4: Network
  readonly netmask: Uint8Array
  readonly broadcast: Uint8Array
  readonly poolFirst: number
  readonly poolLast: number
  readonly ipv6: Network | null
  readonly linkLocal: Uint8Array
  readonly domain: string
  readonly leaseSeconds: number
  readonly reservations: readonly CheckedReservation[]
  readonly routes: readonly { readonly to: Network, readonly via: Uint8Array }[]
  readonly allow: readonly string[] | null
  readonly hostPorts: HostPorts
  readonly flowLimit: number
}

export interface CheckedReservation {
  readonly mac: Uint8Array
  readonly address: Uint8Array | null
  readonly name: string | null
}

/** Names that are no guest's. */
export const OWN_NAMES: readonly string[] = ['gateway', 'localhost']
/** How many addresses are given away at most, unless a pool is named. */
const POOL_LIMIT = 4096

/** Throws NETWORK_CONFIGURATION_INVALID. */
export function checkConfiguration(configuration: GatewayConfiguration): Settings {
  const mac = checkMac(configuration.mac)
  const ipv4 = checkIpv4(configuration.ipv4)
  const mask = 0xffffffff << 32 - ipv4.prefixLength >>> 0
  const base = (getU32(ipv4.address, 0) & mask) >>> 0
  const settings: Settings = {
    kind: configuration.kind,
    mac,
    mtu: checkNumber('mtu', configuration.mtu ?? 1500, 1280, 65535),
    ipv4,
    netmask: addressOf(mask),
    broadcast: addressOf(base | ~mask),
    ...checkPool(configuration, base, ~mask >>> 0),
    ipv6: configuration.ipv6 === undefined ? null : checkIpv6(configuration.ipv6),
    linkLocal: linkLocalOf(mac),
    domain: checkName('domain', configuration.domain ?? 'internal'),
    leaseSeconds: checkNumber('lease time', configuration.leaseSeconds ?? 3600, 120, 2 ** 31),
    reservations: (configuration.reservations ?? []).map(each => checkReservation(each, ipv4)),
    routes: (configuration.routes ?? []).map(each => checkRoute(each, ipv4)),
    allow: configuration.allow ?? null,
    hostPorts: new HostPorts(configuration.hostPorts ?? []),
    flowLimit: checkNumber('limit of flows', configuration.flowLimit ?? 10_000, 16, 100_000),
  }
  checkUnique(settings)
  return settings
}

export function addressOf(number: number): Uint8Array {
  return Uint8Array.of(number >>> 24, number >>> 16, number >>> 8, number)
}

function invalid(message: string) {
  return networkError('NETWORK_CONFIGURATION_INVALID', message)
}

function checkMac(text: string): Uint8Array {
  const mac = parseMac(text)
  if (mac === undefined) throw invalid(`'${text}' is no MAC address: write six pairs of digits, such as 52:54:00:12:34:56`)
  if ((mac[0] & 1) !== 0 || mac.every(byte => byte === 0)) {
    throw invalid(`${text} is a group's MAC address, not a card's: the second digit must be even, and not all may be zero`)
  }
  return mac
}

function checkIpv4(text: string): Network {
  const network = parseNetwork(text)
  if (network === undefined || network.address.length !== 4) {
    throw invalid(`'${text}' is no IPv4 address with a prefix: write the gateway's own, such as 10.0.5.1/24`)
  }
  if (network.prefixLength < 8 || network.prefixLength > 30) {
    throw invalid(`${text} has a prefix of ${network.prefixLength} bits: a network of guests needs 8 to 30`)
  }
  const host = getU32(network.address, 0) & ~(0xffffffff << 32 - network.prefixLength)
  const last = ~(0xffffffff << 32 - network.prefixLength)
  if (host === 0 || host === last || [0, 127].includes(network.address[0]) || network.address[0] >= 224) {
    throw invalid(`${text} cannot be a gateway's address: take one inside the network, such as its first`)
  }
  return network
}

function checkIpv6(text: string): Network {
  const network = parseNetwork(text)
  if (network === undefined || network.address.length !== 16 || network.prefixLength !== 64) {
    throw invalid(`'${text}' is no IPv6 address with a prefix of 64 bits: write the gateway's own, such as fd12:3456:789a:5::1/64`)
  }
  if (network.address[0] < 0x20 || network.address[0] >= 0xfe || network.address.slice(8).every(byte => byte === 0)) {
    throw invalid(`${text} cannot be a gateway's address: take one of a unique local (fd00::/8) or global prefix, not ending in ::`)
  }
  return network
}

function checkNumber(what: string, value: number, minimum: number, maximum: number): number {
  if (Number.isInteger(value) && value >= minimum && value <= maximum) return value
  throw invalid(`the ${what} is ${value}: it must be ${minimum} to ${maximum}`)
}

/** RFC 1123 section 2.1: letters, digits and hyphens, up to 63 in each label. */
export function isHostName(name: string): boolean {
  return name.length <= 200 && name.split('.').every(label => /^(?!-)[a-z\d-]{1,63}(?<!-)$/i.test(label))
}

function checkName(what: string, name: string): string {
  if (!isHostName(name)) throw invalid(`'${name}' is no ${what} name: use letters, digits and hyphens, up to 63 between dots`)
  return name.toLowerCase()
}

function checkPool(configuration: GatewayConfiguration, base: number, hosts: number): { poolFirst: number, poolLast: number } {
  if (configuration.pool === undefined) return { poolFirst: base + 1, poolLast: base + Math.min(hosts - 1, POOL_LIMIT) }
  const ends = [configuration.pool.first, configuration.pool.last].map((text) => {
    const address = parseIpv4(text)
    const number = address === undefined ? -1 : getU32(address, 0)
    if (number <= base || number >= base + hosts) throw invalid(`the pool's end '${text}' is no address inside ${configuration.ipv4}`)
    return number
  })
  if (ends[1] < ends[0] || ends[1] - ends[0] > 0xffff) {
    throw invalid(`the pool ${configuration.pool.first} to ${configuration.pool.last} is empty or larger than 65536 addresses`)
  }
  return { poolFirst: ends[0], poolLast: ends[1] }
}

export function checkReservation(reservation: Reservation, ipv4: Network): CheckedReservation {
  const address = reservation.address === undefined ? null : parseIpv4(reservation.address)
  if (address === undefined || (address !== null && !isHostAddress(ipv4, address))) {
    throw invalid(`${reservation.mac} cannot have the address '${reservation.address}': `
      + `it is no guest's address in the network ${formatAddress(ipv4.address, 0, 4)}/${ipv4.prefixLength}`)
  }
  const name = reservation.name === undefined ? null : checkName('host', reservation.name)
  if (name !== null && OWN_NAMES.includes(name)) throw invalid(`'${name}' cannot be a guest's name: it has a meaning in every network`)
  if (name?.includes('.')) throw invalid(`'${name}' is no host name for a guest: it may have no dots, the network's domain is added`)
  return { mac: checkMac(reservation.mac), address, name }
}

/** In the network, and neither its first nor its last address. */
function isHostAddress(network: Network, address: Uint8Array): boolean {
  const last = ~(0xffffffff << 32 - network.prefixLength)
  const host = getU32(address, 0) & last
  return isInside(network, address, 0) && host !== 0 && host !== last
}

function checkRoute(route: { to: string, via: string }, ipv4: Network): { to: Network, via: Uint8Array } {
  const to = parseNetwork(route.to)
  if (to === undefined || to.address.length !== 4) throw invalid(`a route to '${route.to}': write a network, such as 10.8.0.0/16`)
  const via = parseIpv4(route.via)
  if (via !== undefined && isHostAddress(ipv4, via)) return { to, via }
  throw invalid(`the route to ${route.to} goes by '${route.via}', which is not in this network`)
}

/** No address, card or name twice. */
function checkUnique(settings: Settings): void {
  const seen = new Map<string, string>()
  const claim = (what: string, who: string) => {
    const other = seen.get(what)
    if (other !== undefined) throw invalid(`${what} is given twice: to ${other} and to ${who}`)
    seen.set(what, who)
  }
  claim(`the address ${formatAddress(settings.ipv4.address, 0, 4)}`, 'the gateway')
  claim(`the card ${formatMac(settings.mac)}`, 'the gateway')
  for (const { mac, address, name } of settings.reservations) {
    const who = formatMac(mac)
    claim(`the card ${who}`, who)
    if (address !== null) claim(`the address ${formatAddress(address, 0, 4)}`, who)
    if (name !== null) claim(`the name ${name}`, who)
  }
}

/** RFC 4291 appendix A: the modified EUI-64 of a MAC address behind fe80::/64. */
export function linkLocalOf(mac: Uint8Array): Uint8Array {
  return Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5])
}
