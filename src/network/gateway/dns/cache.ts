/**
 * Answers of the host's resolvers, kept for as long as they say. RFC 1035 section 7.4, negative answers: RFC 2308. Bounded in bytes; what
 * was used least recently goes first.
 */
import { SECOND } from '../ager.ts'
import { copyBytes, getU16, getU32, setU16, setU32 } from '../../packet/bytes.ts'
import { skipName } from '../../packet/dns-name.ts'
import { DNS_HEADER, DnsFlag, DnsType, Rcode, type DnsQuestion, type DnsRecord } from '../../packet/dns.ts'

const CAPACITY = 1 << 20
/** What an entry costs beside its bytes. */
const OVERHEAD = 256
const LONGEST = 86_400
const LONGEST_NEGATIVE = 300
/** The DNSSEC bit of EDNS: the answer has more records. RFC 3225. */
const DNSSEC_OK = 0x8000

interface Entry {
  readonly response: Uint8Array
  readonly ttlOffsets: readonly number[]
  readonly stored: number
  readonly expires: number
}

export class DnsCache {
  private readonly entries = new Map<string, Entry>()
  private bytes = 0

  /** The answer to a query, with its id, its spelling of the name, and TTLs that have run on. */
  get(query: Uint8Array, question: DnsQuestion, records: readonly DnsRecord[], now: number): Uint8Array | undefined {
    const key = keyOf(question, records)
    const entry = this.entries.get(key)
    if (entry === undefined) return undefined
    this.delete(key, entry)
    if (entry.expires <= now) return undefined
    this.add(key, entry)
    const response = entry.response.slice()
    copyBytes(query, 0, response, 0, 2)
    copyBytes(query, DNS_HEADER, response, DNS_HEADER, question.end - DNS_HEADER)
    const passed = Math.floor((now - entry.stored) / SECOND)
    for (const at of entry.ttlOffsets) setU32(response, at, Math.max(0, getU32(response, at) - passed))
    return response
  }

  /** Keeps the answer to a query, if it may be kept. `records` are the query's, `answered` the answer's. */
  put(question: DnsQuestion, records: readonly DnsRecord[], response: Uint8Array, answered: readonly DnsRecord[], now: number): void {
    const seconds = lifetime(response, answered)
    if (seconds <= 0) return
    const key = keyOf(question, records)
    const before = this.entries.get(key)
    if (before !== undefined) this.delete(key, before)
    const ttlOffsets = answered.filter(record => record.type !== DnsType.OPT).map(record => record.ttlAt)
    this.add(key, { response: response.slice(), ttlOffsets, stored: now, expires: now + seconds * SECOND })
    while (this.bytes > CAPACITY) {
      const [oldest, entry] = this.entries.entries().next().value!
      this.delete(oldest, entry)
    }
  }

  private add(key: string, entry: Entry): void {
    this.entries.set(key, entry)
    this.bytes += entry.response.length + key.length * 2 + OVERHEAD
  }

  private delete(key: string, entry: Entry): void {
    this.entries.delete(key)
    this.bytes -= entry.response.length + key.length * 2 + OVERHEAD
  }
}

function keyOf(question: DnsQuestion, records: readonly DnsRecord[]): string {
  const option = records.find(record => record.type === DnsType.OPT)
  const edns = option === undefined ? 'plain' : (option.ttl & DNSSEC_OK) === 0 ? 'edns' : 'dnssec'
  return `${question.name}/${question.type}/${question.class}/${question.flags & (DnsFlag.RD | DnsFlag.CD | DnsFlag.AD)}/${edns}`
}

/** In seconds; 0: not to be kept. */
function lifetime(response: Uint8Array, records: readonly DnsRecord[]): number {
  const flags = getU16(response, 2)
  const rcode = flags & 15
  if ((flags & DnsFlag.TC) !== 0 || (rcode !== Rcode.NOERROR && rcode !== Rcode.NXDOMAIN)) return 0
  const kept = records.filter(record => record.type !== DnsType.OPT)
  const shortest = kept.reduce((least, record) => Math.min(least, record.ttl), LONGEST)
  if (rcode === Rcode.NOERROR && kept.some(record => record.section === 'answer')) return shortest
  const authority = kept.find(record => record.type === DnsType.SOA && record.section === 'authority')
  if (authority === undefined) return 0
  return Math.min(shortest, soaMinimum(response, authority), LONGEST_NEGATIVE)
}

/** The last of the five numbers behind the two names of an SOA record. */
function soaMinimum(response: Uint8Array, record: DnsRecord): number {
  const end = record.dataAt + record.dataLength
  const second = skipName(response, record.dataAt, end)
  const numbers = second < 0 ? -1 : skipName(response, second, end)
  return numbers < 0 || numbers + 20 > end ? 0 : getU32(response, numbers + 16)
}

/** A copy of a message with another id. */
export function withId(message: Uint8Array, id: number): Uint8Array {
  const copy = message.slice()
  setU16(copy, 0, id)
  return copy
}
