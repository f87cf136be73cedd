/**
 * DHCP messages. RFC 2131 section 2; options: RFC 2132; long options in pieces: RFC 3396; classless routes: RFC 3442.
 *
 *   0  op, 1 asks, 2 answers   4  xid       12  ciaddr   20  siaddr   28  chaddr, 16 bytes   108  file, 128 bytes
 *   1  htype, hlen, hops       8  secs,     16  yiaddr   24  giaddr   44  sname, 64 bytes    236  cookie, then options
 *                                 flags
 */
import { getU32, setU32 } from './bytes.ts'

export const DHCP_FIXED = 240
const COOKIE = 0x63825363
const SNAME = 44
const FILE = 108

export const DhcpType = { DISCOVER: 1, OFFER: 2, REQUEST: 3, DECLINE: 4, ACK: 5, NAK: 6, RELEASE: 7, INFORM: 8 } as const

export const DhcpOption = {
  SUBNET_MASK: 1, ROUTER: 3, DNS: 6, HOST_NAME: 12, DOMAIN: 15, MTU: 26, BROADCAST: 28, REQUESTED_ADDRESS: 50, LEASE_TIME: 51,
  OVERLOAD: 52, MESSAGE_TYPE: 53, SERVER: 54, MESSAGE: 56, RENEWAL: 58, REBINDING: 59, CLIENT: 61, SEARCH: 119, ROUTES: 121, END: 255,
} as const

export interface DhcpMessage {
  readonly type: number
  readonly xid: number
  readonly secondsAndFlags: number
  readonly ciaddr: Uint8Array
  readonly giaddr: Uint8Array
  /** 6 bytes: Ethernet. */
  readonly chaddr: Uint8Array
  readonly options: ReadonlyMap<number, Uint8Array>
}

export const BROADCAST_FLAG = 0x8000

/** A client's message, or undefined: malformed, not over Ethernet, or without a type. */
export function parseDhcp(bytes: Uint8Array): DhcpMessage | undefined {
  if (bytes.length < DHCP_FIXED || bytes[0] !== 1 || bytes[1] !== 1 || bytes[2] !== 6 || getU32(bytes, 236) !== COOKIE) return undefined
  const options = new Map<number, Uint8Array>()
  if (!readOptions(bytes, DHCP_FIXED, bytes.length, options)) return undefined
  const overload = options.get(DhcpOption.OVERLOAD)?.[0] ?? 0
  if ((overload & 1) !== 0 && !readOptions(bytes, FILE, FILE + 128, options)) return undefined
  if ((overload & 2) !== 0 && !readOptions(bytes, SNAME, SNAME + 64, options)) return undefined
  const type = options.get(DhcpOption.MESSAGE_TYPE)
  if (type?.length !== 1) return undefined
  return {
    type: type[0], xid: getU32(bytes, 4), secondsAndFlags: getU32(bytes, 8), ciaddr: bytes.slice(12, 16), giaddr: bytes.slice(24, 28),
    chaddr: bytes.slice(28, 34), options,
  }
}

function readOptions(bytes: Uint8Array, start: number, end: number, into: Map<number, Uint8Array>): boolean {
  for (let at = start; at < end && bytes[at] !== DhcpOption.END;) {
    if (bytes[at] === 0) {
      at++
      continue
    }
    const length = bytes[at + 1]
    if (at + 2 > end || at + 2 + length > end) return false
    const before = into.get(bytes[at]) ?? new Uint8Array(0)
    into.set(bytes[at], Uint8Array.of(...before, ...bytes.subarray(at + 2, at + 2 + length)))
    at += 2 + length
  }
  return true
}

/** An option's four bytes as a number, or undefined. */
export function addressOption(message: DhcpMessage, option: number): number | undefined {
  const value = message.options.get(option)
  return value?.length === 4 ? getU32(value, 0) : undefined
}

export interface DhcpReply {
  readonly yiaddr: number
  readonly options: readonly (readonly [option: number, data: Uint8Array])[]
}

/** Writes an answer to a message, padded to the 300 bytes of BOOTP; returns its length. */
export function writeDhcp(bytes: Uint8Array, at: number, message: DhcpMessage, reply: DhcpReply): number {
  bytes.fill(0, at, at + DHCP_FIXED + 64)
  bytes.set([2, 1, 6, 0], at)
  setU32(bytes, at + 4, message.xid)
  // Seconds are the client's own; of its flags the broadcast bit is repeated.
  setU32(bytes, at + 8, message.secondsAndFlags & BROADCAST_FLAG)
  bytes.set(message.ciaddr, at + 12)
  setU32(bytes, at + 16, reply.yiaddr)
  bytes.set(message.giaddr, at + 24)
  bytes.set(message.chaddr, at + 28)
  setU32(bytes, at + 236, COOKIE)
  let end = at + DHCP_FIXED
  for (const [option, data] of reply.options) {
    for (let part = 0; part < Math.max(1, data.length); part += 255) { // RFC 3396
      const piece = data.subarray(part, part + 255)
      bytes.set([option, piece.length], end)
      bytes.set(piece, end + 2)
      end += 2 + piece.length
    }
  }
  bytes[end++] = DhcpOption.END
  return Math.max(300, end - at)
}

/** The two bytes of flags. */
export function wantsBroadcast(message: DhcpMessage): boolean {
  return (message.secondsAndFlags & BROADCAST_FLAG) !== 0
}

export interface DhcpRoute {
  readonly network: Uint8Array
  readonly prefixLength: number
  readonly router: Uint8Array
}

/** RFC 3442: each route is its prefix length, the bytes of its network that matter, and a router. */
export function encodeRoutes(routes: readonly DhcpRoute[]): Uint8Array {
  return Uint8Array.from(routes.flatMap(({ network, prefixLength, router }) =>
    [prefixLength, ...network.subarray(0, Math.ceil(prefixLength / 8)), ...router]))
}

/** RFC 2132 has text without a terminator; some clients send one. */
export function textOption(message: DhcpMessage, option: number): string | undefined {
  const value = message.options.get(option)
  return value === undefined ? undefined : Array.from(value, byte => String.fromCharCode(byte)).join('').replace(/\0+$/, '')
}

/** What a 16-bit option holds. */
export function u16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value)
}

export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  setU32(bytes, 0, value)
  return bytes
}
