/**
 * What a port of a switch should be: plain data, checked here once. The data plane has the same as `PortSettings`.
 *
 * VLANs as in IEEE 802.1Q: an access port belongs to one and its frames have no tags; a trunk carries several, tagged, and perhaps a
 * native one without tags.
 */
import { networkError } from '../errors.ts'
import { parseAddress, parseMac } from '../packet/addresses.ts'
import { checkRules } from '../filter/rules.ts'
import type { CheckedRule, FilterRule } from '../filter/rules.ts'

export interface PortConfiguration {
  /** One of its own in the switch. */
  readonly name: string
  /** An access port's VLAN, 1 to 4094; 1 if it is left out. */
  readonly vlan?: number
  /** A trunk, with these VLANs (all, if they are left out), and this one without tags. Not together with `vlan`. */
  readonly trunk?: { readonly vlans?: readonly number[], readonly native?: number }
  /** Isolated ports do not reach each other. */
  readonly isolated?: boolean
  /** The only MAC address that frames may come from. */
  readonly mac?: string
  /**
   * The only IP addresses that packets may come from, beside those of a station that has none yet. A family (IPv4, IPv6) of which none is
   * named may have any. Link-local IPv6 is always allowed.
   */
  readonly addresses?: readonly string[]
  /** May assign addresses and advertise routes: the gateway's. */
  readonly trusted?: boolean
  /** Bits a second that pass in each direction. Without it, all. */
  readonly rate?: number
  /** Frames a second to all and to unknown addresses that may come in; 2000 if it is left out. */
  readonly stormRate?: number
  /** The largest packet, 576 to 65535; 1500 if it is left out. */
  readonly mtu?: number
  /** Which packets may pass; without rules, all. See ../filter/. */
  readonly rules?: readonly FilterRule[]
  /** Ports whose frames, both ways, are copied to this one. Such a port takes part in nothing else. */
  readonly mirrors?: readonly string[]
}

/** The same, for the data plane. */
export interface PortSettings {
  readonly name: string
  /** VLAN of frames without a tag; 0: such frames are dropped. */
  readonly native: number
  /** Whether frames of a VLAN other than the native one are carried, with tags; a byte for each. */
  readonly tagged: Uint8Array
  readonly isolated: boolean
  readonly mac: Uint8Array | null
  readonly addresses: readonly Uint8Array[] | null
  readonly trusted: boolean
  /** Bytes a nanosecond; Infinity. */
  readonly rate: number
  readonly stormRate: number
  readonly mtu: number
  readonly rules: readonly CheckedRule[] | null
  readonly mirrors: readonly string[]
}

export const DEFAULT_VLAN = 1
const LARGEST_VLAN = 4094
const VLANS = 4096
const DEFAULT_STORM_RATE = 2000
const DEFAULT_MTU = 1500
const SMALLEST_RATE = 8000
const MOST_ADDRESSES = 64

/** Throws TenonError NETWORK_CONFIGURATION_INVALID, NETWORK_RULE_INVALID. */
export function checkPort(configuration: PortConfiguration): PortSettings {
  const { name, vlan, trunk, rate, isolated = false, trusted = false, mirrors = [] } = configuration
  const refuse = (message: string): Error => networkError('NETWORK_CONFIGURATION_INVALID', `port '${name}': ${message}`)
  if (vlan !== undefined && trunk !== undefined) throw refuse('it is either in one VLAN or a trunk: leave one of them out')
  const range = (what: string, value: number, low: number, high: number): number => {
    if (!Number.isInteger(value) || value < low || value > high) throw refuse(`${what} is ${value}, and must be ${low} to ${high}`)
    return value
  }
  const checkVlan = (value: number): number => range('a VLAN', value, 1, LARGEST_VLAN)
  const native = trunk === undefined ? checkVlan(vlan ?? DEFAULT_VLAN) : trunk.native === undefined ? 0 : checkVlan(trunk.native)
  const tagged = new Uint8Array(VLANS)
  if (trunk !== undefined) {
    if (trunk.vlans === undefined) tagged.fill(1, 1, LARGEST_VLAN + 1)
    else for (const each of trunk.vlans) tagged[checkVlan(each)] = 1
    tagged[native] = 0
  }
  return {
    name, native, tagged, isolated, trusted, mirrors,
    mac: configuration.mac === undefined ? null : checkMac(configuration.mac, refuse),
    addresses: configuration.addresses === undefined ? null : checkAddresses(configuration.addresses, refuse),
    rate: rate === undefined ? Infinity : range('the rate in bits a second', rate, SMALLEST_RATE, 1e12) / 8e9,
    stormRate: range('the storm limit', configuration.stormRate ?? DEFAULT_STORM_RATE, 1, 1e9),
    mtu: range('the MTU', configuration.mtu ?? DEFAULT_MTU, 576, 65_535),
    rules: configuration.rules === undefined ? null : checkRules(configuration.rules),
  }
}

function checkMac(text: string, refuse: (message: string) => Error): Uint8Array {
  const mac = parseMac(text)
  if (mac === undefined) throw refuse(`'${text}' is no MAC address: write it as 52:54:00:12:34:56`)
  if ((mac[0] & 1) !== 0 || mac.every((byte) => byte === 0)) throw refuse(`${text} is the address of no card: its first byte must be even`)
  return mac
}

function checkAddresses(texts: readonly string[], refuse: (message: string) => Error): Uint8Array[] {
  if (texts.length > MOST_ADDRESSES) throw refuse(`it has ${texts.length} addresses, and may have ${MOST_ADDRESSES}`)
  return texts.map((text) => {
    const address = parseAddress(text)
    if (address === undefined) throw refuse(`'${text}' is no IP address`)
    return address
  })
}
