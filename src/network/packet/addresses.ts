/**
 * Addresses as text and as bytes, and their kinds. IPv4: RFC 6890, RFC 4632; IPv6: RFC 4291, text as RFC 5952 has it; MAC: IEEE 802.
 *
 * Tables know both families by 16 bytes, an IPv4 address as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2).
 */
import { copyBytes, equalBytes, getU16, setU16 } from './bytes.ts'

export const KEY_LENGTH = 16

/** 4 bytes, or undefined: four decimal numbers without leading zeros. */
export function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every(part => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) return undefined
  return Uint8Array.from(parts, Number)
}

/** 16 bytes, or undefined. A zone (`%eth0`) is not part of an address. */
export function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::')
  if (text.length > 45 || halves.length > 2) return undefined
  const head = parseGroups(halves[0], halves.length === 1)
  const tail = halves.length === 2 ? parseGroups(halves[1], true) : []
  if (head === undefined || tail === undefined) return undefined
  const missing = 8 - head.length - tail.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const bytes = new Uint8Array(16)
  ;[...head, ...Array.from({ length: missing }, () => 0), ...tail].forEach((group, index) => { setU16(bytes, index * 2, group) })
  return bytes
}

/** Groups of 16 bits; the last of an address may be an IPv4 address, which is two. */
function parseGroups(text: string, last: boolean): number[] | undefined {
  if (text === '') return []
  const groups: number[] = []
  const parts = text.split(':')
  for (const [index, part] of parts.entries()) {
    const embedded = last && index === parts.length - 1 && part.includes('.') ? parseIpv4(part) : undefined
    if (embedded !== undefined) groups.push(getU16(embedded, 0), getU16(embedded, 2))
    else if (/^[\da-f]{1,4}$/i.test(part)) groups.push(Number.parseInt(part, 16))
    else return undefined
  }
  return groups
}

export function parseAddress(text: string): Uint8Array | undefined {
  return parseIpv4(text) ?? parseIpv6(text)
}

/** As text; `length` 4 or 16. */
export function formatAddress(bytes: Uint8Array, at: number, length: number): string {
  return length === 4 ? `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}` : formatIpv6(bytes, at)
}

function formatIpv6(bytes: Uint8Array, at: number): string {
  const groups = Array.from({ length: 8 }, (_, index) => getU16(bytes, at + index * 2))
  const { start, length } = longestZeros(groups)
  const text = (from: number, to: number) => groups.slice(from, to).map(group => group.toString(16)).join(':')
  return length < 2 ? text(0, 8) : `${text(0, start)}::${text(start + length, 8)}`
}

/** The first longest run of zero groups. */
function longestZeros(groups: readonly number[]): { start: number, length: number } {
  let best = { start: 0, length: 0 }
  for (let start = 0; start < groups.length; start++) {
    let end = start
    while (end < groups.length && groups[end] === 0) end++
    if (end - start > best.length) best = { start, length: end - start }
  }
  return best
}

/** 6 bytes, or undefined: `52:54:00:12:34:56`. */
export function parseMac(text: string): Uint8Array | undefined {
  return /^[\da-f]{2}(?::[\da-f]{2}){5}$/i.test(text) ? Uint8Array.from(text.split(':'), part => Number.parseInt(part, 16)) : undefined
}

export function formatMac(bytes: Uint8Array, at = 0): string {
  return Array.from({ length: 6 }, (_, index) => bytes[at + index].toString(16).padStart(2, '0')).join(':')
}

export interface Network {
  readonly address: Uint8Array
  /** Bits. */
  readonly prefixLength: number
}

/** `10.0.5.1/24`: an address in a network; undefined if the text or the length is none. Bits behind the prefix are kept. */
export function parseNetwork(text: string): Network | undefined {
  const match = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text)
  const address = match === null ? undefined : parseAddress(match[1])
  const prefixLength = Number(match?.[2])
  return address === undefined || prefixLength > address.length * 8 ? undefined : { address, prefixLength }
}

/** Whether the address at `at`, of the network's family, is inside. */
export function isInside(network: Network, bytes: Uint8Array, at: number): boolean {
  const whole = network.prefixLength >>> 3
  const rest = 0xff00 >>> (network.prefixLength & 7) & 0xff
  return equalBytes(network.address, 0, bytes, at, whole) && (rest === 0 || ((network.address[whole] ^ bytes[at + whole]) & rest) === 0)
}

/** Writes an address of 4 or 16 bytes as a key of 16. */
export function writeKey(bytes: Uint8Array, at: number, length: number, key: Uint8Array, keyAt: number): void {
  if (length === 16) {
    copyBytes(bytes, at, key, keyAt, 16)
    return
  }
  key.fill(0, keyAt, keyAt + 10)
  setU16(key, keyAt + 10, 0xffff)
  copyBytes(bytes, at, key, keyAt + 12, 4)
}

/** How many bytes of a key are the address: 4, its last ones, or all 16. */
export function keyAddressLength(key: Uint8Array, at: number): 4 | 16 {
  for (let index = 0; index < 10; index++) {
    if (key[at + index] !== 0) return 16
  }
  return getU16(key, at + 10) === 0xffff ? 4 : 16
}

export function formatKey(key: Uint8Array, at = 0): string {
  const length = keyAddressLength(key, at)
  return formatAddress(key, at + KEY_LENGTH - length, length)
}

/** A source that one station can have: not a group, not unspecified, no loopback, no limited broadcast. */
export function isUnicastSource(bytes: Uint8Array, at: number, length: number): boolean {
  if (length === 4) return bytes[at] !== 0 && bytes[at] !== 127 && bytes[at] < 224
  if (bytes[at] === 0xff) return false
  for (let index = 0; index < 15; index++) {
    if (bytes[at + index] !== 0) return true
  }
  return bytes[at + 15] > 1
}

export function isLinkLocal6(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0xfe && (bytes[at + 1] & 0xc0) === 0x80
}

export function isUnspecified(bytes: Uint8Array, at: number, length: number): boolean {
  for (let index = 0; index < length; index++) {
    if (bytes[at + index] !== 0) return false
  }
  return true
}
