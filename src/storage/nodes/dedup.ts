/**
 * A disk that stores each content once: blocks are compared by their SHA-256 and then by their bytes, and those that are equal share a
 * slot. Blocks of zeros take no room.
 *
 * Two files: the *map* says which slot each block is in (after a record of the disk's size and block size), the *data* has the slots.
 *
 * Order, for crashes: a slot's data is on stable storage before the map refers to it there; a slot is used again only when nothing on
 * stable storage refers to it. There are no counts of references that could be wrong. What nothing refers to is garbage; it is found by
 * reading the map (`collect`), at opening and in the background when a quarter may be garbage.
 */
import type { BlockNode, Extent } from '../block-node.ts'
import { byteLength, fillZeroes, gatherInto, isZero, sliceBuffers, type Buffers } from '../buffers.ts'
import { storageError } from '../errors.ts'
import { checkSize, checkWritable, Gate } from '../gate.ts'
import { RangeLock } from '../range-lock.ts'
import { settleAll } from '../settle.ts'
import type { StorageFile } from '../storage-file.ts'
import { DedupMap } from './dedup-map.ts'
import { DedupSlots } from './dedup-slots.ts'
import { StateRecord } from './state-record.ts'

export interface DedupOptions {
  readonly map: StorageFile
  readonly data: StorageFile
  /** SHA-256, or another hash of at least 8 bytes. */
  readonly sha256: (bytes: Uint8Array) => Uint8Array
  readonly readOnly?: boolean
  /** Pages of 4 KiB of the map that are kept in memory; default 1024. At least 4. */
  readonly mapPages?: number
  /** Slots that are known by their hash, 8 bytes each; default 2^18. A power of two from 4 on. */
  readonly knownSlots?: number
}

export interface DedupStatistics {
  /** Slots in the data file; of those, that were in use when last counted or have been since. */
  readonly slots: number
  readonly used: number
  /** References that were replaced since the last count: garbage at most. */
  readonly replaced: number
  /** Blocks written that were there already. */
  readonly shared: number
}

const RECORD = { magic: 'TENONDUP', what: 'record of a dedup disk', capacity: 32 }
/** So much is hashed and compared at once. */
const PIECE = 1 << 20
const COLLECT_FROM = 256

/** A block that a write wants to store. */
interface Wanted {
  readonly block: number
  readonly bytes: Uint8Array
  readonly hash: Uint32Array
  slot: number
}

export class DedupNode implements BlockNode {
  readonly kind = 'dedup'
  readonly readOnly: boolean
  readonly children = {}
  readonly blockSize: number
  private readonly options: DedupOptions
  private readonly record: StateRecord
  private readonly map: DedupMap
  private readonly slots: DedupSlots
  private readonly locks = new RangeLock()
  private readonly gate: Gate
  private bytes: number
  private shared = 0
  private replaced = 0
  private collecting: Promise<number> | null = null

  private constructor(options: DedupOptions, record: StateRecord, size: number, blockSize: number) {
    this.options = options
    this.readOnly = options.readOnly === true || options.map.readOnly || options.data.readOnly
    this.record = record
    this.bytes = size
    this.blockSize = blockSize
    this.gate = new Gate(options.map.path)
    this.slots = new DedupSlots(options.data, blockSize, options.knownSlots ?? 1 << 18)
    this.map = new DedupMap(options.map, record.size, options.mapPages ?? 1024, () => options.data.flush())
  }

  /** Makes an empty disk in two files; what they had is lost. `blockSize`: a power of two, 4 KiB to 64 KiB. */
  static async create(options: DedupOptions, size: number, blockSize = 16_384): Promise<DedupNode> {
    checkSize(options.map.path, size)
    checkBlockSize(options.map.path, blockSize)
    await options.data.truncate(0)
    await options.map.truncate(0)
    const node = new DedupNode(options, StateRecord.create(options.map, RECORD), size, blockSize)
    await node.saveRecord()
    return node
  }

