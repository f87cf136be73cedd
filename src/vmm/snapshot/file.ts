/**
 * A snapshot as a file: README.md has the format. Both directions work in pieces of about a mebibyte at most and know neither files
 * nor streams: `encodeSnapshot` yields pieces to be written one after the other, `SnapshotReader` takes pieces of any size.
 */
import { unreachable } from '../../base/errors.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import { crc32 } from '../../base/crc32.ts'
import { damaged, snapshotError } from './errors.ts'
import { EXTENT_PAGES } from './memory.ts'
import type { MemoryExtent } from './memory.ts'
import { decodePlain, encodePlain } from './plain-json.ts'
import type { MachineSnapshot, NamedPart, StreamedSnapshot } from './snapshot.ts'

const FILE_VERSION = 1
/** "TENONVM" and a line feed. */
const MAGIC = Uint8Array.of(0x54, 0x45, 0x4e, 0x4f, 0x4e, 0x56, 0x4d, 0x0a)
const FILE_HEADER_SIZE = 12

/** Kinds of sections. */
const Section = { END: 0, HEAD: 1, PART: 2, MEMORY: 3 } as const
const SECTION_HEADER_SIZE = 8
const CHECKSUM_SIZE = 4
const PAGE_NUMBER_SIZE = 4
const MAXIMUM_SECTION = PAGE_NUMBER_SIZE + EXTENT_PAGES * 4096

interface OutgoingSection { readonly kind: number, readonly payload: readonly Uint8Array[] }

/** The file of a snapshot, in pieces. They share memory with the snapshot: write each before asking for the next. */
export function* encodeSnapshot(snapshot: StreamedSnapshot): Generator<Uint8Array, void, undefined> {
  const header = [MAGIC, word(FILE_VERSION)]
  yield* header
  let checksum = checksumOf(header, 0)
  for (const { kind, payload } of sectionsOf(snapshot)) {
    const length = payload.reduce((sum, piece) => sum + piece.length, 0)
    if (length > MAXIMUM_SECTION) unreachable(`a section of ${length} bytes in a snapshot`)
    const section = [word(kind), word(length), ...payload]
    yield* section
    // Not over the checksums themselves: with them it would be the same whatever was written.
    checksum = checksumOf(section, checksum)
    yield word(checksum)
  }
}

function* sectionsOf({ format, version, config, parts, memory }: StreamedSnapshot): Generator<OutgoingSection, void, undefined> {
  yield { kind: Section.HEAD, payload: [encodePlain({ format, version, config })] }
  for (const part of parts) yield { kind: Section.PART, payload: [encodePlain({ ...part })] }
  for (const { page, bytes } of memory) yield { kind: Section.MEMORY, payload: [word(page), bytes] }
  yield { kind: Section.END, payload: [] }
}

const checksumOf = (pieces: readonly Uint8Array[], before: number): number =>
  pieces.reduce((checksum, piece) => crc32(piece, checksum), before)

/** Who takes a snapshot while it is read, so that its memory need not be held twice. What it throws ends the reading. */
export interface SnapshotSink {
  /** All of the snapshot but its memory: anything may be in it. */
  begin(described: { readonly [field: string]: unknown }): void
  take(extent: MemoryExtent): void
}

/**
 * Reads the file of a snapshot: `push` its bytes in order, then `finish`, which gives the snapshot, without its memory where a sink has
 * taken that. Both throw TenonError SNAPSHOT_INVALID or SNAPSHOT_VERSION. Whether the snapshot fits a machine, and whether its parts are
 * in order, is for `Machine.restore` to find out.
 */
export class SnapshotReader {
  private readonly sink: SnapshotSink
  private readonly input = new ByteQueue()
  private checksum = 0
  private started = false
  private ended = false
  private head: { [key: string]: PlainData } | undefined
  private readonly parts: NamedPart[] = []
  private readonly memory: MemoryExtent[] = []
  private begun = false

  constructor(sink?: SnapshotSink) {
    this.sink = sink ?? { begin: () => undefined, take: (extent) => { this.memory.push(extent) } }
  }

