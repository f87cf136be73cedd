import type { Extent } from '../block-node.ts'
import { byteLength, fillZeroes, scatter, sliceBuffers, zeroBuffers, type Buffers } from '../buffers.ts'
import { storageError } from '../errors.ts'
import { RangeLock } from '../range-lock.ts'
import type { StorageFile } from '../storage-file.ts'
import type { VmdkExtent } from './extent.ts'
import type { GrainTables } from './grain-tables.ts'
import { corrupt, GRAIN_MARKER_LENGTH, HeaderFlag, SECTOR, type SparseHeader, u32, u64, ZEROED_GRAIN } from './layout.ts'

export interface SparseExtentOptions {
  readonly file: StorageFile
  readonly header: SparseHeader
  readonly tables: GrainTables
  /** Bytes of the disk that are in it. */
  readonly size: number
  readonly readOnly: boolean
  /** The parent's bytes where the extent has none; null: zeros. */
  readonly behind: ((offset: number, into: Buffers) => Promise<void>) | null
  /** zlib, to exactly so many bytes; throws on damage. For compressed extents. */
  readonly decompress?: (bytes: Uint8Array, length: number) => Uint8Array
}

/** Decompressed grains that are kept. */
const CACHED_GRAINS = 16

/** SPARSE: grains where something was written, compressed or not. */
export class SparseExtent implements VmdkExtent {
  readonly size: number
  readonly readOnly: boolean
  private readonly file: StorageFile
  private readonly tables: GrainTables
  private readonly grainBytes: number
  private readonly hasZeroedGrains: boolean
  private readonly isCompressed: boolean
  private readonly behind: SparseExtentOptions['behind']
  private readonly decompress: SparseExtentOptions['decompress']
  /** On grains that are being made. */
  private readonly lock = new RangeLock()
  private readonly decompressed = new Map<number, Promise<Uint8Array>>()

  constructor(options: SparseExtentOptions) {
    const { header } = options
    this.size = options.size
    this.file = options.file
    this.tables = options.tables
    this.grainBytes = header.grainSize * SECTOR
    this.hasZeroedGrains = (header.flags & HeaderFlag.ZEROED_GRAINS) !== 0
    this.isCompressed = (header.flags & HeaderFlag.COMPRESSED) !== 0
    this.readOnly = options.readOnly || this.isCompressed
    this.behind = options.behind
    this.decompress = options.decompress
  }

  async read(offset: number, into: Buffers): Promise<void> {
    for (const part of this.parts(offset, byteLength(into))) await this.readPart(part, sliceBuffers(into, part.at, part.length))
  }

  async write(offset: number, from: Buffers): Promise<void> {
    for (const part of this.parts(offset, byteLength(from))) await this.writePart(part, sliceBuffers(from, part.at, part.length))
  }

  async discard(offset: number, length: number): Promise<void> {
    for (let at = 0; at < length;) {
      const { state, length: known } = await this.extent(offset + at, length - at)
      if (state === 'data' && !await this.discardGrains(offset + at, known)) return
      at += known
    }
  }