  /** Reads the map once, to know what is in use. Rejects with DISK_CORRUPT. */
  static async open(options: DedupOptions): Promise<DedupNode> {
    const { record, payload } = await StateRecord.open(options.map, RECORD)
    const view = new DataView(payload.buffer)
    const size = payload.length === RECORD.capacity ? Number(view.getBigUint64(0, true)) : -1
    const blockSize = payload.length === RECORD.capacity ? view.getUint32(8, true) : 0
    checkBlockSize(options.map.path, blockSize)
    if (size < 0 || size > Number.MAX_SAFE_INTEGER) throw storageError('DISK_CORRUPT', `${options.map.path} claims a size of ${size} bytes`)
    const node = new DedupNode(options, record, size, blockSize)
    await node.count()
    if (!node.readOnly) await node.slots.trim()
    await node.slots.loadHashes()
    return node
  }

  get size(): number { return this.bytes }

  get statistics(): DedupStatistics {
    return { slots: this.slots.total, used: this.slots.used, replaced: this.replaced, shared: this.shared }
  }

  read(offset: number, into: Buffers): Promise<void> {
    const length = byteLength(into)
    return this.gate.access(this, offset, length, false, () => this.locked(offset, length, false, () => this.readNow(offset, into)))
  }

  write(offset: number, from: Buffers): Promise<void> {
    const length = byteLength(from)
    return this.changing(offset, length, async () => {
      for (let done = 0; done < length;) {
        const part = Math.min(PIECE - (offset + done) % PIECE, length - done)
        await this.writePiece(offset + done, sliceBuffers(from, done, part), part)
        done += part
      }
    })
  }

  /** Whole blocks become zeros, which take no room. The rest of a discard is left as it is. */
  discard(offset: number, length: number): Promise<void> {
    return this.changing(offset, length, async () => {
      await this.clear(Math.ceil(offset / this.blockSize), this.endBlock(offset + length))
    })
  }

  writeZeroes(offset: number, length: number): Promise<void> {
    return this.changing(offset, length, async () => {
      const first = Math.ceil(offset / this.blockSize)
      const end = this.endBlock(offset + length)
      if (first > end) return this.writePiece(offset, [new Uint8Array(length)], length)
      const head = Math.min(first * this.blockSize, offset + length) - offset
      const tail = Math.max(0, offset + length - end * this.blockSize)
      if (head > 0) await this.writePiece(offset, [new Uint8Array(head)], head)
      if (tail > 0) await this.writePiece(end * this.blockSize, [new Uint8Array(tail)], tail)
      await this.clear(first, end)
    })
  }

  flush(): Promise<void> { return this.gate.run(() => this.flushNow()) }

  extent(offset: number, length: number): Promise<Extent> {
    return this.gate.access(this, offset, length, false, async () => {
      const first = Math.floor(offset / this.blockSize)
      const isData = await this.map.get(first) !== 0
      let end = first + 1
      const limit = Math.min(Math.ceil((offset + length) / this.blockSize), first + 65_536)
      while (end < limit && (await this.map.get(end) !== 0) === isData) end++
      return { state: isData ? 'data' : 'zero', length: Math.min(end * this.blockSize, this.bytes) - offset }
    })
  }

  resize(size: number): Promise<void> {
    return this.gate.run(() => this.locks.run(0, Number.MAX_SAFE_INTEGER, true, async () => {
      checkWritable(this.options.map.path, this)
      checkSize(this.options.map.path, size)
      await (size < this.bytes ? this.shrink(size) : this.grow(size))
    }))
  }

  /** Finds out which slots nothing refers to, so that they can be used again. Returns how many there were. */
  collect(): Promise<number> {
    return this.gate.run(async () => {
      checkWritable(this.options.map.path, this)
      return this.collecting ??= this.count().finally(() => { this.collecting = null })
    })
  }

  close(): Promise<void> {
    return this.gate.close(async () => {
      await this.collecting?.catch(() => {})
      try {
        if (!this.readOnly) await this.flushNow()
      } finally {
        await settleAll([this.options.map.close(), this.options.data.close()])
      }
    })
  }

  private async flushNow(): Promise<void> {
    if (!this.readOnly) await this.slots.writeHashes(true)
    await this.map.commit()
  }

  private changing(offset: number, length: number, work: () => Promise<void>): Promise<void> {
    return this.gate.access(this, offset, length, true, async () => {
      if (length > 0) await this.locked(offset, length, true, work)
      if (this.replaced > COLLECT_FROM && this.replaced * 4 > this.slots.used) {
        this.collecting ??= this.count().finally(() => { this.collecting = null })
        // It is tried again at the next write.
        this.collecting.catch(() => {})
      }
    })
  }

