/**
 * What a packet belongs to: protocol, both addresses and both ports, seen from the station behind a port (local) to the other side
 * (remote). Sources: RFC 791, 8200 (headers), 9293 and 768 (ports), 792 and 4443 (messages).
 *
 * An echo is known by its identifier, in place of ports. An ICMP error belongs to what it quotes.
 */
import { EtherType } from '../packet/ethernet.ts'
import { copyBytes, getU16 } from '../packet/bytes.ts'
import { Protocol } from '../packet/packet.ts'

/** Key of a flow: local and remote address (16 each), local and remote port (2 each), protocol (1), family (1), 2 of nothing. */
export const FLOW_KEY_LENGTH = 40

export const TcpFlag = { FIN: 1, SYN: 2, RST: 4 } as const

export class Flow {
  bytes: Uint8Array = new Uint8Array(0)
  protocol = 0
  /** 4 or 16. */
  addressLength = 4
  /** Where the addresses are in `bytes`. */
  local = 0
  remote = 0
  /** 0 where the protocol has none, or the packet does not show it. */
  localPort = 0
  remotePort = 0
  destinationPort = 0
  tcpFlags = 0
  /** A fragment that is not the first: it shows no ports. */
  isLaterFragment = false
  isFirstFragment = false
  /** What the fragments of a packet have in common. */
  identification = 0
  /** It quotes a packet that was sent the other way; ports and addresses are that packet's. */
  isError = false
  /** Neighbour discovery, or a message of DHCP: without them there is no network. */
  isHousekeeping = false
  readonly key = new Uint8Array(FLOW_KEY_LENGTH)
  /** The payload, and where it ends. */
  #at = 0
  #end = 0

  /** Reads the packet at `at`. False: it is no IP packet that can be understood. */
  read(bytes: Uint8Array, at: number, end: number, type: number, isIn: boolean): boolean {
    this.bytes = bytes
    this.isError = false
    if (!this.#readHeader(bytes, at, end, type, isIn)) return false
    this.#readPorts(isIn)
    if (this.#quotes() && !this.#readQuoted(type, isIn)) return false
    this.#writeKey()
    return true
  }

  #readHeader(bytes: Uint8Array, at: number, end: number, type: number, isIn: boolean): boolean {
    this.isLaterFragment = this.isFirstFragment = false
    if (type === EtherType.IPV4) return this.#readIpv4(bytes, at, end, isIn)
    return type === EtherType.IPV6 && this.#readIpv6(bytes, at, end, isIn)
  }

  #readIpv4(bytes: Uint8Array, at: number, end: number, isIn: boolean): boolean {
    if (at + 20 > end || bytes[at] >> 4 !== 4) return false
    const fragment = getU16(bytes, at + 6)
    this.protocol = bytes[at + 9]
    this.#setAddresses(at + 12, 4, isIn)
    this.identification = getU16(bytes, at + 4)
    this.isLaterFragment = (fragment & 0x1fff) !== 0
    this.isFirstFragment = (fragment & 0x3fff) === 0x2000
    this.#at = at + (bytes[at] & 0xf) * 4
    this.#end = end
    return true
  }

  /** Extension headers are walked, eight at most. */
  #readIpv6(bytes: Uint8Array, at: number, end: number, isIn: boolean): boolean {
    if (at + 40 > end || bytes[at] >> 4 !== 6) return false
    this.#setAddresses(at + 8, 16, isIn)
    this.protocol = bytes[at + 6]
    this.#at = at + 40
    this.#end = end
    for (let headers = 0; isExtension(this.protocol); headers++) {
      if (headers === MOST_EXTENSIONS || this.#at + 8 > end) return false
      if (this.protocol === Protocol.IPV6_FRAGMENT) this.#noteFragment(bytes)
      const length = this.protocol === Protocol.IPV6_FRAGMENT ? 8 : (bytes[this.#at + 1] + 1) * 8
      this.protocol = bytes[this.#at]
      this.#at += length
      if (this.isLaterFragment) break
    }
    return true
  }

  #noteFragment(bytes: Uint8Array): void {
    const word = getU16(bytes, this.#at + 2)
    this.isLaterFragment = word >> 3 !== 0
    this.isFirstFragment = word === 1
    this.identification = getU16(bytes, this.#at + 6)
  }

  /** The source is at `at`, and the destination behind it. */
  #setAddresses(at: number, length: number, isIn: boolean): void {
    this.addressLength = length
    this.local = isIn ? at + length : at
    this.remote = isIn ? at : at + length
  }

  #readPorts(isIn: boolean): void {
    const { bytes, protocol } = this
    const at = this.#at
    this.localPort = this.remotePort = this.destinationPort = this.tcpFlags = 0
    this.isHousekeeping = false
    if (this.isLaterFragment || at + 8 > this.#end) return
    if (protocol === Protocol.TCP || protocol === Protocol.UDP) {
      const source = getU16(bytes, at)
      this.destinationPort = getU16(bytes, at + 2)
      this.localPort = isIn ? this.destinationPort : source
      this.remotePort = isIn ? source : this.destinationPort
      if (protocol === Protocol.TCP && at + 14 <= this.#end) this.tcpFlags = bytes[at + 13]
      this.isHousekeeping = protocol === Protocol.UDP && isDhcp(source, this.destinationPort, this.addressLength)
    } else if (protocol === Protocol.ICMP || protocol === Protocol.ICMPV6) {
      const kind = bytes[at]
      if (isEcho(protocol, kind)) this.localPort = getU16(bytes, at + 4)
      this.isHousekeeping = protocol === Protocol.ICMPV6 && kind >= 133 && kind <= 137
    }
  }

  /** Whether it is an error message. */
  #quotes(): boolean {
    if (this.isLaterFragment || this.#at + 8 >= this.#end) return false
    const kind = this.bytes[this.#at]
    if (this.protocol === Protocol.ICMPV6) return kind < 128
    return this.protocol === Protocol.ICMP && (kind === 3 || kind === 4 || kind === 11 || kind === 12)
  }

  /** Goes on with the packet that is quoted, which went the other way. */
  #readQuoted(type: number, isIn: boolean): boolean {
    if (!this.#readHeader(this.bytes, this.#at + 8, this.#end, type, !isIn)) return false
    this.#readPorts(!isIn)
    this.isError = true
    this.isHousekeeping = false
    return true
  }

  #writeKey(): void {
    const { key, addressLength: length } = this
    key.fill(0)
    copyBytes(this.bytes, this.local, key, 0, length)
    copyBytes(this.bytes, this.remote, key, 16, length)
    key[32] = this.localPort >> 8
    key[33] = this.localPort
    key[34] = this.remotePort >> 8
    key[35] = this.remotePort
    key[36] = this.protocol
    key[37] = length
  }
}

const MOST_EXTENSIONS = 8

function isExtension(protocol: number): boolean {
  return protocol === 0 || protocol === Protocol.IPV6_ROUTE || protocol === Protocol.IPV6_FRAGMENT || protocol === 60
}

/** Requests and replies. */
function isEcho(protocol: number, kind: number): boolean {
  return protocol === Protocol.ICMP ? kind === 8 || kind === 0 : kind === 128 || kind === 129
}

function isDhcp(source: number, destination: number, addressLength: number): boolean {
  const [client, server] = addressLength === 4 ? [68, 67] : [546, 547]
  return source === client && destination === server || source === server && destination === client
}
