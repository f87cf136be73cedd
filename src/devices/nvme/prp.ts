import { gpa } from '../../base/addresses.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import { PAGE } from './limits.ts'
import { Status } from './status.ts'

/**
 * Physical region pages: where a command's data is. Source: NVM Express Base Specification 1.4, §4.3.
 *
 * PRP1 is the first piece, up to its page's end. PRP2 is nothing, the second page, or the address of a list of pages; a list that does
 * not fit between its address and its page's end goes on at the page that its last entry names.
 *
 * `places` is given pairs of guest-physical address and length; neighbours are one. Returns a Status. The number of lists is bounded by
 * the length: each one but the first has 511 pages.
 */
export function resolvePrps(memory: GuestMemory, prp1: number, prp2: number, length: number, places: number[]): number {
  const first = Math.min(length, PAGE - prp1 % PAGE)
  if (prp1 % 4 !== 0) return Status.PRP_OFFSET_INVALID
  places.push(prp1, first)
  const left = length - first
  if (left === 0) return Status.SUCCESS
  if (left > PAGE) return resolveList(memory, prp2, left, places)
  if (prp2 % PAGE !== 0) return Status.PRP_OFFSET_INVALID
  add(places, prp2, left)
  return Status.SUCCESS
}

function resolveList(memory: GuestMemory, address: number, length: number, places: number[]): number {
  if (address % 8 !== 0) return Status.PRP_OFFSET_INVALID
  let list = address
  for (let left = length; left > 0;) {
    const room = (PAGE - list % PAGE) / 8
    const pages = Math.ceil(left / PAGE)
    const count = Math.min(room, pages)
    if (memory.ranges(gpa(list), 8 * count, false) === null) return Status.DATA_TRANSFER_ERROR
    const entries = readEntries(memory, list, count)
    if (entries.some((entry) => entry % PAGE !== 0)) return Status.PRP_OFFSET_INVALID
    const isChained = pages > room
    for (const entry of isChained ? entries.slice(0, -1) : entries) {
      add(places, entry, Math.min(left, PAGE))
      left -= Math.min(left, PAGE)
    }
    if (isChained) list = entries[count - 1]
  }
  return Status.SUCCESS
}

function readEntries(memory: GuestMemory, address: number, count: number): number[] {
  const bytes = new Uint8Array(8 * count)
  memory.read(gpa(address), bytes)
  const view = new DataView(bytes.buffer)
  return Array.from({ length: count }, (_, index) => view.getUint32(8 * index + 4, true) * 2 ** 32 + view.getUint32(8 * index, true))
}

function add(places: number[], address: number, length: number): void {
  const last = places.length - 2
  if (places[last] + places[last + 1] === address) places[last + 1] += length
  else places.push(address, length)
}

/** Views of the memory at `places`; null if some of it is not there. */
export function viewPlaces(memory: GuestMemory, places: readonly number[], forWriting: boolean): Uint8Array[] | null {
  const views: Uint8Array[] = []
  for (let at = 0; at < places.length; at += 2) {
    const ranges = memory.ranges(gpa(places[at]), places[at + 1], forWriting)
    if (ranges === null) return null
    views.push(...ranges)
  }
  return views
}
