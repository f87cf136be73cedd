import { PAGE_SIZE } from '../../base/addresses.ts'
import { FrameState, HIGH_MEMORY_PAGE, frameAddress } from '../../machine/frame-map.ts'
import type { FrameMap } from '../../machine/frame-map.ts'
import { damaged } from './errors.ts'

/**
 * Guest memory in a snapshot: runs of RAM pages that hold anything but zeros, in ascending order. ROM is made anew from the
 * machine's configuration, and pages that are not mentioned are zero.
 */

/** A run of pages; a type (not an interface), so that it is plain data. */
export type MemoryExtent = {
  /** Guest-physical page number of the first page. */
  readonly page: number
  /** The pages' bytes: 1 to EXTENT_PAGES whole pages. */
  readonly bytes: Uint8Array
}

/** A run is at most a mebibyte, so that whoever reads a file needs no more memory at a time. */
export const EXTENT_PAGES = 256
const WORDS = PAGE_SIZE / 4

/** Copies each run when it is asked for: the memory must not change before the last. */
export function* memoryExtents(frames: FrameMap): Generator<MemoryExtent, void, undefined> {
  yield* extentsIn(frames, 0, frames.lowPages)
  yield* extentsIn(frames, HIGH_MEMORY_PAGE, HIGH_MEMORY_PAGE + frames.highPages)
}

function* extentsIn(frames: FrameMap, first: number, end: number): Generator<MemoryExtent, void, undefined> {
  for (let page = first; page < end;) {
    const from = page
    while (page < end && page - from < EXTENT_PAGES && holdsAnything(frames, page)) page++
    if (page > from) yield { page: from, bytes: copyPages(frames, from, page) }
    else page++
  }
}

function holdsAnything({ entries, pool }: FrameMap, page: number): boolean {
  const entry = entries[page]
  if ((entry & (FrameState.PRESENT | FrameState.ZERO | FrameState.READ_ONLY)) !== FrameState.PRESENT) return false
  const at = frameAddress(entry) / 4
  for (let word = at; word < at + WORDS; word++) if (pool.u32[word] !== 0) return true
  return false
}

function copyPages({ entries, pool }: FrameMap, first: number, end: number): Uint8Array {
  const bytes = new Uint8Array((end - first) * PAGE_SIZE)
  for (let page = first; page < end; page++) {
    const address = frameAddress(entries[page])
    bytes.set(pool.u8.subarray(address, address + PAGE_SIZE), (page - first) * PAGE_SIZE)
  }
  return bytes
}

/** Checks extents that may hold anything, changing nothing. @throws TenonError SNAPSHOT_INVALID. */
export function checkMemory(frames: FrameMap, memory: unknown): asserts memory is readonly MemoryExtent[] {
  if (!Array.isArray(memory)) throw damaged('its memory is not a list')
  let next = 0
  for (const extent of memory) next = checkExtent(frames, extent, next)
}

/** Returns the page after the extent; it must not begin before `next`. @throws TenonError SNAPSHOT_INVALID. */
export function checkExtent(frames: FrameMap, extent: unknown, next: number): number {
  const { page, bytes } = (typeof extent === 'object' && extent !== null ? extent : {}) as { page?: unknown, bytes?: unknown }
  if (typeof page !== 'number' || !Number.isInteger(page) || page < next) throw damaged('its memory is not in ascending order')
  if (!(bytes instanceof Uint8Array)) throw damaged(`memory page ${page} has no bytes`)
  const pages = bytes.length / PAGE_SIZE
  if (!Number.isInteger(pages) || pages < 1 || pages > EXTENT_PAGES) {
    throw damaged(`memory page ${page} comes with ${bytes.length} bytes, not with 1 to ${EXTENT_PAGES} pages`)
  }
  for (let at = page; at < page + pages; at++) {
    if ((frames.entry(at) & (FrameState.PRESENT | FrameState.READ_ONLY)) !== FrameState.PRESENT) {
      throw damaged(`it has bytes for guest-physical page ${at}, where the machine has no RAM`)
    }
  }
  return page + pages
}

/** Fills memory that is all zeros yet. @throws TenonError POOL_EXHAUSTED. */
export function restoreMemory(frames: FrameMap, memory: readonly MemoryExtent[]): void {
  for (const extent of memory) restoreExtent(frames, extent)
}

/** One run, which was checked. @throws TenonError POOL_EXHAUSTED. */
export function restoreExtent(frames: FrameMap, { page, bytes }: MemoryExtent): void {
  for (let offset = 0; offset < bytes.length; offset += PAGE_SIZE) {
    const address = frames.writableFrame(page + offset / PAGE_SIZE)
    frames.pool.u8.set(bytes.subarray(offset, offset + PAGE_SIZE), address)
  }
}
