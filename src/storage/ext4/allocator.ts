/** Hands out the data blocks of a new file system in ascending order, and knows afterwards which are in use. */
import { storageError } from '../errors.ts'
import { BLOCKS_PER_GROUP, BLOCK_SIZE } from './geometry.ts'
import type { Geometry, Group } from './geometry.ts'

/** Blocks that follow each other on the disk. */
export interface Run { readonly start: number, readonly count: number }

export class BlockAllocator {
  private readonly geometry: Geometry
  private group = 0
  private next: number

  constructor(geometry: Geometry) {
    this.geometry = geometry
    this.next = geometry.groups[0].dataStart
  }

  /** @throws TenonError FILESYSTEM_TOO_SMALL */
  allocate(count: number): Run[] {
    const runs: Run[] = []
    for (let left = count; left > 0;) {
      const { firstBlock, blocks } = this.geometry.groups[this.group]
      const run = Math.min(left, firstBlock + blocks - this.next)
      if (run > 0) runs.push({ start: this.next, count: run })
      this.next += run
      left -= run
      if (left > 0) this.enterNextGroup()
    }
    return runs
  }

  private enterNextGroup(): void {
    const next = this.geometry.groups[++this.group]
    if (next === undefined) {
      const bytes = this.geometry.blocks * BLOCK_SIZE
      throw storageError('FILESYSTEM_TOO_SMALL', `the files do not fit into ${bytes} bytes of ext4: make it larger`)
    }
    this.next = next.dataStart
  }

  /** The first unused block of a group. */
  private endOf(group: Group): number {
    if (group.number > this.group) return group.dataStart
    return group.number < this.group ? group.firstBlock + group.blocks : this.next
  }

  freeIn(group: Group): number { return group.firstBlock + group.blocks - this.endOf(group) }

  /** The group's block bitmap. Blocks that the last group does not have count as used. */
  bitmap(group: Group): Uint8Array {
    const bitmap = new Uint8Array(BLOCK_SIZE)
    fillBits(bitmap, 0, this.endOf(group) - group.firstBlock)
    fillBits(bitmap, group.blocks, BLOCKS_PER_GROUP)
    return bitmap
  }
}

export function fillBits(bitmap: Uint8Array, from: number, to: number): void {
  let at = from
  for (; at < to && (at & 7) !== 0; at++) bitmap[at >> 3] |= 1 << (at & 7)
  for (; at + 8 <= to; at += 8) bitmap[at >> 3] = 0xff
  for (; at < to; at++) bitmap[at >> 3] |= 1 << (at & 7)
}
