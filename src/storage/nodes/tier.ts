/**
 * A fast and a slow node as one disk: what is used most moves to the fast one, in the background, a segment at a time. The size is that
 * of the slow one.
 *
 * A segment is in one place at a time, as the map says (TierMap). To move it: requests to it wait, it is copied, the copy is flushed,
 * the map is changed and flushed, requests go on. So a crash at any moment leaves it in one place or the other, with the same bytes.
 */
import type { BlockNode, Extent } from '../block-node.ts'
import { byteLength, sliceBuffers, type Buffers } from '../buffers.ts'
import { storageError } from '../errors.ts'
import { contentExtent } from '../extents.ts'
import { checkWritable, Gate } from '../gate.ts'
import { RangeLock } from '../range-lock.ts'
import { settleAll } from '../settle.ts'
import type { StorageFile } from '../storage-file.ts'
import { BitMap } from './bit-map.ts'
import { TierHeat } from './tier-heat.ts'
import { checkSegmentSize, TierMap } from './tier-map.ts'

export interface TierOptions {
  readonly fast: BlockNode
  readonly slow: BlockNode
  readonly map: StorageFile
  readonly readOnly?: boolean
  /** Told when moving fails; the disk goes on where it is. */
  readonly notice?: (message: string) => void
}

/** Accesses until a segment is worth a move. */
const HOT = 3
/** Slots that are looked at to find a cold one. */
const SAMPLE = 16
/** After a move has failed, so many accesses pass before the next. */
const PAUSE = 1000
const COPY_STEP = 1 << 20

interface Part {
  readonly node: BlockNode
  readonly offset: number
  readonly from: number
  length: number
  readonly isFast: boolean
}

export class TierNode implements BlockNode {
  readonly kind = 'tier'
  readonly readOnly: boolean
  readonly size: number
  readonly children: Readonly<Record<string, BlockNode>>
  private readonly fast: BlockNode
  private readonly slow: BlockNode
  private readonly map: TierMap
  private readonly segmentSize: number
  private readonly heat: TierHeat
  /** Slots whose segment may differ from what the slow node has: all, at first. */
  private readonly dirty = new BitMap()
  private readonly notice: (message: string) => void
  private readonly locks = new RangeLock()
  private readonly gate = new Gate('the tiered disk')
  private moving: Promise<void> | null = null
  private pause = 0
  private hand = 0
  private stopping = false

  private constructor(options: TierOptions, map: TierMap) {
    this.fast = options.fast
    this.slow = options.slow
    this.map = map
    this.readOnly = options.readOnly === true || options.fast.readOnly || options.slow.readOnly
    this.size = options.slow.size
    this.children = { fast: options.fast, slow: options.slow }
    this.notice = options.notice ?? (() => {})
    this.segmentSize = map.layout.segmentSize
    this.heat = new TierHeat(Math.min(map.layout.segments, map.layout.slots * 4 + 1024))
    this.dirty.set(0, map.layout.slots)
  }

  /** What the slow node has stays; what the fast one has is lost. `segmentSize`: a power of two, 64 KiB to 64 MiB. */
  static async create(options: TierOptions, segmentSize = 1 << 20): Promise<TierNode> {
    checkWritable('the fast part of a tiered disk', options.fast)
    checkSegmentSize(options.map.path, segmentSize)
    const segments = Math.ceil(options.slow.size / segmentSize)
    if (segments >= 2 ** 32 - 1) throw storageError('DISK_UNSUPPORTED', `${options.map.path}: take larger segments for a disk so large`)
    const slots = Math.min(Math.floor(options.fast.size / segmentSize), segments)
    return new TierNode(options, await TierMap.create(options.map, { slots, segmentSize, segments }))
  }

  static async open(options: TierOptions): Promise<TierNode> {
    return new TierNode(options, await TierMap.open(options.map, { fast: options.fast.size, slow: options.slow.size }))
  }

  read(offset: number, into: Buffers): Promise<void> {
    return this.each(offset, byteLength(into), false, part => part.node.read(part.offset, sliceBuffers(into, part.from, part.length)))
  }

  write(offset: number, from: Buffers): Promise<void> {
    return this.each(offset, byteLength(from), true, part => part.node.write(part.offset, sliceBuffers(from, part.from, part.length)))
  }

  flush(): Promise<void> { return this.gate.run(() => settleAll([this.fast.flush(), this.slow.flush()])) }

  discard(offset: number, length: number): Promise<void> {
    return this.each(offset, length, true, part => part.node.discard(part.offset, part.length))
  }

  writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    return this.each(offset, length, true, part => part.node.writeZeroes(part.offset, part.length, mayUnmap))
  }

  extent(offset: number, length: number): Promise<Extent> {
    return this.gate.access(this, offset, length, false, () => this.locks.run(offset, length, false, async () => {
      const first = this.divide(offset, length).next().value as Part
      return contentExtent(first.node, first.offset, first.length)
    }))
  }

  resize(): Promise<void> {
    return this.gate.run(async () => { throw storageError('DISK_UNSUPPORTED', 'the size of a tiered disk cannot change') })
  }

  /** Segments in the fast node. */
  get fastSegments(): number {
    let count = 0
    for (let slot = 0; slot < this.map.layout.slots; slot++) if (this.map.segment(slot) !== null) count++
    return count
  }

  isFast(offset: number): boolean { return this.map.slot(Math.floor(offset / this.segmentSize)) !== undefined }

  /** When nothing is being moved. */
  async settled(): Promise<void> { while (this.moving !== null) await this.moving }

  close(): Promise<void> {
    this.stopping = true
    return this.gate.close(async () => {
      await this.settled()
      await settleAll([this.fast.close(), this.slow.close(), this.map.close()])
    })
  }

  private each(offset: number, length: number, writing: boolean, visit: (part: Part) => Promise<void>): Promise<void> {
    return this.gate.access(this, offset, length, writing, async () => {
      await this.locks.run(offset, length, false, async () => {
        if (writing && this.map.hasUncertain) await this.settleSegments(offset, length)
        const parts = [...this.divide(offset, length)]
        if (writing) this.markDirty(parts)
        await settleAll(parts.map(part => visit(part)))
      })
      this.touch(offset, length)
    })
  }

  /** Neighbours in the slow node are one part; a segment in the fast one is one by itself. */
  private *divide(offset: number, length: number): Generator<Part> {
    let last: Part | null = null
    for (let done = 0; done < length;) {
      const at = offset + done
      const within = at % this.segmentSize
      const slot = this.map.slot(Math.floor(at / this.segmentSize))
      const part = Math.min(this.segmentSize - within, length - done)
      if (last !== null && !last.isFast && slot === undefined) last.length += part
      else {
        if (last !== null) yield last
        last = slot === undefined
          ? { node: this.slow, offset: at, from: done, length: part, isFast: false }
          : { node: this.fast, offset: slot * this.segmentSize + within, from: done, length: part, isFast: true }
      }
      done += part
    }
    if (last !== null) yield last
  }

  private markDirty(parts: readonly Part[]): void {
    for (const { isFast, offset } of parts) {
      const slot = Math.floor(offset / this.segmentSize)
      if (isFast) this.dirty.set(slot, slot + 1)
    }
  }

  private async settleSegments(offset: number, length: number): Promise<void> {
    const last = Math.ceil((offset + length) / this.segmentSize)
    for (let segment = Math.floor(offset / this.segmentSize); segment < last; segment++) await this.map.settle(segment)
  }

  /** Counts an access; the first segment of a request stands for all, so that one long read does not heat a whole disk. */
  private touch(offset: number, length: number): void {
    if (this.readOnly || length === 0 || this.map.layout.slots === 0) return
    const segment = Math.floor(offset / this.segmentSize)
    const heat = this.heat.touch(segment)
    if (this.pause > 0) this.pause--
    if (heat < HOT || this.pause > 0 || this.stopping || this.moving !== null || this.map.slot(segment) !== undefined) return
    this.moving = this.promote(segment, heat).catch((error: unknown) => this.failed(error)).finally(() => { this.moving = null })
  }

  private failed(error: unknown): void {
    this.pause = PAUSE
    this.notice(`a segment of the tiered disk could not be moved and stays where it is: ${(error as Error).message}`)
  }

  private async promote(segment: number, heat: number): Promise<void> {
    const slot = this.chooseSlot(heat)
    if (slot === null) return
    if (this.map.segment(slot) !== null) await this.demote(slot)
    const { offset, length } = this.rangeOf(segment)
    await this.locks.run(offset, length, true, async () => {
      if (this.map.isUncertain(slot) || this.map.segment(slot) !== null) return
      await this.map.settle(segment)
      await copy(this.slow, offset, this.fast, slot * this.segmentSize, length)
      await this.fast.flush()
      await this.map.assign(slot, segment)
      this.dirty.clear(slot)
    })
  }

  private async demote(slot: number): Promise<void> {
    const segment = this.map.segment(slot) ?? 0
    const { offset, length } = this.rangeOf(segment)
    await this.locks.run(offset, length, true, async () => {
      await this.map.settle(segment)
      if (this.dirty.has(slot)) {
        await copy(this.fast, slot * this.segmentSize, this.slow, offset, length)
        await this.slow.flush()
      }
      await this.map.assign(slot, null)
    })
  }

  /** A free slot, or the coldest of some if it is much colder than what is to come; the hand goes round. */
  private chooseSlot(heat: number): number | null {
    let best: number | null = null
    let bestHeat = heat / 2
    for (let looked = 0; looked < Math.min(SAMPLE, this.map.layout.slots); looked++) {
      const slot = this.hand++ % this.map.layout.slots
      const segment = this.map.segment(slot)
      const slotHeat = segment === null ? -1 : this.heat.of(segment)
      if (slotHeat >= bestHeat || this.map.isUncertain(slot)) continue
      best = slot
      bestHeat = slotHeat
    }
    return best
  }

  private rangeOf(segment: number): { readonly offset: number, readonly length: number } {
    const offset = segment * this.segmentSize
    return { offset, length: Math.min(this.segmentSize, this.size - offset) }
  }
}

async function copy(from: BlockNode, offset: number, to: BlockNode, target: number, length: number): Promise<void> {
  const buffer = new Uint8Array(Math.min(COPY_STEP, length))
  for (let done = 0; done < length; done += COPY_STEP) {
    const bytes = buffer.subarray(0, Math.min(COPY_STEP, length - done))
    await from.read(offset + done, [bytes])
    await to.write(target + done, [bytes])
  }
}
