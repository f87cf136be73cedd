/**
 * Domain names on the wire: labels of up to 63 bytes, each behind its length, 255 bytes in all, ended by an empty one. RFC 1035 sections
 * 3.1 and 4.1.4 (compression).
 */

export const NAME_LIMIT = 255
const POINTER = 0xc0

/** A name that is known to be well-formed, such as one of a checked configuration. */
export function encodeName(name: string): Uint8Array {
  const labels = name === '' ? [] : name.split('.')
  return Uint8Array.from([...labels.flatMap(label => [label.length, ...Array.from(label, letter => letter.charCodeAt(0) & 0x7f)]), 0])
}

/** Where a name ends, compressed or not; -1: it does not, inside the message. */
export function skipName(bytes: Uint8Array, start: number, end: number): number {
  for (let at = start; at < end && at - start < NAME_LIMIT;) {
    const length = bytes[at]
    if (length === 0) return at + 1
    if ((length & POINTER) === POINTER) return at + 2 <= end ? at + 2 : -1
    if ((length & POINTER) !== 0) return -1
    at += 1 + length
  }
  return -1
}

/** A name without compression, as in a question, in lower case; bytes that are no letters, digits or hyphens as `\ddd`. */
export function readName(bytes: Uint8Array, start: number): string {
  const labels: string[] = []
  for (let at = start; bytes[at] !== 0; at += 1 + bytes[at]) {
    labels.push(Array.from(bytes.subarray(at + 1, at + 1 + bytes[at]), printable).join(''))
  }
  return labels.join('.')
}

function printable(byte: number): string {
  const letter = String.fromCharCode(byte)
  return /[a-z\d_-]/i.test(letter) ? letter.toLowerCase() : `\\${byte.toString().padStart(3, '0')}`
}

/** Whether a name has no pointers: what `readName` wants. */
export function isPlainName(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start
  while (at < end && bytes[at] !== 0 && bytes[at] < 64) at += 1 + bytes[at]
  return at < end && bytes[at] === 0 && at - start < NAME_LIMIT
}
