/**
 * DHCPv6 without addresses: what a guest asks for when it has made its own. RFC 8415 sections 8, 18.3.6, 21; DNS: RFC 3646.
 *
 *   0  type   1  transaction id, 3 bytes   4  options: code 2, length 2, data
 */
import { getU16, setU16 } from './bytes.ts'

export const Dhcp6Type = { REPLY: 7, INFORMATION_REQUEST: 11 } as const
export const Dhcp6Option = { CLIENT: 1, SERVER: 2, STATUS: 13, DNS_SERVERS: 23, DOMAINS: 24, REFRESH_TIME: 32 } as const

export interface Dhcp6Message {
  readonly type: number
  readonly transaction: Uint8Array
  readonly options: ReadonlyMap<number, Uint8Array>
}

/** Undefined: malformed. Of an option that comes twice, the first counts. */
export function parseDhcp6(bytes: Uint8Array): Dhcp6Message | undefined {
  if (bytes.length < 4) return undefined
  const options = new Map<number, Uint8Array>()
  for (let at = 4; at < bytes.length;) {
    if (at + 4 > bytes.length) return undefined
    const code = getU16(bytes, at)
    const end = at + 4 + getU16(bytes, at + 2)
    if (end > bytes.length) return undefined
    if (!options.has(code)) options.set(code, bytes.slice(at + 4, end))
    at = end
  }
  return { type: bytes[0], transaction: bytes.slice(1, 4), options }
}

export function writeDhcp6(
  bytes: Uint8Array, at: number, type: number, transaction: Uint8Array,
  options: readonly (readonly [code: number, data: Uint8Array])[]): number {
  bytes[at] = type
  bytes.set(transaction, at + 1)
  let end = at + 4
  for (const [code, data] of options) {
    setU16(bytes, end, code)
    setU16(bytes, end + 2, data.length)
    bytes.set(data, end + 4)
    end += 4 + data.length
  }
  return end - at
}
