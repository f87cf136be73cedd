/**
 * The network's name server: its own names, a cache, and the host's resolvers for the rest. RFC 1035, RFC 5966 (TCP), RFC 6891 (EDNS is
 * passed on as it is), RFC 5625 (what a forwarder should do).
 *
 * Left out: DNSSEC validation (the records pass), recursion, zone transfers, updates, notifications.
 */
import type { HostStream, StreamEvents } from '../../sockets.ts'
import type { IpPacket } from '../../transport.ts'
import { formatAddress } from '../../packet/addresses.ts'
import { getU16 } from '../../packet/bytes.ts'
import {
  CLASS_IN, DNS_HEADER, DnsFlag, DnsType, Rcode, buildResponse, parseQuestion, parseRecords, udpLimit, type DnsQuestion, type DnsRecord,
} from '../../packet/dns.ts'
import { Protocol, addressLength } from '../../packet/packet.ts'
import { UDP_CHECKSUM, UDP_HEADER, writeUdp } from '../../packet/udp.ts'
import type { Ager } from '../ager.ts'
import type { Counters } from '../counters.ts'
import { GuestCounts } from '../guest-counts.ts'
import { PAYLOAD } from '../link.ts'
import type { Output } from '../output.ts'
import type { Policy } from '../policy.ts'
import { DnsCache } from './cache.ts'
import type { Names } from './names.ts'
import { DnsStream } from './stream.ts'
import type { Upstream } from './upstream.ts'

export const DNS_PORT = 53
const OUTSTANDING_OF_ONE = 64
/** TCP connections of guests, which cost memory as long as answers wait in them. */
const STREAMS = 128
const STREAMS_OF_ONE = 32
/** Longer answers over UDP become fragments, which get lost. */
const LONGEST_DATAGRAM = 4096

type Respond = (response: Uint8Array) => void

interface Query {
  readonly bytes: Uint8Array
  readonly question: DnsQuestion
  readonly records: readonly DnsRecord[]
  readonly tcp: boolean
}

export class DnsServer {
  private readonly ager: Ager
  private readonly counters: Counters
  private readonly output: Output
  private readonly names: Names
  private readonly upstream: Upstream | null
  private readonly policy: Policy
  private readonly cache = new DnsCache()
  /** Questions that are open. */
  private readonly outstanding = new GuestCounts()
  private readonly streams = new GuestCounts()

  /** Without an `upstream` there are the network's own names only. */
  constructor(ager: Ager, counters: Counters, output: Output, names: Names, upstream: Upstream | null, policy: Policy) {
    this.ager = ager
    this.counters = counters
    this.output = output
    this.names = names
    this.upstream = upstream
    this.policy = policy
  }

  /** A datagram to port 53 of the gateway's. */
  receive(packet: IpPacket, data: Uint8Array): void {
    const length = addressLength(packet)
    const own = packet.bytes.slice(packet.destination, packet.destination + length)
    const guest = packet.bytes.slice(packet.source, packet.source + length)
    const port = getU16(packet.bytes, packet.payload)
    const { version } = packet
    this.handle(data.slice(), formatAddress(guest, 0, length), false, (response) => {
      this.output.address(version, own, 0, guest, 0)
      this.respond(port, response)
    })
  }

  /** A guest's TCP connection to port 53 of the gateway's. Null: there are too many. */
  connect(syn: IpPacket, events: StreamEvents): HostStream | null {
    const guest = formatAddress(syn.bytes, syn.source, addressLength(syn))
    if (this.streams.total >= STREAMS || this.streams.of(guest) >= STREAMS_OF_ONE) {
      this.counters.drop('questions')
      return null
    }
    this.streams.add(guest)
    const handle = (query: Uint8Array, respond: Respond) => this.handle(query, guest, true, respond)
    return new DnsStream(this.ager, events, handle, () => { this.streams.remove(guest) })
  }

