/** A disk as a plain array of bytes, with what a test may expect of it: after failures and crashes, several values for a byte. */
import { expect } from 'vitest'
import type { Random } from '../../base/testing/random.ts'
import type { BlockNode } from '../block-node.ts'
import { gather } from '../buffers.ts'
import type { MemoryStore } from './memory-file.ts'

export interface Range {
  readonly offset: number
  readonly length: number
}

/** A write, discard or write of zeros that the model has taken in. */
export interface Change extends Range {
  /** The bytes afterwards. */
  readonly bytes: Uint8Array
  /** The bytes before. */
  readonly before: Uint8Array
  /** Bytes may also be what they were before. */
  readonly optional: boolean
  /** Carries it out; a discard also asks what has become of the bytes, and has the model take it. */
  apply(node: BlockNode): Promise<void>
}

const BOUNDARIES = [512, 4096, 65536, 131072]

export class DiskModel {
  bytes: Uint8Array
  /** For bytes whose last change failed: what they may be besides. */
  private readonly doubts: { readonly offset: number, readonly bytes: Uint8Array }[] = []

  constructor(content: Uint8Array) { this.bytes = content.slice() }

  /** A range anywhere: small or large, often at a boundary or just beside. */
  range(random: Random): Range {
    const { length: size } = this.bytes
    const length = Math.min(size, 1 + random.below(random.pick([1, 16, 512, 4096, 20_000, 200_000])))
    const unit = random.pick(BOUNDARIES)
    const near = random.below(Math.ceil(size / unit)) * unit + random.pick([0, 0, 1, -1, -length, 511])
    const offset = random.below(3) === 0 ? random.below(size) : near
    const aligned = random.below(2) === 0 ? Math.max(512, length & ~511) : length
    return { offset: Math.max(0, Math.min(offset, size - aligned)), length: Math.min(aligned, size) }
  }

  /** Changes of ranges that do not overlap, though they may touch. The model has all of them already. */
  batch(random: Random, count: number): Change[] {
    const taken: Range[] = []
    for (let attempt = 0; attempt < count * 2 && taken.length < count; attempt++) {
      const range = random.below(3) === 0 && taken.length > 0 ? after(taken[taken.length - 1], random) : this.range(random)
      const end = range.offset + range.length
      const free = end <= this.bytes.length && taken.every(each => end <= each.offset || each.offset + each.length <= range.offset)
      if (free) taken.push(range)
    }
    return taken.map(range => this.change(random, range))
  }

  change(random: Random, { offset, length }: Range): Change {
    const kind = random.below(10)
    const before = this.bytes.slice(offset, offset + length)
    const bytes = kind < 7 ? contentFor(random, length) : new Uint8Array(length)
    this.set(offset, bytes)
    const common = { offset, length, before, bytes, optional: kind === 7 }
    if (kind < 7) return { ...common, apply: node => node.write(offset, split(random, bytes)) }
    if (kind > 7) return { ...common, apply: node => node.writeZeroes(offset, length, kind === 8) }
    return { ...common, apply: async node => this.discard(node, offset, length) }
  }

  private async discard(node: BlockNode, offset: number, length: number): Promise<void> {
    const before = await readAll(node, offset, length)
    await node.discard(offset, length)
    const now = await readAll(node, offset, length)
    const possible = equality(now, before)
    markPossible(possible, now, 0, new Uint8Array(length))
    expectPossible(possible, offset)
    this.set(offset, now)
  }

  set(offset: number, bytes: Uint8Array): void { this.bytes.set(bytes, offset) }

  resize(size: number): void {
    const bytes = new Uint8Array(size)
    bytes.set(this.bytes.subarray(0, size))
    this.bytes = bytes
  }

  /** The change was refused: its bytes are as before or as they should be. */
  doubt({ offset, before, bytes }: Change): void {
    this.doubts.push({ offset, bytes: before }, { offset, bytes })
  }

  expectRead(offset: number, buffers: readonly Uint8Array[]): void {
    const bytes = gather(buffers)
    expectContent(bytes, this.bytes.subarray(offset, offset + bytes.length), offset)
  }

  /** The disk's bytes are the model's, except where a change has failed. */
  expectPossible(bytes: Uint8Array): void {
    const possible = equality(bytes, this.bytes)
    for (const doubt of this.doubts) markPossible(possible, bytes, doubt.offset, doubt.bytes)
    expectPossible(possible)
  }

  /** Walks the whole disk: what it says of a range must be true of its bytes. Holes show `below`. */
  async expectExtents(node: BlockNode, below: Uint8Array): Promise<void> {
    for (let offset = 0; offset < node.size;) {
      const { state, length } = await node.extent(offset, node.size - offset)
      expectExtent(state, length)
      const end = Math.min(node.size, offset + length)
      const bytes = this.bytes.subarray(offset, end)
      if (state === 'zero') expectContent(bytes, new Uint8Array(bytes.length), offset)
      else if (state === 'hole') expectContent(bytes, pad(below, offset, end), offset)
      offset = end
    }
  }

  startHistory(store: MemoryStore): History { return new History(store, this.bytes.slice()) }
}

/** What was done to a disk and when, so that it can be said what may be on it after a crash. */
export class History {
  private readonly store: MemoryStore
  private readonly initial: Uint8Array
  /** `place`s are the store's order of changes, where crashes are; `turn`s say which call ended before which one began. */
  private readonly changes: { readonly change: Change, readonly startPlace: number, endTurn: number }[] = []
  private readonly flushes: { readonly startTurn: number, endPlace: number }[] = []
  private turn = 0

