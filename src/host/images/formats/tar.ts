import { hostError } from '../../errors.ts'

/**
 * A reader of tar streams (POSIX.1-1988 ustar, with GNU's and POSIX.1-2001's long names), in blocks of 512 bytes.
 *
 * Left out on purpose: sparse files, and owners' names: Debian's packages have only owners whose numbers never change.
 */
export interface TarEntry {
  /** As in the archive, without a leading `./` or `/` and without a trailing `/`; no component is `..`. */
  readonly path: string
  readonly type: 'file' | 'directory' | 'symlink' | 'hardlink' | 'character-device' | 'block-device' | 'fifo' | 'other'
  readonly linkTarget: string
  /** Permission bits, with set-user-ID, set-group-ID and sticky. */
  readonly permissions: number
  readonly uid: number
  readonly gid: number
  /** Seconds since 1970. */
  readonly modified: number
  readonly device: { readonly major: number, readonly minor: number }
  readonly data: Uint8Array
}

const BLOCK = 512
/** No file of a package that we unpack comes near it. */
const MAXIMUM_FILE = 256 * 1024 * 1024

const TYPES: Readonly<Record<string, TarEntry['type']>> = {
  '0': 'file', '\0': 'file', '7': 'file', '1': 'hardlink', '2': 'symlink', '3': 'character-device', '4': 'block-device', '5': 'directory', '6': 'fifo',
}

/** Yields the entries that `wanted` names (by path); the others' data are skipped. Throws TenonError ARCHIVE_FORMAT_INVALID. */
export async function* readTar(
  chunks: AsyncIterable<Uint8Array>, name: string, wanted: (path: string) => boolean,
): AsyncGenerator<TarEntry> {
  const reader = new BlockReader(chunks, name)
  try {
    yield* readEntries(reader, name, wanted)
  } finally {
    await reader.close()
  }
}

async function* readEntries(reader: BlockReader, name: string, wanted: (path: string) => boolean): AsyncGenerator<TarEntry> {
  let long: { path?: string, linkTarget?: string } = {}
  for (let block = await reader.take(BLOCK); block !== undefined && !isZero(block); block = await reader.take(BLOCK)) {
    const header = parseHeader(block, name)
    if (isExtension(header.type)) {
      long = { ...long, ...parseExtension(header.type, await reader.data(header.size)) }
      continue
    }
    const { path, size, ...rest } = { ...header, ...long }
    long = {}
    const clean = cleanPath(path, name)
    if (!wanted(clean)) await reader.skip(size)
    else yield { ...rest, path: clean, type: TYPES[header.type] ?? 'other', data: await reader.data(size) }
  }
}

interface Header extends Omit<TarEntry, 'type' | 'data'> {
  readonly size: number
  readonly type: string
}

function parseHeader(header: Uint8Array, name: string): Header {
  const view = new Uint8Array(header)
  const expected = octal(view, 148, 8)
  view.fill(0x20, 148, 156)
  const size = octal(view, 124, 12)
  if (view.reduce((sum, byte) => sum + byte, 0) !== expected) throw invalid(name, 'has a header with a wrong checksum')
  if (!(size <= MAXIMUM_FILE)) throw invalid(name, 'holds a file that is too large')
  /** An empty field is 0. */
  const numberAt = (at: number, length: number): number => {
    const number = octal(view, at, length)
    if (Number.isFinite(number)) return number
    if (cString(view.subarray(at, at + length)).trim() === '') return 0
    throw invalid(name, `has a header with a damaged number at byte ${at}`)
  }
  const prefix = cString(view.subarray(345, 500))
  const isPosix = cString(view.subarray(257, 263)) === 'ustar'
  const path = cString(view.subarray(0, 100))
  return {
    size,
    type: String.fromCharCode(view[156]),
    path: isPosix && prefix !== '' ? `${prefix}/${path}` : path,
    linkTarget: cString(view.subarray(157, 257)),
    permissions: numberAt(100, 8) & 0o7777,
    uid: numberAt(108, 8),
    gid: numberAt(116, 8),
    modified: numberAt(136, 12),
    device: isPosix ? { major: numberAt(329, 8), minor: numberAt(337, 8) } : { major: 0, minor: 0 },
  }
}

