/**
 * A program as a list of items that can be dropped one by one and still be assembled, which is what shrinking needs; and what it
 * becomes: bytes in the code pages, with the length of each instruction that a fault may be resumed behind.
 */
import { Decoder } from '../../../src/cpu/decode/decoder.ts'
import { Instruction } from '../../../src/cpu/decode/instruction.ts'
import { features } from '../../../src/cpu/isa/rows.ts'
import { CODE, CODE_SIZE } from '../../vectors/environment.ts'
import type { State } from '../../vectors/state.ts'

/** A field of an item's bytes that depends on where things are. */
export interface Reference {
  readonly at: number
  readonly kind: 'relative' | 'absolute' | 'absolute64'
  /** A label, or an address. */
  readonly to: { readonly label: number } | { readonly address: number }
  readonly add?: number
  /** Where the instruction ends that has a relative field; by default behind the field. */
  readonly end?: number
}

export interface Item {
  /** Instructions, or bytes that are only read and written. */
  readonly bytes: readonly number[]
  readonly isData?: boolean
  readonly references?: readonly Reference[]
  /** Defined at the item's beginning. */
  readonly label?: number
  /** The same with a displacement of one byte, if that suffices. The only reference is the last field. */
  readonly short?: readonly number[]
  /** A loop begins that runs so often; one ends; instructions that are executed elsewhere. For estimates only. */
  readonly repeats?: number
  readonly endsLoop?: boolean
  readonly cost?: number
}

export interface HotProgram {
  readonly code: Uint8Array
  /** Where it is in the code pages, and where it starts. */
  readonly offset: number
  readonly state: State
  /** Offset in the code pages of what follows a fault. */
  readonly handler: number
  /** By offset in the code pages: the length of the instruction that begins there, or 0. */
  readonly lengths: Uint8Array
}

/** Label of the handler that faults go to. */
export const HANDLER = 0

const decoder = new Decoder(features())
const instruction = new Instruction()
const SHORT_REACH = 100

/** `offset` is where the first item goes in the code pages; what does not fit makes it undefined. */
export function assemble(items: readonly Item[], offset: number, state: State): HotProgram | undefined {
  const long = place(items, offset, () => false)
  const isShort = (item: Item, n: number): boolean => item.short !== undefined && Math.abs(targetOf(item, long) - long.starts[n]) < SHORT_REACH
  const chosen = items.map(isShort)
  const placed = place(items, offset, (n) => chosen[n])
  if (placed.end > CODE_SIZE || !placed.labels.has(HANDLER)) return undefined
  const code = new Uint8Array(placed.end - offset)
  const lengths = new Uint8Array(CODE_SIZE)
  items.forEach((item, n) => {
    const bytes = chosen[n] ? shortBytes(item, placed, n) : longBytes(item, placed, n)
    code.set(bytes, placed.starts[n] - offset)
    if (item.isData !== true) noteLengths(bytes, placed.starts[n], lengths)
  })
  return { code, offset, state, handler: placed.labels.get(HANDLER)!, lengths }
}

interface Placement { readonly starts: readonly number[]; readonly labels: ReadonlyMap<number, number>; readonly end: number }

function place(items: readonly Item[], offset: number, isShort: (n: number) => boolean): Placement {
  const labels = new Map<number, number>()
  let at = offset
  const starts = items.map((item, n) => {
    const start = at
    if (item.label !== undefined) labels.set(item.label, start)
    at += isShort(n) ? item.short!.length + 1 : item.bytes.length
    return start
  })
  return { starts, labels, end: at }
}

/** Offset in the code pages that an item's last reference is to. */
function targetOf({ references }: Item, { labels, end }: Placement): number {
  const { to } = references!.at(-1)!
  return 'address' in to ? to.address - CODE : labels.get(to.label) ?? end
}

function shortBytes(item: Item, placed: Placement, n: number): number[] {
  const bytes = [...item.short!, 0]
  bytes[bytes.length - 1] = targetOf(item, placed) - placed.starts[n] - bytes.length & 0xff
  return bytes
}

function longBytes({ bytes, references = [] }: Item, { starts, labels, end }: Placement, n: number): Uint8Array {
  const result = Uint8Array.from(bytes)
  const view = new DataView(result.buffer)
  for (const { at, kind, to, add = 0, end: behind = at + 4 } of references) {
    const target = add + ('address' in to ? to.address : CODE + (labels.get(to.label) ?? end))
    view.setUint32(at, kind === 'relative' ? target - CODE - starts[n] - behind : target, true)
    if (kind === 'absolute64') view.setUint32(at + 4, 0, true)
  }
  return result
}

function noteLengths(bytes: ArrayLike<number>, start: number, lengths: Uint8Array): void {
  const code = Uint8Array.from(bytes)
  for (let at = 0; at < code.length;) {
    const length = decoder.decode(code, at, code.length, 64, instruction)
    if (length <= 0) return
    lengths[start + at] = length
    at += length
  }
}