  private locked<Result>(offset: number, length: number, exclusive: boolean, work: () => Promise<Result>): Promise<Result> {
    const first = Math.floor(offset / this.blockSize) * this.blockSize
    return this.locks.run(first, Math.ceil((offset + length) / this.blockSize) * this.blockSize - first, exclusive, work)
  }

  private endBlock(end: number): number {
    return end === this.bytes ? Math.ceil(end / this.blockSize) : Math.floor(end / this.blockSize)
  }

  private async readNow(offset: number, into: Buffers): Promise<void> {
    const end = offset + byteLength(into)
    for (let at = offset; at < end;) {
      const block = Math.floor(at / this.blockSize)
      const entry = await this.map.get(block)
      const last = Math.ceil(end / this.blockSize)
      const count = entry === 0 ? 1 : await this.runOf(block, entry, last)
      const part = Math.min((block + count) * this.blockSize, end) - at
      const target = sliceBuffers(into, at - offset, part)
      if (entry === 0) fillZeroes(target)
      else await this.options.data.read(this.slots.offsetOf(entry - 1) + at % this.blockSize, target)
      at += part
    }
  }

  /** How many blocks from `block` on are in slots that follow each other. */
  private async runOf(block: number, entry: number, end: number): Promise<number> {
    const most = Math.min(end - block, this.slots.contiguous(entry - 1))
    let count = 1
    while (count < most && await this.map.get(block + count) === entry + count) count++
    return count
  }

  private async writePiece(offset: number, from: Buffers, length: number): Promise<void> {
    const first = Math.floor(offset / this.blockSize)
    const end = Math.ceil((offset + length) / this.blockSize)
    const whole = new Uint8Array((end - first) * this.blockSize)
    await this.fillEdges(whole, first, offset, length)
    gatherInto(whole.subarray(offset - first * this.blockSize), from)
    const wanted: Wanted[] = []
    for (let block = first; block < end; block++) {
      const bytes = whole.subarray((block - first) * this.blockSize, (block - first + 1) * this.blockSize)
      if (isZero(bytes)) await this.refer(block, 0)
      else wanted.push({ block, bytes, hash: this.hash(bytes), slot: -1 })
    }
    await this.store(wanted)
  }

  /** What the first and the last block have besides the write. */
  private async fillEdges(whole: Uint8Array, first: number, offset: number, length: number): Promise<void> {
    const last = first + whole.length / this.blockSize - 1
    const startsInside = offset % this.blockSize !== 0
    const endsInside = (offset + length) % this.blockSize !== 0 && offset + length < this.bytes
    if (startsInside) await this.readBlock(first, whole.subarray(0, this.blockSize))
    if (endsInside && !(startsInside && first === last)) await this.readBlock(last, whole.subarray(-this.blockSize))
  }

  private async readBlock(block: number, into: Uint8Array): Promise<void> {
    const entry = await this.map.get(block)
    if (entry !== 0) await this.slots.read(entry - 1, [into])
  }

  private hash(bytes: Uint8Array): Uint32Array {
    const hash = this.options.sha256(bytes)
    const view = new DataView(hash.buffer, hash.byteOffset)
    return Uint32Array.of(view.getUint32(0, true), view.getUint32(4, true))
  }

  /** Finds or makes a slot for each block, and then has the map refer to them. */
  private async store(wanted: readonly Wanted[]): Promise<void> {
    const fresh: Wanted[] = []
    try {
      for (const each of wanted) await this.place(each, fresh)
      await this.writeFresh(fresh)
    } catch (error) {
      for (const { slot } of fresh) if (slot >= 0) this.slots.giveUp(slot)
      for (const each of wanted) if (each.slot >= 0 && !fresh.includes(each)) this.slots.release(each.slot)
      throw error
    }
    try {
      for (const { block, slot } of wanted) await this.refer(block, slot + 1)
    } finally {
      for (const { slot } of wanted) this.slots.release(slot)
    }
    await this.slots.writeHashes(false)
  }

