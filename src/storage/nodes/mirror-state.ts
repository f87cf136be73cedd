/**
 * What a mirror must know after a crash: which of its children are up to date, and where writes were under way, so that the children
 * may differ there. A region is marked before its first write, and stays so for a while: most writes find their region marked.
 *
 *     payload of the record   0    bytes of the disk, 64 bits
 *                             8    children, 8 bits
 *                             9    a region is 2 to the power of this many bytes, 8 bits
 *                             16   one byte for each child: 1 is up to date
 *                             64   a bit for each region: 1 is marked
 */
import { storageError } from '../errors.ts'
import type { StorageFile } from '../storage-file.ts'
import { StateRecord } from './state-record.ts'

export const MAXIMUM_CHILDREN = 16
const MAXIMUM_REGIONS = 65_536
const BITS_AT = 64
const MINIMUM_SHIFT = 20
/** Marks that are kept although nothing is written there; more of them are taken away, which costs a flush. */
const IDLE_MARKS = 128

const RECORD = { magic: 'TENONMIR', what: 'state of a mirror', capacity: BITS_AT + MAXIMUM_REGIONS / 8 }

export class MirrorState {
  readonly size: number
  /** For each child: whether it has all that the mirror has. */
  readonly upToDate: boolean[]
  private readonly record: StateRecord
  private readonly file: StorageFile
  private readonly shift: number
  private readonly marks: Uint8Array
  /** Writes under way in a region. */
  private readonly active = new Map<number, number>()
  /** Regions that are marked and idle, and when they were left. */
  private readonly idle = new Map<number, number>()
  private leaves = 0
  private changes = 1
  private savedChanges = 0

  private constructor(file: StorageFile, record: StateRecord, size: number, shift: number, upToDate: boolean[], marks: Uint8Array) {
    this.file = file
    this.record = record
    this.size = size
    this.shift = shift
    this.upToDate = upToDate
    this.marks = marks
  }

  static async create(file: StorageFile, size: number, upToDate: readonly boolean[]): Promise<MirrorState> {
    const shift = Math.max(MINIMUM_SHIFT, Math.ceil(Math.log2(size / MAXIMUM_REGIONS)))
    const marks = new Uint8Array(MAXIMUM_REGIONS / 8)
    await file.truncate(0)
    const state = new MirrorState(file, StateRecord.create(file, RECORD), size, shift, [...upToDate], marks)
    await state.save()
    return state
  }

  /** Rejects with DISK_CORRUPT, also for a mirror of another number of children. */
  static async open(file: StorageFile, children: number): Promise<MirrorState> {
    const { record, payload } = await StateRecord.open(file, RECORD)
    if (payload.length !== RECORD.capacity) throw storageError('DISK_CORRUPT', `${file.path}: the state of a mirror is too short`)
    const view = new DataView(payload.buffer)
    const size = Number(view.getBigUint64(0, true))
    const shift = payload[9]
    if (payload[8] !== children) throw storageError('DISK_CORRUPT', `${file.path} is of a mirror of ${payload[8]}, not of ${children}`)
    if (shift < MINIMUM_SHIFT || shift > 40 || !(size / 2 ** shift <= MAXIMUM_REGIONS)) {
      throw storageError('DISK_CORRUPT', `${file.path}: regions of 2^${shift} bytes do not fit a disk of ${size} bytes`)
    }
    const upToDate = Array.from(payload.subarray(16, 16 + children), byte => byte === 1)
    const state = new MirrorState(file, record, size, shift, upToDate, payload.slice(BITS_AT))
    state.savedChanges = state.changes
    for (const region of state.marked()) state.idle.set(region, 0)
    return state
  }

  get regionSize(): number { return 2 ** this.shift }

  /** Whether the file does not have yet what is known here. */
  get isUnsaved(): boolean { return this.savedChanges < this.changes }

  /** Whether it is time to take marks away: see `idleMarks`. */
  get hasManyMarks(): boolean { return this.idle.size > IDLE_MARKS }

  setUpToDate(child: number, isUpToDate: boolean): void {
    if (this.upToDate[child] === isUpToDate) return
    this.upToDate[child] = isUpToDate
    this.changes++
  }

  async save(): Promise<void> {
    let changes = 0
    await this.record.save(() => {
      changes = this.changes
      return this.build()
    })
    // Of calls that share a writing only one has built it; the others cannot know more than that theirs is in it.
    this.savedChanges = Math.max(this.savedChanges, changes)
  }

  /** Before a write: marks its regions. The state is to be saved if it is unsaved then. `leave` must follow. */
  enter(offset: number, length: number): void {
    for (const region of this.regions(offset, length)) {
      this.active.set(region, (this.active.get(region) ?? 0) + 1)
      this.idle.delete(region)
      if (this.isMarked(region)) continue
      this.marks[region >>> 3] |= 1 << (region & 7)
      this.changes++
    }
  }

  leave(offset: number, length: number): void {
    for (const region of this.regions(offset, length)) {
      const left = (this.active.get(region) ?? 0) - 1
      if (left > 0) this.active.set(region, left)
      else {
        this.active.delete(region)
        this.idle.set(region, ++this.leaves)
      }
    }
  }

  /** Regions that are marked though nothing is under way. After a flush of the children, `unmark` those that still are. */
  idleMarks(): ReadonlyMap<number, number> { return new Map(this.idle) }

  /** Takes marks away, but for regions that were written since. `before` is what `idleMarks` said before the flush. */
  unmark(before: ReadonlyMap<number, number>): void {
    for (const [region, left] of before) {
      if (this.idle.get(region) !== left) continue
      this.idle.delete(region)
      this.marks[region >>> 3] &= ~(1 << (region & 7))
      this.changes++
    }
  }

  /** All marked regions: after a crash, where the children may differ. */
  marked(): number[] {
    const found = []
    for (let region = 0; region < MAXIMUM_REGIONS; region++) if (this.isMarked(region)) found.push(region)
    return found
  }

  close(): Promise<void> { return this.file.close() }

  private isMarked(region: number): boolean { return (this.marks[region >>> 3] >>> (region & 7) & 1) === 1 }

  private *regions(offset: number, length: number): Generator<number> {
    if (length === 0) return
    const last = Math.floor((offset + length - 1) / this.regionSize)
    for (let region = Math.floor(offset / this.regionSize); region <= last; region++) yield region
  }

  private build(): Uint8Array {
    const payload = new Uint8Array(RECORD.capacity)
    new DataView(payload.buffer).setBigUint64(0, BigInt(this.size), true)
    payload[8] = this.upToDate.length
    payload[9] = this.shift
    this.upToDate.forEach((isUpToDate, at) => { payload[16 + at] = isUpToDate ? 1 : 0 })
    payload.set(this.marks, BITS_AT)
    return payload
  }
}
