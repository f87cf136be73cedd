/**
 * Names of files as a guest gives them: bytes, of no particular encoding. Here they are strings with a character for each byte
 * (`ByteString`), which compare, join and serve as keys. A name is one component: it can lead neither up nor down, nor to the root.
 */
import { FuseError } from './errors.ts'
import { NAME_MAX } from './protocol.ts'

/** A string whose characters are bytes, U+0000 to U+00FF. */
export type ByteString = string

/** Whether it may name a file in a folder. */
export function isFileName(name: ByteString): boolean {
  return name.length > 0 && name.length <= NAME_MAX && name !== '.' && name !== '..' && !name.includes('/') && !name.includes('\0')
}

/** @throws FuseError ENAMETOOLONG, EINVAL. */
export function checkFileName(name: ByteString): ByteString {
  if (name.length > NAME_MAX) throw new FuseError('ENAMETOOLONG')
  if (!isFileName(name)) throw new FuseError('EINVAL')
  return name
}

export function byteString(bytes: Uint8Array): ByteString {
  const STEP = 4096
  let text = ''
  for (let at = 0; at < bytes.length; at += STEP) text += String.fromCharCode(...bytes.subarray(at, at + STEP))
  return text
}
