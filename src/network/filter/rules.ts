/**
 * Rules of what may pass a port: plain data, checked here once.
 *
 * The first rule that matches decides. A packet that begins something and matches none is dropped; one that belongs to something which was
 * allowed passes. So the rules of a security group are those that allow, and nothing else.
 */
import { networkError } from '../errors.ts'
import { isInside, parseNetwork } from '../packet/addresses.ts'
import type { Network } from '../packet/addresses.ts'
import { Protocol } from '../packet/packet.ts'
import type { Flow } from './flow.ts'

export type Direction = 'in' | 'out'

export interface FilterRule {
  /** `in`: to the station behind the port; `out`: from it. */
  readonly direction: Direction
  /** Default: allow. */
  readonly action?: 'allow' | 'deny'
  /** A name, or the number of an Internet protocol. Default: all. */
  readonly protocol?: 'tcp' | 'udp' | 'icmp' | 'icmpv6' | number
  /** Where the other side is, `10.0.0.0/8`. Default: anywhere. */
  readonly network?: string
  /** Destination ports, the first and the last; for TCP and UDP only. */
  readonly ports?: readonly [first: number, last: number]
  /** Packets that begin something, those that belong to something known, or both. Default: `new`. */
  readonly state?: 'new' | 'established' | 'any'
}

export interface CheckedRule {
  readonly isIn: boolean
  readonly allows: boolean
  /** -1: all. */
  readonly protocol: number
  readonly network: Network | null
  readonly firstPort: number
  readonly lastPort: number
  readonly hasPorts: boolean
  readonly matchesNew: boolean
  readonly matchesKnown: boolean
}

const PROTOCOLS: Readonly<Record<string, number>> = { tcp: Protocol.TCP, udp: Protocol.UDP, icmp: Protocol.ICMP, icmpv6: Protocol.ICMPV6 }
const MOST_RULES = 256

/** Throws TenonError NETWORK_RULE_INVALID. */
export function checkRules(rules: readonly FilterRule[]): CheckedRule[] {
  if (rules.length > MOST_RULES) throw networkError('NETWORK_RULE_INVALID', `there are ${rules.length} rules, and may be ${MOST_RULES}`)
  return rules.map(checkRule)
}

function checkRule(rule: FilterRule, index: number): CheckedRule {
  const refuse = (message: string): Error => networkError('NETWORK_RULE_INVALID', `rule ${index + 1}: ${message}`)
  const protocol = rule.protocol === undefined ? -1 : typeof rule.protocol === 'number' ? rule.protocol : PROTOCOLS[rule.protocol]
  if (!Number.isInteger(protocol) || protocol < -1 || protocol > 255) {
    throw refuse(`'${rule.protocol}' is no protocol: write tcp, udp, icmp, icmpv6 or a number up to 255`)
  }
  if (rule.direction !== 'in' && rule.direction !== 'out') throw refuse(`'${String(rule.direction)}' is no direction: write in or out`)
  const network = rule.network === undefined ? null : parseNetwork(rule.network)
  if (network === undefined) throw refuse(`'${rule.network}' is no network: write it as 10.0.0.0/8 or fd00::/8`)
  const [firstPort, lastPort] = rule.ports ?? [0, 0xffff]
  const isPort = (port: number): boolean => Number.isInteger(port) && port >= 0 && port <= 0xffff
  if (!isPort(firstPort) || !isPort(lastPort) || firstPort > lastPort) {
    throw refuse(`ports ${firstPort} to ${lastPort} are no range of ports`)
  }
  if (rule.ports !== undefined && protocol !== Protocol.TCP && protocol !== Protocol.UDP) {
    throw refuse('only TCP and UDP have ports: name one of them')
  }
  const { state = 'new', action = 'allow' } = rule
  return {
    isIn: rule.direction === 'in', allows: action === 'allow', protocol, network, firstPort, lastPort, hasPorts: rule.ports !== undefined,
    matchesNew: state !== 'established', matchesKnown: state !== 'new',
  }
}

/** Whether a packet is one that the rule is about. `flow` was read for this direction. */
export function matches(rule: CheckedRule, flow: Flow, isIn: boolean, isKnown: boolean): boolean {
  if (rule.isIn !== isIn || !(isKnown ? rule.matchesKnown : rule.matchesNew)) return false
  if (rule.protocol >= 0 && rule.protocol !== flow.protocol) return false
  if (rule.hasPorts && (flow.destinationPort < rule.firstPort || flow.destinationPort > rule.lastPort)) return false
  if (rule.network === null) return true
  return rule.network.address.length === flow.addressLength && isInside(rule.network, flow.bytes, flow.remote)
}
