/**
 * Text as bytes and back: UTF-8 (RFC 3629). The rooms that run everywhere are compiled without the platform's encoders.
 */

/** Half a surrogate pair becomes U+FFFD. */
export function encodeUtf8(text: string): Uint8Array {
  return Uint8Array.from(Array.from(text, character => character.codePointAt(0)!).flatMap(encodeCodePoint))
}

function encodeCodePoint(code: number): number[] {
  const continuation = (shift: number) => 0x80 | code >> shift & 0x3f
  if (code < 0x80) return [code]
  if (code < 0x800) return [0xc0 | code >> 6, continuation(0)]
  if (code >= 0xd800 && code < 0xe000) return [0xef, 0xbf, 0xbd]
  if (code < 0x10000) return [0xe0 | code >> 12, continuation(6), continuation(0)]
  return [0xf0 | code >> 18, continuation(12), continuation(6), continuation(0)]
}

/** What is no UTF-8 becomes U+FFFD, a byte at a time; never throws. */
export function decodeUtf8(bytes: Uint8Array): string {
  const characters: string[] = []
  for (let at = 0; at < bytes.length;) {
    const { code, length } = decodeCodePoint(bytes, at)
    characters.push(String.fromCodePoint(code))
    at += length
  }
  return characters.join('')
}

/** The smallest code point that needs this many bytes: anything below is an overlong form. */
const SMALLEST = [0, 0, 0x80, 0x800, 0x10000]
const INVALID = { code: 0xfffd, length: 1 }

function decodeCodePoint(bytes: Uint8Array, at: number): { code: number, length: number } {
  const lead = bytes[at]
  if (lead < 0x80) return { code: lead, length: 1 }
  const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2
  if (lead < 0xc0 || lead >= 0xf8 || at + length > bytes.length) return INVALID
  let code = lead & 0x7f >> length
  for (let index = 1; index < length; index++) {
    const byte = bytes[at + index]
    if ((byte & 0xc0) !== 0x80) return INVALID
    code = code << 6 | byte & 0x3f
  }
  const isSurrogate = code >= 0xd800 && code < 0xe000
  return code < SMALLEST[length] || code > 0x10ffff || isSurrogate ? INVALID : { code, length }
}
