/**
 * DNS messages. RFC 1035 section 4.1; EDNS: RFC 6891.
 *
 *   0  id   2  flags: QR, opcode 4, AA, TC, RD, RA, Z, AD, CD, RCODE 4   4  QDCOUNT   6  ANCOUNT   8  NSCOUNT   10  ARCOUNT
 *  12  question: name, type 2, class 2
 *      records: name, type 2, class 2, TTL 4, length 2, data
 */
import { getU16, getU32, setU16, setU32 } from './bytes.ts'
import { isPlainName, readName, skipName } from './dns-name.ts'

export const DNS_HEADER = 12
/** What fits a UDP datagram unless EDNS says otherwise. */
export const DNS_UDP_LIMIT = 512

export const DnsFlag = { QR: 0x8000, OPCODE: 0x7800, AA: 0x0400, TC: 0x0200, RD: 0x0100, RA: 0x0080, AD: 0x0020, CD: 0x0010 } as const
export const DnsType = { A: 1, CNAME: 5, SOA: 6, PTR: 12, AAAA: 28, OPT: 41, ANY: 255 } as const
export const Rcode = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const
export const CLASS_IN = 1

export interface DnsQuestion {
  readonly id: number
  readonly flags: number
  /** Lower case, without the last dot. */
  readonly name: string
  readonly type: number
  readonly class: number
  /** Where the question ends. */
  readonly end: number
}

export interface DnsRecord {
  readonly type: number
  readonly class: number
  readonly ttlAt: number
  readonly ttl: number
  readonly dataAt: number
  readonly dataLength: number
  readonly section: 'answer' | 'authority' | 'additional'
}

/** The first question of a message that has exactly one, its name uncompressed; else undefined. */
export function parseQuestion(bytes: Uint8Array): DnsQuestion | undefined {
  if (bytes.length < DNS_HEADER || getU16(bytes, 4) !== 1 || !isPlainName(bytes, DNS_HEADER, bytes.length)) return undefined
  const nameEnd = skipName(bytes, DNS_HEADER, bytes.length)
  if (nameEnd < 0 || nameEnd + 4 > bytes.length) return undefined
  return {
    id: getU16(bytes, 0), flags: getU16(bytes, 2), name: readName(bytes, DNS_HEADER), type: getU16(bytes, nameEnd),
    class: getU16(bytes, nameEnd + 2), end: nameEnd + 4,
  }
}

/** All records behind the question; undefined if there are fewer than the header says, or one ends beyond the message. */
export function parseRecords(bytes: Uint8Array, question: DnsQuestion): DnsRecord[] | undefined {
  const records: DnsRecord[] = []
  let at = question.end
  const sections = [['answer', 6], ['authority', 8], ['additional', 10]] as const
  for (const [section, countAt] of sections) {
    for (let count = getU16(bytes, countAt); count > 0; count--) {
      const record = parseRecord(bytes, at, section)
      if (record === undefined) return undefined
      records.push(record)
      at = record.dataAt + record.dataLength
    }
  }
  return records
}

function parseRecord(bytes: Uint8Array, start: number, section: DnsRecord['section']): DnsRecord | undefined {
  const at = skipName(bytes, start, bytes.length)
  if (at < 0 || at + 10 > bytes.length) return undefined
  const dataLength = getU16(bytes, at + 8)
  if (at + 10 + dataLength > bytes.length) return undefined
  return {
    type: getU16(bytes, at), class: getU16(bytes, at + 2), ttlAt: at + 4, ttl: getU32(bytes, at + 4), dataAt: at + 10, dataLength, section,
  }
}

/** How long an answer over UDP may be: what the sender's OPT record says, at least 512. */
export function udpLimit(records: readonly DnsRecord[]): number {
  const option = records.find(record => record.type === DnsType.OPT)
  return Math.max(DNS_UDP_LIMIT, option?.class ?? 0)
}

export interface DnsAnswer {
  readonly type: number
  readonly ttl: number
  readonly data: Uint8Array
}

/** An answer of our own to a question: its header and question repeated, and records about the question's name. */
export function buildResponse(
  query: Uint8Array, question: DnsQuestion | undefined, rcode: number, answers: readonly DnsAnswer[], flags = 0): Uint8Array {
  const end = question?.end ?? DNS_HEADER
  const length = answers.reduce((sum, answer) => sum + 12 + answer.data.length, end)
  const response = new Uint8Array(length)
  response.set(query.subarray(0, end))
  const asked = getU16(query, 2) & (DnsFlag.OPCODE | DnsFlag.RD | DnsFlag.CD)
  setU16(response, 2, DnsFlag.QR | DnsFlag.RA | asked | flags | rcode)
  setU16(response, 4, question === undefined ? 0 : 1)
  setU16(response, 6, answers.length)
  setU32(response, 8, 0)
  let at = end
  for (const { type, ttl, data } of answers) {
    setU16(response, at, 0xc000 | DNS_HEADER) // the question's name
    setU16(response, at + 2, type)
    setU16(response, at + 4, CLASS_IN)
    setU32(response, at + 6, ttl)
    setU16(response, at + 10, data.length)
    response.set(data, at + 12)
    at += 12 + data.length
  }
  return response
}