  async writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    for (let at = 0; at < length;) {
      const absent = await this.zerosFrom(offset + at, length - at)
      if (absent === 0) {
        const [part] = this.parts(offset + at, length - at)
        const entry = await this.tables.entry(part.grain)
        const isPunched = mayUnmap && this.isThere(entry) && await this.file.punchHole(entry * SECTOR + part.start, part.length)
        if (!isPunched) await this.writePart(part, zeroBuffers(part.length))
        at += part.length
      }
      at += absent
    }
  }

  async extent(offset: number, length: number): Promise<Extent> {
    const grain = Math.floor(offset / this.grainBytes)
    const start = offset % this.grainBytes
    const { entry, length: grains } = await this.tables.run(grain, Math.ceil((start + length) / this.grainBytes))
    const state = this.isThere(entry) ? 'data' : entry === 0 ? 'hole' : 'zero'
    return { state, length: Math.min(length, grains * this.grainBytes - start) }
  }

  flush(): Promise<void> { return this.readOnly ? Promise.resolve() : this.tables.commit() }

  /** Returns whether the file's space can be given back at all. */
  private async discardGrains(offset: number, length: number): Promise<boolean> {
    for (const { grain, start, length: part } of this.parts(offset, length)) {
      const entry = await this.tables.entry(grain)
      if (this.isThere(entry) && !await this.file.punchHole(entry * SECTOR + start, part)) return false
    }
    return true
  }

  /** Bytes from `offset` on that are zeros because there are no grains. */
  private async zerosFrom(offset: number, length: number): Promise<number> {
    const { state, length: known } = await this.extent(offset, length)
    return state === 'zero' || state === 'hole' && this.behind === null ? known : 0
  }

  /** Whether an entry leads to a grain. */
  private isThere(entry: number): boolean { return entry > ZEROED_GRAIN || entry === ZEROED_GRAIN && !this.hasZeroedGrains }

  private* parts(offset: number, length: number): Generator<Part> {
    for (let at = 0; at < length;) {
      const start = (offset + at) % this.grainBytes
      const part = Math.min(this.grainBytes - start, length - at)
      yield { grain: Math.floor((offset + at) / this.grainBytes), start, at, length: part }
      at += part
    }
  }

  private async readPart({ grain, start }: Part, into: Buffers): Promise<void> {
    const entry = await this.tables.entry(grain)
    if (!this.isThere(entry)) return this.readAbsent(entry, grain * this.grainBytes + start, into)
    if (this.isCompressed) return scatter(into, (await this.decompressedGrain(grain, entry)).subarray(start, start + byteLength(into)))
    if (entry * SECTOR >= this.file.size) throw corrupt(this.file.path, `grain ${grain} lies outside of it`)
    await this.file.read(entry * SECTOR + start, into)
  }

  private async readAbsent(entry: number, offset: number, into: Buffers): Promise<void> {
    if (entry !== 0 || this.behind === null) fillZeroes(into)
    else await this.behind(offset, into)
  }

  private async writePart(part: Part, from: Buffers): Promise<void> {
    const entry = await this.tables.entry(part.grain)
    if (this.isThere(entry)) return this.writeThere(part, entry, from)
    await this.lock.run(part.grain, 1, true, async () => {
      const now = await this.tables.entry(part.grain)
      if (this.isThere(now)) await this.writeThere(part, now, from)
      else await this.writeNew(part, now, from)
    })
  }

  private writeThere({ grain, start }: Part, entry: number, from: Buffers): Promise<void> {
    if (entry * SECTOR >= this.file.size) throw corrupt(this.file.path, `grain ${grain} lies outside of it`)
    return this.file.write(entry * SECTOR + start, from)
  }

  /** Writes a grain of which only a part is given: the rest is what reads there now. */
  private async writeNew({ grain, start, length }: Part, entry: number, from: Buffers): Promise<void> {
    const room = await this.tables.reserveGrain()
    try {
      const isOnlyGiven = room.isZero && (entry !== 0 || this.behind === null)
      const whole = isOnlyGiven ? from : await this.completed(grain, start, length, entry, from)
      await this.file.write(room.sector * SECTOR + (isOnlyGiven ? start : 0), whole)
    } catch (error) {
      this.tables.returnGrain(room)
      throw error
    }
    await this.tables.setEntry(grain, room.sector)
  }

  private async completed(grain: number, start: number, length: number, entry: number, from: Buffers): Promise<Buffers> {
    const [head, tail] = [new Uint8Array(start), new Uint8Array(this.grainBytes - start - length)]
    const position = grain * this.grainBytes
    if (head.length > 0) await this.readAbsent(entry, position, [head])
    if (tail.length > 0) await this.readAbsent(entry, position + start + length, [tail])
    return [head, ...from, tail]
  }

  /** The grains read last are kept: guests read less than a grain at a time. */
  private decompressedGrain(grain: number, entry: number): Promise<Uint8Array> {
    const known = this.decompressed.get(grain)
    const loaded = known ?? this.readCompressed(grain, entry)
    this.decompressed.delete(grain)
    this.decompressed.set(grain, loaded)
    if (known === undefined) loaded.catch(() => this.decompressed.delete(grain))
    if (this.decompressed.size > CACHED_GRAINS) this.decompressed.delete(this.decompressed.keys().next().value!)
    return loaded
  }

  private async readCompressed(grain: number, entry: number): Promise<Uint8Array> {
    const { file, grainBytes } = this
    const marker = new Uint8Array(GRAIN_MARKER_LENGTH)
    await file.read(entry * SECTOR, [marker])
    const length = u32(marker, 8)
    const isOutside = entry * SECTOR + GRAIN_MARKER_LENGTH + length > file.size
    if (u64(marker, 0) !== grain * grainBytes / SECTOR || length === 0 || length > grainBytes * 2 + SECTOR || isOutside) {
      throw corrupt(file.path, `there is no compressed grain where grain ${grain} should be`)
    }
    const bytes = new Uint8Array(length)
    await file.read(entry * SECTOR + GRAIN_MARKER_LENGTH, [bytes])
    return this.inflate(grain, bytes)
  }

  /** The last grain may be shorter than the others: it ends with the disk. */
  private inflate(grain: number, bytes: Uint8Array): Uint8Array {
    const { decompress } = this
    if (decompress === undefined) throw storageError('DISK_UNSUPPORTED', `${this.file.path} is compressed, and there is nothing here to decompress zlib`)
    const rest = this.size - grain * this.grainBytes
    const lengths = rest < this.grainBytes ? [this.grainBytes, rest] : [this.grainBytes]
    let failure: unknown
    for (const length of lengths) {
      try {
        return decompress(bytes, length)
      } catch (error) {
        failure = error
      }
    }
    throw storageError('DISK_CORRUPT', `${this.file.path} is damaged: grain ${grain} cannot be decompressed`, failure)
  }
}

/** Part of an access: `length` bytes from the byte `start` of a grain on, which are those from `at` on of the access. */
interface Part {
  readonly grain: number
  readonly start: number
  readonly at: number
  readonly length: number
}