  constructor(store: MemoryStore, initial: Uint8Array) {
    this.store = store
    this.initial = initial
  }

  /** Call it when the change has just been started. */
  async record(change: Change, done: Promise<void>): Promise<void> {
    const entry = { change, startPlace: this.store.now, endTurn: Infinity }
    this.changes.push(entry)
    await done
    entry.endTurn = ++this.turn
  }

  async flush(done: Promise<void>): Promise<void> {
    const entry = { startTurn: ++this.turn, endPlace: Infinity }
    this.flushes.push(entry)
    await done
    entry.endPlace = this.store.now
  }

  /** The disk after a crash at the place `at` has what was flushed, and of later changes any part. */
  expect(bytes: Uint8Array, at: number): void {
    const flushed = Math.max(-1, ...this.flushes.filter(flush => flush.endPlace <= at).map(flush => flush.startTurn))
    const base = this.initial.slice()
    const later: { readonly offset: number, readonly bytes: Uint8Array }[] = []
    for (const { change, startPlace, endTurn } of this.changes) {
      const durable = endTurn < flushed
      if (durable) base.set(change.bytes, change.offset)
      else if (startPlace <= at) later.push(change)
      if (durable && change.optional) later.push({ offset: change.offset, bytes: change.before })
    }
    const possible = equality(bytes, base)
    for (const change of later) markPossible(possible, bytes, change.offset, change.bytes)
    expectPossible(possible)
  }
}

/** Opens what a crash has left, compares it with what may be there, and has it work on. */
export async function checkCrash(
  after: MemoryStore, history: History, at: number,
  open: (after: MemoryStore) => Promise<BlockNode>, check: (after: MemoryStore) => Promise<void>,
): Promise<void> {
  await check(after)
  const node = await open(after)
  const bytes = await readAll(node)
  history.expect(bytes, at)
  const patch = new Uint8Array(3000).fill(0x5a)
  await node.write(66_000, [patch])
  bytes.set(patch, 66_000)
  await node.close()
  const again = await open(after)
  expectContent(await readAll(again), bytes)
  await again.close()
  await check(after)
}

export async function readAll(node: BlockNode, offset = 0, length = node.size): Promise<Uint8Array> {
  const bytes = new Uint8Array(length).fill(0xa5)
  await node.read(offset, [bytes])
  return bytes
}

/** Compares quickly, and says where the first difference is. */
export function expectContent(bytes: Uint8Array, expected: Uint8Array, offset = 0): void {
  expect(bytes.length).toBe(expected.length)
  if (Buffer.compare(bytes, expected) === 0) return
  const at = bytes.findIndex((value, index) => value !== expected[index])
  expect.fail(`byte ${offset + at} is ${bytes[at]}, not ${expected[at]}`)
}

/** Buffers of `length` bytes together, with guard bytes between; `intact` checks those. */
export function scattered(random: Random, length: number): { buffers: Uint8Array[], intact: () => void } {
  const room = new Uint8Array(length * 2 + 64).fill(0xc3)
  const buffers: Uint8Array[] = []
  const gaps: Uint8Array[] = []
  let at = 0
  for (let left = length; left > 0;) {
    const gap = random.below(5)
    gaps.push(room.subarray(at, at + gap))
    const part = buffers.length === 8 ? left : Math.min(left, 1 + random.below(length))
    buffers.push(room.subarray(at + gap, at + gap + part))
    at += gap + part
    left -= part
  }
  gaps.push(room.subarray(at, at + 8))
  return { buffers, intact: () => expect(gaps.every(gap => gap.every(value => value === 0xc3))).toBe(true) }
}

function split(random: Random, bytes: Uint8Array): Uint8Array[] {
  const at = random.below(bytes.length + 1)
  return random.below(2) === 0 ? [bytes] : [bytes.subarray(0, at), bytes.subarray(at)]
}

/** Mostly without pattern; sometimes zeros or one value, which some nodes treat specially. */
function contentFor(random: Random, length: number): Uint8Array {
  const kind = random.below(6)
  return kind < 4 ? random.bytes(length) : new Uint8Array(length).fill(kind === 4 ? 0 : 1 + random.below(3))
}

function after(range: Range, random: Random): Range { return { offset: range.offset + range.length, length: 1 + random.below(3000) } }

function pad(below: Uint8Array, start: number, end: number): Uint8Array {
  const bytes = new Uint8Array(end - start)
  bytes.set(below.subarray(start, end))
  return bytes
}

function equality(bytes: Uint8Array, expected: Uint8Array): Uint8Array {
  expect(bytes.length).toBe(expected.length)
  const equal = new Uint8Array(bytes.length)
  for (let at = 0; at < bytes.length; at++) equal[at] = bytes[at] === expected[at] ? 1 : 0
  return equal
}

function markPossible(possible: Uint8Array, bytes: Uint8Array, offset: number, expected: Uint8Array): void {
  for (let at = 0; at < expected.length; at++) if (bytes[offset + at] === expected[at]) possible[offset + at] = 1
}

function expectPossible(possible: Uint8Array, offset = 0): void {
  const at = possible.indexOf(0)
  expect(at < 0 ? 'all possible' : `byte ${offset + at} is none of what it may be`).toBe('all possible')
}

function expectExtent(state: string, length: number): void {
  expect(['data', 'zero', 'hole']).toContain(state)
  expect(Number.isSafeInteger(length) && length > 0).toBe(true)
}
