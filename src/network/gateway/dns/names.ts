/**
 * The names of the network itself: its guests (`web`, `web.internal`), the gateway (`gateway.internal`), `localhost` (RFC 6761), and the
 * addresses of all of these backwards. Names right below the domain are answered here, whether they exist or not.
 */
import type { Clock } from '../../../machine/clock.ts'
import { isInside } from '../../packet/addresses.ts'
import { getU32 } from '../../packet/bytes.ts'
import { CLASS_IN, DnsFlag, DnsType, Rcode, buildResponse, type DnsAnswer, type DnsQuestion } from '../../packet/dns.ts'
import { encodeName } from '../../packet/dns-name.ts'
import type { Leases } from '../leases.ts'
import type { Neighbours } from '../neighbours.ts'
import { addressOf, type Settings } from '../settings.ts'

/** Guests come and go. */
const TTL = 10
const GATEWAY = 'gateway'
const LOCALHOST = { ipv4: Uint8Array.of(127, 0, 0, 1), ipv6: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1) }

interface Host {
  readonly ipv4: Uint8Array | null
  readonly ipv6: Uint8Array | null
}

export class Names {
  private readonly clock: Clock
  private readonly settings: Settings
  private readonly leases: Leases
  private readonly neighbours: Neighbours

  constructor(clock: Clock, settings: Settings, leases: Leases, neighbours: Neighbours) {
    this.clock = clock
    this.settings = settings
    this.leases = leases
    this.neighbours = neighbours
  }

  /** The answer to a question about the network itself, or undefined: others may know. */
  answer(query: Uint8Array, question: DnsQuestion): Uint8Array | undefined {
    if (question.class !== CLASS_IN) return undefined
    const reverse = this.reverse(question.name)
    if (reverse !== undefined) return this.answerReverse(query, question, reverse)
    const { name } = question
    const suffix = `.${this.settings.domain}`
    const label = name.endsWith(suffix) ? name.slice(0, -suffix.length) : name
    const host = this.find(label)
    if (host !== undefined) return this.answerHost(query, question, host)
    const ours = name !== label && !label.includes('.')
    return ours ? buildResponse(query, question, Rcode.NXDOMAIN, [], DnsFlag.AA) : undefined
  }

  /** A guest, or the gateway, by a name without dots. */
  find(label: string): Host | undefined {
    if (label === 'localhost') return LOCALHOST
    if (label === GATEWAY) return { ipv4: this.settings.ipv4.address, ipv6: this.settings.ipv6?.address ?? null }
    const guest = this.leases.findName(label, this.clock.now())
    if (guest === undefined) return undefined
    return { ipv4: guest.address === null ? null : addressOf(guest.address), ipv6: this.globalAddress(guest.mac) }
  }

  private globalAddress(mac: Uint8Array): Uint8Array | null {
    const { ipv6 } = this.settings
    return ipv6 === null ? null : this.neighbours.addressOf(mac, (key, at) => isInside(ipv6, key, at))
  }

  private answerHost(query: Uint8Array, question: DnsQuestion, host: Host): Uint8Array {
    const answers: DnsAnswer[] = []
    const wants = (type: number) => question.type === type || question.type === DnsType.ANY
    if (host.ipv4 !== null && wants(DnsType.A)) answers.push({ type: DnsType.A, ttl: TTL, data: host.ipv4 })
    if (host.ipv6 !== null && wants(DnsType.AAAA)) answers.push({ type: DnsType.AAAA, ttl: TTL, data: host.ipv6 })
    return buildResponse(query, question, Rcode.NOERROR, answers, DnsFlag.AA)
  }

  /** The address that a reverse name of this network stands for; undefined: it is not of this network. */
  private reverse(name: string): Uint8Array | undefined {
    const address = parseReverse4(name) ?? parseReverse6(name)
    const { ipv4, ipv6 } = this.settings
    const network = address?.length === 4 ? ipv4 : ipv6
    return address !== undefined && network !== null && isInside(network, address, 0) ? address : undefined
  }

  private answerReverse(query: Uint8Array, question: DnsQuestion, address: Uint8Array): Uint8Array {
    const label = this.labelOf(address)
    if (label === undefined) return buildResponse(query, question, Rcode.NXDOMAIN, [], DnsFlag.AA)
    const asked = question.type === DnsType.PTR || question.type === DnsType.ANY
    const data = encodeName(`${label}.${this.settings.domain}`)
    return buildResponse(query, question, Rcode.NOERROR, asked ? [{ type: DnsType.PTR, ttl: TTL, data }] : [], DnsFlag.AA)
  }

  private labelOf(address: Uint8Array): string | undefined {
    const { ipv4, ipv6 } = this.settings
    const own = address.length === 4 ? ipv4.address : ipv6!.address
    if (own.every((byte, index) => byte === address[index])) return GATEWAY
    if (address.length === 16) return undefined
    const lease = this.leases.ofAddress(getU32(address, 0))
    return lease !== undefined && lease.bound && lease.expires > this.clock.now() ? lease.name ?? undefined : undefined
  }
}

/** `7.5.0.10.in-addr.arpa`. RFC 1035 section 3.5. */
function parseReverse4(name: string): Uint8Array | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(name)
  return match === null ? undefined : Uint8Array.from(match.slice(1, 5).reverse(), Number)
}

/** 32 digits, the last first. RFC 3596 section 2.5. */
function parseReverse6(name: string): Uint8Array | undefined {
  const match = /^((?:[\da-f]\.){32})ip6\.arpa$/.exec(name)
  if (match === null) return undefined
  const digits = match[1].replaceAll('.', '').split('').reverse().join('')
  return Uint8Array.from({ length: 16 }, (_, index) => Number.parseInt(digits.slice(index * 2, index * 2 + 2), 16))
}
