/**
 * GUIDs as text and as UEFI stores them: the first three parts little-endian (UEFI 2.10, Appendix A). Text is in lower case, as Linux
 * shows it: `0fc63daf-8483-4772-8e79-3d69d8e47de4`.
 */
import { storageError } from '../errors.ts'

export const GUID_SIZE = 16
const FORM = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
/** The bytes of the text, in the order in which they are stored. */
const ORDER = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]
/** Lengths of the text's parts, in bytes. */
const PARTS = [4, 2, 2, 2, 6]

/** @throws TenonError DISK_DESCRIPTION_INVALID: the text is no GUID */
export function encodeGuid(text: string): Uint8Array {
  if (!FORM.test(text)) {
    throw storageError('DISK_DESCRIPTION_INVALID', `${JSON.stringify(text)} is no GUID: write 32 hexadecimal digits as 8-4-4-4-12`)
  }
  const digits = text.replaceAll('-', '')
  return Uint8Array.from(ORDER, byte => Number.parseInt(digits.slice(byte * 2, byte * 2 + 2), 16))
}

export function decodeGuid(bytes: Uint8Array): string {
  const text = ORDER.map(place => bytes[place].toString(16).padStart(2, '0')).join('')
  let at = 0
  return PARTS.map(length => text.slice(at, at += length * 2)).join('-')
}
