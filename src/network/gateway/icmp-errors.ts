/**
 * ICMP errors to guests. RFC 792, RFC 1812 section 4.3.2, RFC 4443 section 2.4: none about errors, groups, later fragments or sources
 * that are not one station's, and not too many.
 */
import type { IpPacket, Unreachable } from '../transport.ts'
import { copyBytes, setU32 } from '../packet/bytes.ts'
import { isUnicastSource } from '../packet/addresses.ts'
import { writeChecksum } from '../packet/checksum.ts'
import { ICMP_HEADER, Icmp, Icmp6, Icmp6Unreachable, IcmpUnreachable, isIcmpError } from '../packet/icmp.ts'
import { IPV6_HEADER, Problem } from '../packet/ipv6.ts'
import { Protocol, addressLength, newPacket, type ParsedPacket } from '../packet/packet.ts'
import type { Clock } from '../../machine/clock.ts'
import { SECOND } from './ager.ts'
import type { Counters } from './counters.ts'
import { PAYLOAD } from './link.ts'
import type { Output } from './output.ts'
import type { Settings } from './settings.ts'

/** For one guest; a few that have the same last bytes of their addresses share it. */
const PER_SECOND = 100
const BURST = 50
const BUCKETS = 256
/** IPv4: as Linux, up to 576 bytes would be allowed. A full IPv6 header and options of a transport fit. */
const QUOTE_LIMIT = 128

const REASONS: Record<Unreachable, readonly [version4: number, version6: number]> = {
  network: [IcmpUnreachable.NET, Icmp6Unreachable.NO_ROUTE],
  host: [IcmpUnreachable.HOST, Icmp6Unreachable.ADDRESS],
  port: [IcmpUnreachable.PORT, Icmp6Unreachable.PORT],
  prohibited: [IcmpUnreachable.PROHIBITED, Icmp6Unreachable.PROHIBITED],
}

export class IcmpErrors {
  private readonly clock: Clock
  private readonly settings: Settings
  private readonly counters: Counters
  private readonly output: () => Output
  private readonly quoted = newPacket()
  private readonly tokens = new Float64Array(BUCKETS).fill(BURST)
  private readonly filledAt = new Float64Array(BUCKETS)

  constructor(clock: Clock, settings: Settings, counters: Counters, output: () => Output) {
    this.clock = clock
    this.settings = settings
    this.counters = counters
    this.output = output
  }

  quote(packet: IpPacket): Uint8Array {
    const end = Math.min(packet.payload + packet.payloadLength, packet.header + QUOTE_LIMIT)
    return packet.bytes.slice(packet.header, end)
  }

  /** The quote is of a packet that was checked when it was made. */
  unreachable(quote: Uint8Array, why: Unreachable): void {
    const { quoted } = this
    const version = quote[0] >>> 4 === 4 ? 4 : 6
    quoted.bytes = quote
    quoted.version = version
    quoted.source = version === 4 ? 12 : 8
    quoted.destination = version === 4 ? 16 : 24
    quoted.protocol = quote[version === 4 ? 9 : 6]
    quoted.payload = version === 4 ? (quote[0] & 15) * 4 : IPV6_HEADER
    quoted.payloadLength = quote.length - quoted.payload
    this.refuse(quoted, why)
  }

  refuse(packet: ParsedPacket, why: Unreachable): void {
    const [code4, code6] = REASONS[why]
    if (packet.version === 4) this.send(packet, Icmp.UNREACHABLE, code4, 0)
    else this.send(packet, Icmp6.UNREACHABLE, code6, 0)
  }

  protocolUnreachable(packet: ParsedPacket): void {
    if (packet.version === 4) this.send(packet, Icmp.UNREACHABLE, IcmpUnreachable.PROTOCOL, 0)
    else this.send(packet, Icmp6.PARAMETER_PROBLEM, Problem.NEXT_HEADER, packet.problemPointer)
  }

  timeExceeded(packet: ParsedPacket, code: number): void {
    this.send(packet, packet.version === 4 ? Icmp.TIME_EXCEEDED : Icmp6.TIME_EXCEEDED, code, 0)
  }

  /** IPv6, with what the parser found. */
  problem(packet: ParsedPacket): void {
    this.send(packet, Icmp6.PARAMETER_PROBLEM, packet.problemCode, packet.problemPointer)
  }

  private send(packet: ParsedPacket, type: number, code: number, value: number): void {
    if (!this.mayAnswer(packet)) return
    if (!this.take(bucketOf(packet))) {
      this.counters.drop('rate-limited')
      return
    }
    const output = this.output()
    const { buffer } = output
    const length = Math.min(packet.payload + packet.payloadLength - packet.header, QUOTE_LIMIT)
    copyBytes(packet.bytes, packet.header, buffer, PAYLOAD + ICMP_HEADER, length)
    buffer[PAYLOAD] = type
    buffer[PAYLOAD + 1] = code
    buffer[PAYLOAD + 2] = 0
    buffer[PAYLOAD + 3] = 0
    setU32(buffer, PAYLOAD + 4, value)
    output.answer(packet, this.ownAddress(packet))
    if (packet.version === 4) {
      writeChecksum(buffer, PAYLOAD, ICMP_HEADER + length, PAYLOAD + 2)
      output.packet.protocol = Protocol.ICMP
    } else {
      output.packet.protocol = Protocol.ICMPV6
      output.packet.checksumField = 2
    }
    output.transmit(ICMP_HEADER + length)
  }

  private ownAddress(packet: ParsedPacket): Uint8Array {
    if (packet.version === 4) return this.settings.ipv4.address
    return this.settings.ipv6?.address ?? this.settings.linkLocal
  }

  private mayAnswer(packet: ParsedPacket): boolean {
    const { bytes, version } = packet
    if (packet.fragmentOffset !== 0 || packet.toGroup || !isUnicastSource(bytes, packet.source, addressLength(packet))) return false
    if (version === 4 ? bytes[packet.destination] >= 224 : bytes[packet.destination] === 0xff) return false
    const icmp = packet.protocol === (version === 4 ? Protocol.ICMP : Protocol.ICMPV6)
    return !icmp || (packet.payloadLength > 0 && !isIcmpError(version, bytes[packet.payload]))
  }

  private take(bucket: number): boolean {
    const now = this.clock.now()
    this.tokens[bucket] = Math.min(BURST, this.tokens[bucket] + (now - this.filledAt[bucket]) / SECOND * PER_SECOND)
    this.filledAt[bucket] = now
    if (this.tokens[bucket] < 1) return false
    this.tokens[bucket]--
    return true
  }
}

function bucketOf(packet: ParsedPacket): number {
  const end = packet.source + addressLength(packet)
  return (packet.bytes[end - 1] + packet.bytes[end - 2] * 31) % BUCKETS
}
