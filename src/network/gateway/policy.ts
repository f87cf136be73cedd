/**
 * What guests may reach outside. By default everything but the host's own loopback and link-local addresses, and what is no station's
 * address; with rules, only what they name. The default's exceptions hold with rules as well. Questions for other names are not passed
 * on either: a question can carry data out as well as a packet can.
 *
 *   example.org:443        a name, as the network's DNS has answered it to a guest
 *   *.example.org:443      every name below
 *   192.0.2.7:53/udp       an address; /tcp, /udp, or both
 *   192.0.2.0/24:*         a network, all ports
 *   [2001:db8::/32]:80-90  IPv6 in brackets; a range of ports
 */
import { parseAddress, isInside, writeKey, formatKey, KEY_LENGTH, parseNetwork, type Network } from '../packet/addresses.ts'
import { networkError } from '../errors.ts'
import type { Clock } from '../../machine/clock.ts'
import { SECOND } from './ager.ts'
import { isHostName } from './settings.ts'

export type FlowProtocol = 'tcp' | 'udp' | 'icmp'

export interface Rule {
  readonly network: Network | null
  /** Lower case; with a dot first: everything below. */
  readonly name: string | null
  readonly firstPort: number
  readonly lastPort: number
  readonly protocol: 'tcp' | 'udp' | null
}

/** Never reachable. RFC 6890, RFC 4291. */
const FORBIDDEN = [
  '0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4',
  '::/96', 'fe80::/10', 'ff00::/8',
].map(text => parseNetwork(text)!)
/** IPv6 addresses that have an IPv4 address at their end: mapped, and of NAT64 (RFC 6052). That one counts as well. */
const EMBEDDING = ['::ffff:0:0/96', '64:ff9b::/96'].map(text => parseNetwork(text)!)
const LEARNED_LIMIT = 4096
/** Programs use an answer longer than its TTL says. */
const LEARNED_GRACE = 600 * SECOND

export class Policy {
  private readonly clock: Clock
  private readonly rules: readonly Rule[] | null
  /** Addresses that names stand for: by address, which rules have named it and until when. */
  private readonly learned = new Map<string, Map<Rule, number>>()
  private readonly key = new Uint8Array(KEY_LENGTH)

  /** @param allow null: everything. Throws NETWORK_RULE_INVALID. */
  constructor(clock: Clock, allow: readonly string[] | null) {
    this.clock = clock
    this.rules = allow?.map(parseRule) ?? null
  }

  /** Whether a guest may reach a port (0 for ICMP: any port's rule does) of an address with 4 or 16 bytes. */
  allows(protocol: FlowProtocol, bytes: Uint8Array, at: number, length: number, port: number): boolean {
    if (isForbidden(bytes, at, length)) return false
    if (this.rules === null) return true
    writeKey(bytes, at, length, this.key, 0)
    const named = this.learned.get(formatKey(this.key))
    const now = this.clock.now()
    return this.rules.some(rule => matchesPort(rule, protocol, port)
      && (rule.network === null ? (named?.get(rule) ?? 0) > now
        : rule.network.address.length === length && isInside(rule.network, bytes, at)))
  }

  /** Whether the outside may be asked about a name (in lower case). */
  mayAsk(name: string): boolean {
    return this.rules === null || this.rules.some(rule => matchesName(rule, name))
  }

  /** A guest was told that a name (in lower case) stands for an address. */
  learn(name: string, address: Uint8Array, seconds: number): void {
    const rules = this.rules?.filter(rule => matchesName(rule, name)) ?? []
    if (rules.length === 0) return
    writeKey(address, 0, address.length, this.key, 0)
    const key = formatKey(this.key)
    const entry = this.learned.get(key) ?? new Map<Rule, number>()
    for (const rule of rules) entry.set(rule, this.clock.now() + seconds * SECOND + LEARNED_GRACE)
    this.learned.delete(key)
    this.learned.set(key, entry)
    if (this.learned.size > LEARNED_LIMIT) this.learned.delete(this.learned.keys().next().value!)
  }
}

function isForbidden(bytes: Uint8Array, at: number, length: number): boolean {
  const inside = (network: Network) => network.address.length === length && isInside(network, bytes, at)
  if (length === 16 && EMBEDDING.some(inside)) return isForbidden(bytes, at + 12, 4)
  return FORBIDDEN.some(inside)
}

function matchesPort(rule: Rule, protocol: FlowProtocol, port: number): boolean {
  if (protocol === 'icmp') return true
  return (rule.protocol === null || rule.protocol === protocol) && port >= rule.firstPort && port <= rule.lastPort
}

function matchesName(rule: Rule, name: string): boolean {
  if (rule.name === null) return false
  return rule.name.startsWith('.') ? name.endsWith(rule.name) : name === rule.name
}

export function parseRule(text: string): Rule {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\*|\d{1,5}(?:-\d{1,5})?)(?:\/(tcp|udp))?$/.exec(text)
  if (match === null) throw invalid(text)
  const host = match[1] ?? match[2]
  const [firstPort, lastPort] = parsePorts(match[3])
  if (firstPort < 1 || lastPort > 65535 || firstPort > lastPort) throw invalid(text)
  const protocol = match[4] === 'tcp' || match[4] === 'udp' ? match[4] : null
  return { ...parseHost(text, host, match[1] !== undefined), firstPort, lastPort, protocol }
}

function parsePorts(text: string): [number, number] {
  if (text === '*') return [1, 65535]
  const [first, last = first] = text.split('-').map(Number)
  return [first, last]
}

function parseHost(rule: string, host: string, bracketed: boolean): { network: Network | null, name: string | null } {
  const address = parseAddress(host)
  const network = address === undefined ? parseNetwork(host) : { address, prefixLength: address.length * 8 }
  if (network !== undefined && bracketed === (network.address.length === 16)) return { network, name: null }
  const name = host.replace(/^\*\./, '')
  if (bracketed || network !== undefined || !isHostName(name) || /^[\d.]+$/.test(name)) throw invalid(rule)
  return { network: null, name: (host === name ? name : `.${name}`).toLowerCase() }
}

function invalid(text: string) {
  return networkError('NETWORK_RULE_INVALID', `the rule '${text}' cannot be read: write HOST:PORT, such as example.org:443, `
    + `*.example.org:443, 192.0.2.0/24:*, [2001:db8::/32]:80-90 or 192.0.2.7:53/udp`)
}
