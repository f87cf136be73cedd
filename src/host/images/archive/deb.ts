import { hostError } from '../../errors.ts'
import { decompressStream } from '../decompress.ts'
import type { CompressedFormat } from '../decompress.ts'
import { readAr } from '../formats/ar.ts'
import { readTar } from '../formats/tar.ts'
import type { TarEntry } from '../formats/tar.ts'

/** No package of a kernel unpacks to more. */
const MAXIMUM_UNPACKED = 1024 ** 3

/**
 * Yields the files of a Debian package (deb(5), format 2.0) that `wanted` names, by path without a leading slash. Throws TenonError
 * ARCHIVE_FORMAT_INVALID.
 */
export function readDeb(deb: Uint8Array, name: string, wanted: (path: string) => boolean): AsyncGenerator<TarEntry> {
  return readMember(deb, name, /^data\.tar(\.(gz|xz|zst))?$/, wanted)
}

/** Yields what a package tells about itself: `control`, `md5sums`, `postinst` and their like. Throws TenonError ARCHIVE_FORMAT_INVALID. */
export function readDebControl(deb: Uint8Array, name: string): AsyncGenerator<TarEntry> {
  return readMember(deb, name, /^control\.tar(\.(gz|xz|zst))?$/, () => true)
}

function readMember(deb: Uint8Array, name: string, pattern: RegExp, wanted: (path: string) => boolean): AsyncGenerator<TarEntry> {
  const members = readAr(deb, name)
  if (members[0]?.name !== 'debian-binary' || members[0].data[0] !== 0x32) {
    throw hostError('ARCHIVE_FORMAT_INVALID', `the package ${name} is not of format 2: it is damaged, fetch it again`)
  }
  const found = members.find(member => pattern.test(member.name))
  if (found === undefined) throw hostError('ARCHIVE_FORMAT_INVALID', `the package ${name} lacks a part: it is damaged, fetch it again`)
  return readTar(unpack(found.data, found.name.split('.')[2] as CompressedFormat | undefined, name), name, wanted)
}

function unpack(data: Uint8Array, format: CompressedFormat | undefined, name: string): AsyncIterable<Uint8Array> {
  const pieces = inPieces(data)
  return format === undefined ? pieces : decompressStream(pieces, format, MAXIMUM_UNPACKED, `the package ${name}`)
}

async function* inPieces(data: Uint8Array): AsyncGenerator<Uint8Array> {
  const PIECE = 256 * 1024
  for (let at = 0; at < data.length; at += PIECE) yield data.subarray(at, at + PIECE)
}