function isExtension(type: string): boolean {
  return type === 'L' || type === 'K' || type === 'x'
}

/** What the entry before an entry says about it: GNU's long path (L) and link target (K), or POSIX.1-2001's records (x). */
function parseExtension(type: string, data: Uint8Array): { path?: string, linkTarget?: string } {
  if (type === 'L') return { path: cString(data) }
  if (type === 'K') return { linkTarget: cString(data) }
  const records = parseRecords(data)
  const path = records.get('path')
  const linkTarget = records.get('linkpath')
  return { ...path !== undefined && { path }, ...linkTarget !== undefined && { linkTarget } }
}

/** Records `LENGTH KEY=VALUE\n`. */
function parseRecords(data: Uint8Array): Map<string, string> {
  const records = new Map<string, string>()
  for (let at = 0; at < data.length;) {
    const length = parseInt(new TextDecoder('latin1').decode(data.subarray(at, at + 20)), 10)
    if (!(length > 0)) break
    const [, key, value] = /^\d+ ([^=]+)=([^]*)\n$/.exec(new TextDecoder().decode(data.subarray(at, at + length))) ?? []
    if (key !== undefined) records.set(key, value)
    at += length
  }
  return records
}

function cleanPath(path: string, name: string): string {
  const parts = path.split('/').filter(part => part !== '' && part !== '.')
  if (parts.includes('..')) throw invalid(name, `holds the path ${JSON.stringify(path)}`)
  return parts.join('/')
}

function octal(bytes: Uint8Array, at: number, length: number): number {
  const digits = cString(bytes.subarray(at, at + length)).trim()
  return /^[0-7]+$/.test(digits) ? parseInt(digits, 8) : NaN
}

function cString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end))
}

function isZero(block: Uint8Array): boolean {
  return block.every(byte => byte === 0)
}

function invalid(name: string, what: string): Error {
  return hostError('ARCHIVE_FORMAT_INVALID', `the archive ${name} ${what}: it is damaged, fetch it again`)
}

/** Takes exact amounts from a stream of chunks. */
class BlockReader {
  readonly #chunks: AsyncIterator<Uint8Array>
  readonly #name: string
  #rest: Uint8Array = new Uint8Array(0)

  constructor(chunks: AsyncIterable<Uint8Array>, name: string) {
    this.#chunks = chunks[Symbol.asyncIterator]()
    this.#name = name
  }

  /** The next `size` bytes, or undefined at the stream's end. */
  async take(size: number): Promise<Uint8Array | undefined> {
    if (this.#rest.length === 0 && !await this.#pull()) return undefined
    if (this.#rest.length >= size) return this.#advance(size)
    const whole = new Uint8Array(size)
    for (let filled = 0; filled < size;) {
      if (this.#rest.length === 0 && !await this.#pull()) throw invalid(this.#name, 'ends too early')
      const part = this.#advance(Math.min(size - filled, this.#rest.length))
      whole.set(part, filled)
      filled += part.length
    }
    return whole
  }

  /** A file's data, without the padding to whole blocks. */
  async data(size: number): Promise<Uint8Array> {
    if (size === 0) return new Uint8Array(0)
    const data = await this.take(Math.ceil(size / BLOCK) * BLOCK)
    if (data === undefined) throw invalid(this.#name, 'ends too early')
    return data.subarray(0, size)
  }

  async skip(size: number): Promise<void> {
    for (let left = Math.ceil(size / BLOCK) * BLOCK; left > 0;) {
      if (this.#rest.length === 0 && !await this.#pull()) throw invalid(this.#name, 'ends too early')
      left -= this.#advance(Math.min(left, this.#rest.length)).length
    }
  }

  /** Lets go of the stream, read to its end or not. */
  async close(): Promise<void> {
    await this.#chunks.return?.()
  }

  #advance(size: number): Uint8Array {
    const part = this.#rest.subarray(0, size)
    this.#rest = this.#rest.subarray(size)
    return part
  }

  async #pull(): Promise<boolean> {
    for (;;) {
      const { done, value } = await this.#chunks.next()
      if (done) return false
      if (value.length === 0) continue
      this.#rest = value
      return true
    }
  }
}