  private async place(wanted: Wanted, fresh: Wanted[]): Promise<void> {
    const { hash, bytes } = wanted
    const twin = fresh.find(each => each.hash[0] === hash[0] && each.hash[1] === hash[1] && isEqual(each.bytes, bytes))
    if (twin !== undefined) {
      this.shared++
      this.slots.holdAgain(twin.slot)
      wanted.slot = twin.slot
      return
    }
    const known = await this.findEqual(wanted)
    if (known !== null) {
      this.shared++
      wanted.slot = known
      return
    }
    const slot = this.slots.allocate()
    if (slot === null) throw storageError('DISK_FULL', `${this.options.data.path} has as many slots as it can have`)
    wanted.slot = slot
    fresh.push(wanted)
  }

  /** A slot that has these very bytes, held. */
  private async findEqual({ hash, bytes }: Wanted): Promise<number | null> {
    let found: number | null = null
    const present = new Uint8Array(this.blockSize)
    for (const slot of this.slots.candidates(hash)) {
      // One that cannot be read is not shared, that is all.
      const isSame = found === null && await this.slots.read(slot, [present]).then(() => isEqual(present, bytes), () => false)
      if (isSame) found = slot
      else this.slots.release(slot)
    }
    return found
  }

  /** Slots that follow each other are written at once. */
  private async writeFresh(fresh: readonly Wanted[]): Promise<void> {
    for (let at = 0; at < fresh.length;) {
      const { slot } = fresh[at]
      let count = 1
      while (at + count < fresh.length && count < this.slots.contiguous(slot) && fresh[at + count].slot === slot + count) count++
      await this.slots.write(slot, fresh.slice(at, at + count).map(each => each.bytes))
      at += count
    }
    for (const { slot, hash } of fresh) this.slots.remember(slot, hash)
  }

  private async refer(block: number, entry: number): Promise<void> {
    if (entry !== 0) this.slots.use(entry - 1)
    const before = await this.map.set(block, entry)
    if (before !== 0 && before !== entry) this.replaced++
  }

  private async clear(first: number, end: number): Promise<void> {
    this.replaced += await this.map.clear(first, end)
  }

  /** Marks what the map refers to; afterwards the map is on stable storage, so that what is free is free there too. */
  private async count(): Promise<number> {
    const replaced = this.replaced
    this.slots.beginMarking()
    try {
      await this.map.scan(this.blocks(this.bytes), (block, entry) => this.markEntry(block, entry))
      if (!this.readOnly) await this.map.commit()
    } catch (error) {
      this.slots.abandonMarking()
      throw error
    }
    this.replaced -= replaced
    return this.slots.endMarking()
  }

  private markEntry(block: number, entry: number): void {
    if (entry > this.slots.total) {
      throw storageError('DISK_CORRUPT', `${this.options.map.path}: block ${block} is in slot ${entry - 1}, of ${this.slots.total}`)
    }
    this.slots.mark(entry - 1)
  }

  private blocks(size: number): number { return Math.ceil(size / this.blockSize) }

  private async shrink(size: number): Promise<void> {
    const rest = size % this.blockSize
    if (rest !== 0) {
      const length = Math.min(this.blockSize - rest, this.bytes - size)
      await this.writePiece(size, [new Uint8Array(length)], length)
      await this.map.commit()
    }
    this.bytes = size
    await this.saveRecord()
  }

  /** The map may still have what was there before the disk was made smaller. */
  private async grow(size: number): Promise<void> {
    const stale: number[] = []
    await this.map.scan(this.blocks(size), (block) => { if (block >= this.blocks(this.bytes)) stale.push(block) })
    for (const block of stale) await this.map.set(block, 0)
    await this.map.commit()
    const before = this.bytes
    this.bytes = size
    await this.saveRecord().catch((error: unknown) => {
      this.bytes = before
      throw error
    })
  }

  private saveRecord(): Promise<void> {
    return this.record.save(() => {
      const payload = new Uint8Array(RECORD.capacity)
      const view = new DataView(payload.buffer)
      view.setBigUint64(0, BigInt(this.bytes), true)
      view.setUint32(8, this.blockSize, true)
      return payload
    })
  }
}

function checkBlockSize(path: string, blockSize: number): void {
  if (blockSize >= 4096 && blockSize <= 65536 && (blockSize & (blockSize - 1)) === 0) return
  throw storageError('DISK_CORRUPT', `${path}: a dedup disk has blocks of 4096 to 65536 bytes, a power of two, not of ${blockSize}`)
}

function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  for (let at = 0; at < one.length; at++) if (one[at] !== other[at]) return false
  return true
}
