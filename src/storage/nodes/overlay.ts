/**
 * A disk whose changes lie in another node than its base: for temporary disks (over memory, the changes are gone afterwards), and for a
 * cache of a slow base (`copyOnRead`).
 *
 * Which blocks of 4 KiB are in the top is kept in memory, a bit each, in pages that exist only where something was written: 32 KiB for
 * each GiB. So an overlay lasts as long as it is open; one that lasts longer is a format's affair.
 */
import type { BlockNode, Extent } from '../block-node.ts'
import { byteLength, sliceBuffers, type Buffers } from '../buffers.ts'
import { storageError } from '../errors.ts'
import { contentExtent } from '../extents.ts'
import { checkWritable, Gate } from '../gate.ts'
import { RangeLock } from '../range-lock.ts'
import { BitMap } from './bit-map.ts'

const BLOCK = 4096

export interface OverlayOptions {
  /** Never written. */
  readonly base: BlockNode
  /** At least as large as the base; what it holds at first does not matter. */
  readonly top: BlockNode
  /** What was read is kept in the top. */
  readonly copyOnRead?: boolean
  readonly readOnly?: boolean
}

export class OverlayNode implements BlockNode {
  readonly kind = 'overlay'
  readonly readOnly: boolean
  readonly size: number
  readonly children: Readonly<Record<string, BlockNode>>
  private readonly base: BlockNode
  private readonly top: BlockNode
  private readonly copyOnRead: boolean
  /** Blocks that are in the top. */
  private readonly present = new BitMap()
  private readonly locks = new RangeLock()
  private readonly gate = new Gate('the overlay')

  constructor({ base, top, copyOnRead, readOnly }: OverlayOptions) {
    checkWritable('the top of an overlay', top)
    if (top.size < base.size) throw storageError('DISK_OUT_OF_RANGE', `the top of an overlay has ${top.size} bytes, its base ${base.size}`)
    this.base = base
    this.top = top
    this.copyOnRead = copyOnRead === true
    this.readOnly = readOnly === true
    this.size = base.size
    this.children = { backing: base, top }
  }

  read(offset: number, into: Buffers): Promise<void> {
    const length = byteLength(into)
    return this.gate.access(this, offset, length, false, async () => {
      if (this.copyOnRead) await this.fetch(offset, length)
      await this.locks.run(offset, length, false, () => this.eachRun(offset, length, (at, part, isPresent) => {
        return (isPresent ? this.top : this.base).read(at, sliceBuffers(into, at - offset, part))
      }))
    })
  }

  write(offset: number, from: Buffers): Promise<void> {
    const length = byteLength(from)
    return this.gate.access(this, offset, length, true, () => this.change(offset, length, (at, part) => {
      return this.top.write(at, sliceBuffers(from, at - offset, part))
    }))
  }

  flush(): Promise<void> { return this.gate.run(() => this.top.flush()) }

  /** To keep what is there is allowed, and the base cannot be trimmed. What the top has of whole blocks becomes zeros. */
  discard(offset: number, length: number): Promise<void> {
    return this.gate.access(this, offset, length, true, () => {
      const first = Math.ceil(offset / BLOCK)
      const last = this.endBlock(offset + length)
      return last <= first ? Promise.resolve() : this.zero(first * BLOCK, Math.min(last * BLOCK, this.size) - first * BLOCK, true)
    })
  }

  writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    return this.gate.access(this, offset, length, true, () => this.zero(offset, length, mayUnmap))
  }

  extent(offset: number, length: number): Promise<Extent> {
    return this.gate.access(this, offset, length, false, async () => {
      const { isSet, end } = this.present.run(Math.floor(offset / BLOCK), Math.ceil((offset + length) / BLOCK))
      const part = Math.min(end * BLOCK, offset + length) - offset
      return isSet ? contentExtent(this.top, offset, part) : { state: 'hole', length: part }
    })
  }

  resize(): Promise<void> {
    return this.gate.run(async () => {
      throw storageError('DISK_UNSUPPORTED', 'an overlay is as large as its base and cannot change its size')
    })
  }

  close(): Promise<void> {
    return this.gate.close(async () => {
      try {
        await this.top.close()
      } finally {
        await this.base.close()
      }
    })
  }

  private zero(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    return this.change(offset, length, (at, part) => this.top.writeZeroes(at, part, mayUnmap))
  }

  /** Carries out a write to the top: in the middle as it is, at the ends with what its blocks have besides. */
  private async change(offset: number, length: number, write: (at: number, part: number) => Promise<void>): Promise<void> {
    if (length === 0) return
    const first = Math.floor(offset / BLOCK)
    const last = Math.ceil((offset + length) / BLOCK)
    await this.locks.run(first * BLOCK, (last - first) * BLOCK, true, async () => {
      if (offset % BLOCK !== 0) await this.bring(first)
      if ((offset + length) % BLOCK !== 0 && offset + length !== this.size) await this.bring(last - 1)
      await write(offset, length)
      this.present.set(first, last)
    })
  }

  /** Copies a block of the base to the top, if it is not there. Its lock is held. */
  private async bring(block: number): Promise<void> {
    if (this.present.has(block)) return
    const offset = block * BLOCK
    const bytes = new Uint8Array(Math.min(BLOCK, this.size - offset))
    await this.base.read(offset, [bytes])
    await this.top.write(offset, [bytes])
    this.present.set(block, block + 1)
  }

  /** Copies what a read needs to the top, in pieces of bounded length. */
  private async fetch(offset: number, length: number): Promise<void> {
    const PIECE = 256 * BLOCK
    const end = Math.min(this.size, Math.ceil((offset + length) / BLOCK) * BLOCK)
    for (let at = Math.floor(offset / BLOCK) * BLOCK; at < end; at += PIECE) {
      const part = Math.min(PIECE, end - at)
      const { isSet, end: known } = this.present.run(at / BLOCK, Math.ceil((at + part) / BLOCK))
      if (isSet && known * BLOCK >= at + part) continue
      await this.locks.run(at, part, true, () => this.eachRun(at, part, (start, length, isPresent) => {
        return isPresent ? Promise.resolve() : this.copy(start, length)
      }))
    }
  }

  private async copy(offset: number, length: number): Promise<void> {
    const bytes = new Uint8Array(length)
    await this.base.read(offset, [bytes])
    await this.top.write(offset, [bytes])
    this.present.set(offset / BLOCK, Math.ceil((offset + length) / BLOCK))
  }

  private endBlock(end: number): number { return end === this.size ? Math.ceil(end / BLOCK) : Math.floor(end / BLOCK) }

  private async eachRun(
    offset: number, length: number, visit: (at: number, part: number, isPresent: boolean) => Promise<void>,
  ): Promise<void> {
    for (let at = offset; at < offset + length;) {
      const { isSet, end } = this.present.run(Math.floor(at / BLOCK), Math.ceil((offset + length) / BLOCK))
      const stop = Math.min(end * BLOCK, offset + length)
      await visit(at, stop - at, isSet)
      at = stop
    }
  }
}
