import type { BlockNode, Extent } from '../block-node.ts'
import { byteLength, fillZeroes, sliceBuffers, zeroBuffers, type Buffers } from '../buffers.ts'
import { storageError } from '../errors.ts'
import { Gate } from '../gate.ts'
import { RangeLock } from '../range-lock.ts'
import type { StorageFile } from '../storage-file.ts'
import type { Blocks } from './blocks.ts'
import { SECTOR } from './layout.ts'

export interface DynamicOptions {
  readonly file: StorageFile
  readonly blocks: Blocks
  readonly size: number
  readonly blockSize: number
  readonly readOnly: boolean
  readonly uniqueId: Uint8Array
  /** The parent of a differencing disk. */
  readonly backing: BlockNode | null
}

/** Part of an access: `length` bytes from the byte `start` of a block on, which are those from `at` on of the access. */
interface Part {
  readonly block: number
  readonly start: number
  readonly at: number
  readonly length: number
}

/** A dynamic or differencing disk. Made by `openVhd`. */
export class VhdDynamicNode implements BlockNode {
  readonly kind = 'vhd'
  readonly size: number
  readonly readOnly: boolean
  readonly children: Readonly<Record<string, BlockNode>>
  /** 16 bytes, by which a differencing disk knows its parent. */
  readonly uniqueId: Uint8Array
  private readonly file: StorageFile
  private readonly blocks: Blocks
  private readonly blockSize: number
  private readonly backing: BlockNode | null
  private readonly gate: Gate
  /** On whole sectors: to write a part of one that is the parent's is to write all of it. */
  private readonly lock = new RangeLock()

  constructor(options: DynamicOptions) {
    this.file = options.file
    this.blocks = options.blocks
    this.size = options.size
    this.blockSize = options.blockSize
    this.readOnly = options.readOnly
    this.uniqueId = options.uniqueId
    this.backing = options.backing
    this.children = options.backing === null ? {} : { backing: options.backing }
    this.gate = new Gate(options.file.path)
  }

  read(offset: number, into: Buffers): Promise<void> {
    const length = byteLength(into)
    return this.gate.access(this, offset, length, false, async () => {
      for (const part of this.parts(offset, length)) await this.readPart(part, sliceBuffers(into, part.at, part.length))
    })
  }

  write(offset: number, from: Buffers): Promise<void> {
    const length = byteLength(from)
    return this.gate.access(this, offset, length, true, () => this.locked(offset, length, async () => {
      for (const part of this.parts(offset, length)) await this.writePart(part, sliceBuffers(from, part.at, part.length))
    }))
  }

  flush(): Promise<void> { return this.gate.run(() => this.blocks.commit()) }

  discard(offset: number, length: number): Promise<void> {
    const start = Math.ceil(offset / SECTOR) * SECTOR
    const end = Math.floor((offset + length) / SECTOR) * SECTOR
    return this.gate.access(this, offset, length, true, async () => {
      if (end > start) await this.locked(start, end - start, () => this.discardSectors(start, end - start))
    })
  }

  writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    return this.gate.access(this, offset, length, true, () => this.locked(offset, length, async () => {
      for (const part of this.parts(offset, length)) await this.zeroPart(part, mayUnmap)
    }))
  }

  extent(offset: number, length: number): Promise<Extent> {
    return this.gate.access(this, offset, length, false, async () => {
      const block = Math.floor(offset / this.blockSize)
      if (!this.blocks.isAllocated(block)) return { state: 'hole', length: Math.min(length, this.holeFrom(block, offset + length) - offset) }
      const start = offset % this.blockSize
      const sector = Math.floor(start / SECTOR)
      const bitmap = await this.blocks.bitmap(block)
      const known = (sector + bitmap.run(sector, this.blocks.sectorsPerBlock - sector)) * SECTOR - start
      const state = bitmap.has(sector) ? 'data' : 'hole'
      return { state, length: Math.max(1, Math.min(known, length)) }
    })
  }

  resize(): Promise<void> {
    return this.gate.run(async () => {
      throw storageError('DISK_UNSUPPORTED', `${this.file.path}: the size of a VHD cannot be changed; convert it to another format`)
    })
  }

  close(): Promise<void> {
    return this.gate.close(async () => {
      try {
        if (!this.readOnly) await this.blocks.finish()
      } finally {
        try {
          await this.file.close()
        } finally {
          await this.backing?.close()
        }
      }
    })
  }

  private locked(offset: number, length: number, work: () => Promise<void>): Promise<void> {
    if (length === 0) return Promise.resolve()
    const start = Math.floor(offset / SECTOR) * SECTOR
    return this.lock.run(start, Math.ceil((offset + length) / SECTOR) * SECTOR - start, true, work)
  }

  private* parts(offset: number, length: number): Generator<Part> {
    for (let at = 0; at < length;) {
      const start = (offset + at) % this.blockSize
      const part = Math.min(this.blockSize - start, length - at)
      yield { block: Math.floor((offset + at) / this.blockSize), start, at, length: part }
      at += part
    }
  }

  private async readPart({ block, start, length }: Part, into: Buffers): Promise<void> {
    if (!this.blocks.isAllocated(block)) return this.readBehind(block * this.blockSize + start, into)
    const bitmap = await this.blocks.bitmap(block)
    for (let at = 0; at < length;) {
      const sector = Math.floor((start + at) / SECTOR)
      const end = (sector + bitmap.run(sector, this.blocks.sectorsPerBlock - sector)) * SECTOR
      const run = Math.min(end - start - at, length - at)
      const buffers = sliceBuffers(into, at, run)
      if (bitmap.has(sector)) await this.file.read(this.blocks.dataPosition(block) + start + at, buffers)
      else await this.readBehind(block * this.blockSize + start + at, buffers)
      at += run
    }
  }

  /** What the parent has there; zeros without one, and behind its end. */
  private async readBehind(offset: number, into: Buffers): Promise<void> {
    const length = byteLength(into)
    const known = this.backing === null ? 0 : Math.max(0, Math.min(length, this.backing.size - offset))
    if (known > 0) await this.backing!.read(offset, sliceBuffers(into, 0, known))
    fillZeroes(sliceBuffers(into, known, length - known))
  }

  private async writePart({ block, start, length }: Part, from: Buffers): Promise<void> {
    await this.blocks.allocate(block)
    const bitmap = await this.blocks.bitmap(block)
    if (bitmap.isFull) return this.file.write(this.blocks.dataPosition(block) + start, from)
    const end = start + length
    const [first, last] = [Math.floor(start / SECTOR), Math.floor((end - 1) / SECTOR)]
    const head = bitmap.has(first) ? [] : await this.behind(block, first * SECTOR, start)
    const tail = bitmap.has(last) ? [] : await this.behind(block, end, (last + 1) * SECTOR)
    await this.file.write(this.blocks.dataPosition(block) + start - byteLength(head), [...head, ...from, ...tail])
    await this.blocks.markWritten(block, first, last + 1)
  }

  /** The parent's bytes in a part of a block. */
  private async behind(block: number, start: number, end: number): Promise<Buffers> {
    const bytes = new Uint8Array(end - start)
    if (end > start) await this.readBehind(block * this.blockSize + start, [bytes])
    return [bytes]
  }

  private async zeroPart(part: Part, mayUnmap: boolean): Promise<void> {
    const { block, start, length } = part
    if (!this.blocks.isAllocated(block)) {
      if (this.backing !== null) await this.writePart(part, zeroBuffers(length))
      return
    }
    const isWhole = start % SECTOR === 0 && length % SECTOR === 0
    const canPunch = isWhole && mayUnmap && (await this.blocks.bitmap(block)).isFull
    if (canPunch && await this.file.punchHole(this.blocks.dataPosition(block) + start, length)) return
    await this.writePart(part, zeroBuffers(length))
  }

  private async discardSectors(offset: number, length: number): Promise<void> {
    for (const { block, start, length: part } of this.parts(offset, length)) {
      if (this.blocks.isAllocated(block)) await this.file.punchHole(this.blocks.dataPosition(block) + start, part)
    }
  }

  /** Where blocks are allocated again, from a block that is not; at most `limit`. */
  private holeFrom(block: number, limit: number): number {
    let end = block + 1
    while (end * this.blockSize < limit && !this.blocks.isAllocated(end)) end++
    return end * this.blockSize
  }
}
