/**
 * Echo requests of guests. RFC 792, RFC 4443 section 4. The gateway answers for itself at once; for others it has the host ask, and
 * repeats the guest's data in the reply if, and only if, the host got one. What the guest measures includes the host's own means.
 */
import type { SocketBackend } from '../sockets.ts'
import type { Unreachable } from '../transport.ts'
import { formatAddress } from '../packet/addresses.ts'
import { copyBytes } from '../packet/bytes.ts'
import { writeChecksum } from '../packet/checksum.ts'
import { ICMP_HEADER, Icmp, Icmp6 } from '../packet/icmp.ts'
import { Protocol, addressLength, type ParsedPacket } from '../packet/packet.ts'
import type { Counters } from './counters.ts'
import { GuestCounts } from './guest-counts.ts'
import { PAYLOAD } from './link.ts'
import type { Output } from './output.ts'

const OUTSTANDING = 32
const OUTSTANDING_OF_ONE = 8
/** Data of one that goes outside; RFC 1122 asks for 576 in all at least. */
const LARGEST = 8192

export class Echoes {
  private readonly sockets: SocketBackend
  private readonly counters: Counters
  private readonly output: Output
  private readonly outstanding = new GuestCounts()

  constructor(sockets: SocketBackend, counters: Counters, output: Output) {
    this.sockets = sockets
    this.counters = counters
    this.output = output
  }

  /** Answers for the gateway itself. */
  answer(packet: ParsedPacket): void {
    this.output.answer(packet)
    copyBytes(packet.bytes, packet.payload, this.output.buffer, PAYLOAD, packet.payloadLength)
    this.send(packet.version, packet.payloadLength)
  }

  /** Has the host ask, if the guest does not ask too much. */
  forward(packet: ParsedPacket): void {
    const length = addressLength(packet)
    const guest = formatAddress(packet.bytes, packet.source, length)
    const busy = this.outstanding.total >= OUTSTANDING || this.outstanding.of(guest) >= OUTSTANDING_OF_ONE
    if (busy || packet.payloadLength > LARGEST + ICMP_HEADER) {
      return this.counters.drop('echoes')
    }
    this.outstanding.add(guest)
    const request = keep(packet)
    const quote = this.output.quote(packet)
    const address = formatAddress(packet.bytes, packet.destination, length)
    this.sockets.echo(address, packet.payloadLength - ICMP_HEADER, (result) => {
      this.outstanding.remove(guest)
      if (result === 'reply') this.reply(request)
      else if (result !== 'timed-out') this.output.unreachable(quote, WHY[result])
    })
  }

  private reply(request: Request): void {
    this.output.address(request.version, request.destination, 0, request.source, 0)
    this.output.buffer.set(request.message, PAYLOAD)
    this.send(request.version, request.message.length)
  }

  /** The message lies in the buffer: id, sequence number and data stay as they are. */
  private send(version: 4 | 6, length: number): void {
    const { buffer, packet } = this.output
    buffer[PAYLOAD] = version === 4 ? Icmp.ECHO_REPLY : Icmp6.ECHO_REPLY
    if (version === 4) {
      packet.protocol = Protocol.ICMP
      writeChecksum(buffer, PAYLOAD, length, PAYLOAD + 2)
    } else {
      packet.protocol = Protocol.ICMPV6
      packet.checksumField = 2
    }
    this.output.transmit(length)
  }
}

const WHY: Record<'unreachable' | 'unavailable', Unreachable> = { unreachable: 'host', unavailable: 'prohibited' }

interface Request {
  readonly version: 4 | 6
  readonly source: Uint8Array
  readonly destination: Uint8Array
  readonly message: Uint8Array
}

function keep(packet: ParsedPacket): Request {
  const { bytes, version, source, destination, payload, payloadLength } = packet
  const length = addressLength(packet)
  return {
    version, source: bytes.slice(source, source + length), destination: bytes.slice(destination, destination + length),
    message: bytes.slice(payload, payload + payloadLength),
  }
}
