/** Numbers in network byte order (big-endian), in place. Offsets are not checked: whoever parses has compared lengths before. */

export function getU16(bytes: Uint8Array, at: number): number {
  return bytes[at] << 8 | bytes[at + 1]
}

export function setU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}

export function getU32(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]) >>> 0
}

export function setU32(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at, value >>> 16)
  setU16(bytes, at + 2, value)
}

/** Copies within one array or between two, without a view in between. Not for ranges that overlap with `to` behind `from`. */
export function copyBytes(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, length: number): void {
  for (let at = 0; at < length; at++) to[toAt + at] = from[fromAt + at]
}

export function equalBytes(one: Uint8Array, oneAt: number, other: Uint8Array, otherAt: number, length: number): boolean {
  for (let at = 0; at < length; at++) {
    if (one[oneAt + at] !== other[otherAt + at]) return false
  }
  return true
}