  private respond(port: number, response: Uint8Array): void {
    const { output } = this
    output.buffer.set(response, PAYLOAD + UDP_HEADER)
    writeUdp(output.buffer, PAYLOAD, DNS_PORT, port, response.length)
    output.packet.protocol = Protocol.UDP
    output.packet.checksumField = UDP_CHECKSUM
    output.transmit(UDP_HEADER + response.length)
  }

  /** Answers a message of a guest's, now or later. False: what is no query gets no answer, or two servers could answer each other. */
  private handle(bytes: Uint8Array, guest: string, tcp: boolean, respond: Respond): boolean {
    if (bytes.length < DNS_HEADER || (getU16(bytes, 2) & DnsFlag.QR) !== 0) {
      this.counters.drop('malformed')
      return false
    }
    const refusal = (getU16(bytes, 2) & DnsFlag.OPCODE) === 0 ? Rcode.FORMERR : Rcode.NOTIMP
    const question = refusal === Rcode.FORMERR ? parseQuestion(bytes) : undefined
    const records = question === undefined ? undefined : parseRecords(bytes, question)
    if (question === undefined || records === undefined) respond(buildResponse(bytes, undefined, refusal, []))
    else this.answer({ bytes, question, records, tcp }, guest, respond)
    return true
  }

  private answer(query: Query, guest: string, respond: Respond): void {
    const { bytes, question, records } = query
    const ready = this.names.answer(bytes, question) ?? this.cache.get(bytes, question, records, this.ager.now())
    if (ready !== undefined) return this.finish(query, ready, respond)
    this.ask(query, guest, respond)
  }

  private ask(query: Query, guest: string, respond: Respond): void {
    if (this.upstream === null) return respond(buildResponse(query.bytes, query.question, Rcode.REFUSED, []))
    const answered = (response: Uint8Array | null) => {
      this.outstanding.remove(guest)
      if (response === null) respond(buildResponse(query.bytes, query.question, Rcode.SERVFAIL, []))
      else this.take(query, response, respond)
    }
    const mayAsk = this.outstanding.of(guest) < OUTSTANDING_OF_ONE
    if (mayAsk && this.upstream.ask(query.bytes, query.question, query.tcp, answered)) this.outstanding.add(guest)
    else {
      this.counters.drop('questions')
      respond(buildResponse(query.bytes, query.question, Rcode.SERVFAIL, []))
    }
  }

  private take(query: Query, response: Uint8Array, respond: Respond): void {
    const question = parseQuestion(response)!
    const records = parseRecords(response, question)
    // A cut answer may end anywhere; its guest asks again, over TCP.
    if (records === undefined && (getU16(response, 2) & DnsFlag.TC) === 0) {
      return respond(buildResponse(query.bytes, query.question, Rcode.SERVFAIL, []))
    }
    if (records !== undefined) this.cache.put(query.question, query.records, response, records, this.ager.now())
    this.finish(query, response, respond)
  }

  private finish(query: Query, response: Uint8Array, respond: Respond): void {
    this.teach(query.question, response)
    const limit = query.tcp ? 0xffff : Math.min(LONGEST_DATAGRAM, udpLimit(query.records))
    if (response.length <= limit) return respond(response)
    const rcode = getU16(response, 2) & 15
    respond(buildResponse(query.bytes, query.question, rcode, [], DnsFlag.TC))
  }

  /** The policy may have rules about the name. */
  private teach(asked: DnsQuestion, response: Uint8Array): void {
    const question = parseQuestion(response)
    const records = question === undefined ? undefined : parseRecords(response, question)
    for (const { type, class: kind, section, ttl, dataAt, dataLength } of records ?? []) {
      const isAddress = type === DnsType.A ? dataLength === 4 : type === DnsType.AAAA && dataLength === 16
      if (!isAddress || kind !== CLASS_IN || section !== 'answer') continue
      this.policy.learn(asked.name, response.slice(dataAt, dataAt + dataLength), Math.min(ttl, 86_400))
    }
  }
}