  push(bytes: Uint8Array): void {
    this.input.push(bytes)
    if (!this.started && this.input.length >= FILE_HEADER_SIZE) this.start()
    while (this.started && !this.ended && this.takeSection());
    if (this.ended && this.input.length > 0) throw damaged('its file goes on after its end')
  }

  finish(): MachineSnapshot {
    if (!this.ended) throw damaged('its file is cut off')
    return { ...this.head, parts: this.parts, memory: this.memory } as unknown as MachineSnapshot
  }

  private start(): void {
    const header = this.input.take(FILE_HEADER_SIZE)
    if (MAGIC.some((byte, at) => header[at] !== byte)) {
      throw snapshotError('SNAPSHOT_INVALID', 'this is no snapshot file: give one that a snapshot was saved to')
    }
    const version = wordAt(header, MAGIC.length)
    if (version !== FILE_VERSION) {
      throw snapshotError('SNAPSHOT_VERSION',
        `the snapshot file has format version ${version} and this Tenon reads version ${FILE_VERSION}: restore it with the Tenon `
        + 'that saved it')
    }
    this.checksum = crc32(header)
    this.started = true
  }

  /** Takes the next section if all of it is here. */
  private takeSection(): boolean {
    if (this.input.length < SECTION_HEADER_SIZE) return false
    const header = this.input.peek(SECTION_HEADER_SIZE)
    const length = wordAt(header, 4)
    if (length > MAXIMUM_SECTION) throw damaged('a section of its file is longer than any can be')
    if (this.input.length < SECTION_HEADER_SIZE + length + CHECKSUM_SIZE) return false
    const section = this.input.take(SECTION_HEADER_SIZE + length)
    this.checksum = crc32(section, this.checksum)
    if (wordAt(this.input.take(CHECKSUM_SIZE), 0) !== this.checksum) throw damaged('a checksum in its file is wrong')
    this.accept(wordAt(section, 0), section.subarray(SECTION_HEADER_SIZE))
    return true
  }

  private accept(kind: number, payload: Uint8Array): void {
    if ((kind === Section.HEAD) !== (this.head === undefined)) throw damaged('the sections of its file are not in order')
    switch (kind) {
      case Section.HEAD: this.head = asObject(decodePlain(payload, 'its head'), 'its head'); break
      case Section.PART: {
        if (this.begun) throw damaged('the sections of its file are not in order')
        const part = decodePlain(payload, `its part ${this.parts.length + 1}`)
        this.parts.push(part as unknown as NamedPart)
        break
      }
      case Section.MEMORY:
        if (payload.length < PAGE_NUMBER_SIZE) throw damaged('a section of its memory is too short')
        this.begin()
        this.sink.take({ page: wordAt(payload, 0), bytes: payload.slice(PAGE_NUMBER_SIZE) })
        break
      case Section.END:
        this.begin()
        this.ended = true
        break
      default: throw damaged(`its file has a section of unknown kind ${kind}`)
    }
  }

  /** All but the memory has come. */
  private begin(): void {
    if (this.begun) return
    this.begun = true
    this.sink.begin({ ...this.head, parts: this.parts })
  }
}

/** Bytes that came in pieces. */
class ByteQueue {
  length = 0
  private pieces: Uint8Array[] = []

  push(bytes: Uint8Array): void {
    this.pieces.push(bytes.slice())
    this.length += bytes.length
  }

  /** The next bytes, which must be here; they stay. */
  peek(count: number): Uint8Array {
    if (this.pieces[0].length < count) this.pieces = [this.joined()]
    return this.pieces[0].subarray(0, count)
  }

  take(count: number): Uint8Array {
    if (count === 0) return new Uint8Array(0)
    const bytes = this.peek(count)
    this.pieces[0] = this.pieces[0].subarray(count)
    if (this.pieces[0].length === 0) this.pieces.shift()
    this.length -= count
    return bytes
  }

  private joined(): Uint8Array {
    const all = new Uint8Array(this.length)
    let at = 0
    for (const piece of this.pieces) {
      all.set(piece, at)
      at += piece.length
    }
    return all
  }
}

function asObject(value: PlainData, what: string): { [key: string]: PlainData } {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) {
    throw damaged(`${what} is not in order`)
  }
  return value as { [key: string]: PlainData }
}

/** Little-endian, unsigned. */
function word(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24)
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24) >>> 0
}
