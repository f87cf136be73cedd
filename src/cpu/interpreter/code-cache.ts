/**
 * Decoded code of one vCPU: traces of records in an arena, found by guest-physical page, code context and offset.
 *
 * A *trace* is a straight run of instructions, past conditional branches, up to one that always leaves, the end of the page or a
 * length limit. Any instruction in it can be entered. Branches inside a page are linked record to record; branches to another page go
 * through the jump cache, so that no record ever depends on how another page is mapped. When code is overwritten, every record of its
 * page becomes STALE in place: whoever comes to one, by whatever way, looks its instruction pointer up again.
 */
import { PAGE_SIZE } from '../../base/addresses.ts'
import { DecodeFailure, Instruction } from '../decode/instruction.ts'
import type { Decoder } from '../decode/decoder.ts'
import { FrameState, frameAddress } from '../../machine/frame-map.ts'
import type { CodeWatcher, FrameMap } from '../../machine/frame-map.ts'
import type { Mmu } from '../mmu/mmu.ts'
import type { CodeContext } from './code-context.ts'
import { MAXIMUM_CONTEXTS } from './code-context.ts'
import { NO_ERROR_CODE, PSEUDO_COUNT, Pseudo, RECORD_SIZE, Record } from './record.ts'
import { PlaceTable } from './place-table.ts'
import { Flow } from './record-writer.ts'
import type { RecordWriter } from './record-writer.ts'

const MAXIMUM_TRACE = 64
const UD = 6
const GP = 13

interface Trace {
  /** Offsets in the page: first byte, and the one after the last. */
  readonly start: number
  end: number
  readonly first: number
  /** Address after the last record that stands for an instruction, in order. */
  last: number
  /** Address after all records, link records included. */
  limit: number
}

export interface CodePage {
  readonly page: number
  readonly context: CodeContext
  /** Pool address of the page's frame. */
  readonly frame: number
  readonly entries: Map<number, number>
  readonly traces: Trace[]
}

/**
 * Whoever translates hot code. With it, every place that can be jumped to begins with a *door*: a record that counts executions, and
 * later leads into a translation.
 */
export interface HotCode {
  /** Executions of a door in a page before it is hot. */
  threshold(page: CodePage): number
  /** The instruction is never translated, so that what follows it needs a door. */
  isInterpreted(instruction: Instruction): boolean
  /** Whether code of this context is translated at all. */
  translates(context: CodeContext): boolean
  /** The page's code was overwritten; its records are STALE. */
  pageDropped(page: CodePage): void
  /** All records are gone. */
  flushed(): void
}

/** Where a lookup stands: the instruction pointer and its linear address, as halves. */
export interface CodePlace {
  readonly page: number
  readonly offset: number
  readonly linearLow: number
  readonly linearHigh: number
}

export class CodeCache implements CodeWatcher {
  private readonly decoder: Decoder
  private readonly writer: RecordWriter
  private readonly frames: FrameMap
  private readonly mmu: Mmu
  private readonly fused: ReadonlyMap<number, number>
  private readonly u8: Uint8Array
  private readonly u16: Uint16Array
  private readonly i32: Int32Array
  private readonly pages = new Map<number, CodePage>()
  private readonly places = new PlaceTable()
  /** Code pages by guest-physical page, for invalidation. */
  private readonly byPage = new Map<number, CodePage[]>()
  private readonly instruction = new Instruction()
  private readonly crossing = new Uint8Array(32)
  private readonly arena: number
  private readonly arenaEnd: number
  private next: number
  /** Instruction pointer of the page being decoded: its linear address without CS.base (low half, signed). */
  private ripPage = 0
  /** Set by whoever translates hot code, before anything is decoded. */
  hotCode: HotCode | undefined
  /** Instructions decoded since the start, pages dropped because their code was overwritten, and arena flushes. */
  readonly statistics = { decoded: 0, invalidated: 0, flushed: 0 }

  constructor(parts: {
    decoder: Decoder; writer: RecordWriter; frames: FrameMap; mmu: Mmu; fused: Uint16Array
    buffer: ArrayBuffer | SharedArrayBuffer; arena: number; arenaSize: number
  }) {
    this.decoder = parts.decoder
    this.writer = parts.writer
    this.frames = parts.frames
    this.mmu = parts.mmu
    this.u8 = new Uint8Array(parts.buffer)
    this.u16 = new Uint16Array(parts.buffer)
    this.i32 = new Int32Array(parts.buffer)
    this.fused = fusedPairs(parts.fused)
    this.arena = parts.arena
    this.arenaEnd = parts.arena + parts.arenaSize
    this.next = this.arena
    this.frames.addCodeWatcher(this)
  }

  /** Too little room is left for another trace: flush before the next lookup. */
  get full(): boolean { return this.arenaEnd - this.next < 4 * MAXIMUM_TRACE * RECORD_SIZE }

  /** Forgets everything. No record may be in use. */
  flush(): void {
    for (const page of this.byPage.keys()) this.frames.unwatchCode(page)
    this.pages.clear()
    this.byPage.clear()
    this.places.clear()
    this.next = this.arena
    this.statistics.flushed++
    this.hotCode?.flushed()
  }

  /**
   * The record of the instruction at a place, decoding it if need be.
   * @returns its address, or 0 with a fault recorded (the instruction goes on in a page that cannot be fetched).
   */
  find(place: CodePlace, context: CodeContext): number {
    const { page, offset } = place
    const recent = this.places.find(page, offset, context.id)
    if (recent !== 0 && this.u16[recent >>> 1] !== Pseudo.STALE) return recent
    const record = this.findInPage(place, context)
    if (record !== 0) this.places.keep(page, offset, context.id, record)
    return record
  }

  private findInPage(place: CodePlace, context: CodeContext): number {
    this.ripPage = ((place.linearLow & ~(PAGE_SIZE - 1)) - context.base) | 0
    const codePage = this.codePage(place.page, context)
    const known = codePage.entries.get(place.offset)
    if (known !== undefined && this.u16[known >>> 1] !== Pseudo.STALE) return known
    const inner = this.findInTraces(codePage, place.offset)
    const record = inner === 0 ? this.decodeTrace(codePage, place) : this.doorTo(codePage, inner, place.offset)
    if (record !== 0) codePage.entries.set(place.offset, record)
    return record
  }

  /** As `find`, but the instruction's record itself and not the door before it. */
  findBehindDoor(place: CodePlace, context: CodeContext): number {
    const inner = this.findInTraces(this.codePage(place.page, context), place.offset)
    if (inner !== 0) return inner
    const record = this.find(place, context)
    return record !== 0 && this.isDoor(record) ? record + RECORD_SIZE : record
  }

  /** Whether the place was jumped to before, in a page that has not changed since. */
  isKnown(codePage: CodePage, offset: number): boolean { return codePage.entries.has(offset) }

  /** The page's code in a context; it is watched from now on. */
  codePage(page: number, context: CodeContext): CodePage {
    const key = pageKey(page, context)
    const known = this.pages.get(key)
    if (known !== undefined) return known
    const frame = this.frames.watchCode(page)
    const codePage: CodePage = { page, context, frame, entries: new Map(), traces: [] }
    this.pages.set(key, codePage)
    const siblings = this.byPage.get(page)
    if (siblings === undefined) this.byPage.set(page, [codePage])
    else siblings.push(codePage)
    return codePage
  }

  /** The page's code in a context, if any was decoded. */
  knownPage(page: number, context: CodeContext): CodePage | undefined { return this.pages.get(pageKey(page, context)) }

  /** Whether a page's code is still what it was when `codePage` was made. */
  isCurrent(codePage: CodePage): boolean { return this.pages.get(pageKey(codePage.page, codePage.context)) === codePage }

  /** Bytes of a page that were used: if they are overwritten, the page is dropped. */
  noteRange(codePage: CodePage, start: number, end: number): void {
    codePage.traces.push({ start, end, first: 0, last: 0, limit: 0 })
  }

  /** Decodes the instruction at an offset into `instruction`; its length, or a DecodeFailure. The next page is not looked at. */
  decodeInto(instruction: Instruction, codePage: CodePage, offset: number): number {
    return this.decoder.decode(this.u8, codePage.frame + offset, codePage.frame + PAGE_SIZE, codePage.context.codeSize, instruction)
  }

  /** The same for an instruction that goes on in another page. */
  decodeAcross(instruction: Instruction, first: CodePage, second: CodePage, offset: number): number {
    const head = PAGE_SIZE - offset
    this.crossing.set(this.u8.subarray(first.frame + offset, first.frame + PAGE_SIZE))
    this.crossing.set(this.u8.subarray(second.frame, second.frame + 15), head)
    return this.decoder.decode(this.crossing, 0, head + 15, first.context.codeSize, instruction)
  }

  /** A copy of a page's bytes. */
  copyPage(frame: number): Uint8Array { return this.u8.slice(frame, frame + PAGE_SIZE) }

  private isDoor(record: number): boolean {
    const handler = this.u16[record >>> 1]
    return handler === Pseudo.COUNT || handler === Pseudo.ENTER
  }

  /** A door for a record in the middle of a trace; the record itself where nothing is translated. */
  private doorTo(codePage: CodePage, inner: number, offset: number): number {
    const door = this.next
    const at = this.writeDoor(door, offset, codePage)
    if (at === door) return inner
    this.writePseudo(at, Pseudo.GOTO, offset)
    this.i32[(at + Record.LINK) >> 2] = inner
    this.next = at + RECORD_SIZE
    codePage.traces.push({ start: 0, end: 0, first: door, last: door, limit: this.next })
    return door
  }

  /** Writes a door at `at`, if there are doors; returns the place for the next record. */
  private writeDoor(at: number, offset: number, codePage: CodePage): number {
    const { hotCode } = this
    if (hotCode === undefined || !hotCode.translates(codePage.context)) return at
    this.writePseudo(at, Pseudo.COUNT, offset)
    this.i32[(at + Record.LINK) >> 2] = hotCode.threshold(codePage)
    return at + RECORD_SIZE
  }

  /** Links the branch that a LINK record stands for, or turns the record into a GOTO, and returns the target's record (0: fault). */
  resolveLink(link: number, place: CodePlace, context: CodeContext): number {
    const target = this.find(place, context)
    if (target === 0) return 0
    const branch = this.i32[(link + Record.LINK) >> 2] >>> 0
    if (branch !== 0) this.i32[(branch + Record.LINK) >> 2] = target
    else if (target !== link) {
      this.i32[(link + Record.LINK) >> 2] = target
      this.u16[link >>> 1] = Pseudo.GOTO
    }
    return target
  }

  /**
   * Writes one instruction and a STOP at `at` (room for four records), not entered anywhere: for single steps.
   * @returns false with a fault recorded if it cannot be fetched.
   */
  writeStep(at: number, place: CodePlace, context: CodeContext): boolean {
    const frame = this.frameOf(place.page)
    this.ripPage = ((place.linearLow & ~(PAGE_SIZE - 1)) - context.base) | 0
    let length = this.decodeAt(frame, place.offset, context)
    if (length === DecodeFailure.TRUNCATED) {
      const next = this.fetchAfter(place.linearLow, place.linearHigh, context)
      if (next < 0) return false
      length = this.decodeCrossing(frame, place.offset, next, context)
    }
    this.writeOne(at, place.offset, length, context)
    const after = at + RECORD_SIZE
    if (length > 0 && this.isNearBranch(place.offset, context)) {
      this.writeLink(after + RECORD_SIZE, this.targetOf(place.offset, context), at)
      this.i32[(at + Record.LINK) >> 2] = after + RECORD_SIZE
    }
    this.writePseudo(after, Pseudo.STOP, place.offset + Math.max(length, 0))
    return true
  }

  /** Every trace's records in order (first, and the address after the last), for profiles and inspection. */
  traces(): { readonly first: number; readonly last: number }[] {
    return [...this.pages.values()].flatMap((codePage) => codePage.traces.filter((trace) => trace.last > trace.first))
  }

  /** A record that crosses into the next page is still right if that page is the one it was decoded from. */
  crossingStillHolds(check: number, linearLow: number, linearHigh: number, context: CodeContext): boolean {
    return this.fetchAfter(linearLow, linearHigh, context) === this.i32[(check + Record.DISPLACEMENT) >> 2]
  }

  /** A CHECK_CROSSING record, and the door before it, whose second page is another one now. */
  retireCrossing(check: number): void {
    this.retire(check)
    if (this.isDoor(check - RECORD_SIZE)) this.retire(check - RECORD_SIZE)
  }

  private retire(record: number): void { this.u16[record >>> 1] = Pseudo.STALE }

  codeWritten(_frame: number, offset: number, length: number, page: number): void {
    const codePages = this.byPage.get(page)
    if (codePages === undefined) return
    const touched = codePages.some((codePage) =>
      codePage.traces.some((trace) => offset < trace.end && offset + length > trace.start))
    if (touched) this.invalidate(page, codePages)
  }

  pageReleased(page: number): void {
    const codePages = this.byPage.get(page)
    if (codePages !== undefined) this.invalidate(page, codePages)
  }

  private invalidate(page: number, codePages: readonly CodePage[]): void {
    for (const codePage of codePages) this.drop(codePage)
    this.byPage.delete(page)
    this.frames.unwatchCode(page)
    this.statistics.invalidated++
    for (const codePage of codePages) this.hotCode?.pageDropped(codePage)
  }

  private drop(codePage: CodePage): void {
    for (const { first, limit } of codePage.traces) {
      for (let record = first; record < limit; record += RECORD_SIZE) this.retire(record)
    }
    this.pages.delete(pageKey(codePage.page, codePage.context))
  }

  /** An instruction inside a trace that was decoded from an earlier entry. */
  private findInTraces(codePage: CodePage, offset: number): number {
    for (const trace of codePage.traces) {
      if (offset < trace.start || offset >= trace.end) continue
      for (let record = trace.first; record < trace.last; record += RECORD_SIZE) {
        const handler = this.u16[record >>> 1]
        if (handler >= PSEUDO_COUNT && this.u16[(record + Record.PAGE_OFFSET) >>> 1] === offset) return record
      }
    }
    return 0
  }

  private decodeTrace(codePage: CodePage, place: CodePlace): number {
    const { context, frame } = codePage
    const trace: Trace = { start: place.offset, end: place.offset, first: this.next, last: this.next, limit: this.next }
    const branches: number[] = []
    let at = this.writeDoor(this.next, place.offset, codePage)
    let offset = place.offset
    let flow: number = Flow.NEXT
    let innerDoor = 0
    for (let count = 0; count < MAXIMUM_TRACE && offset < PAGE_SIZE; count++) {
      if (count > 0 && innerDoor === 0 && codePage.entries.has(offset)) break
      const length = this.decodeAt(frame, offset, context)
      if (length <= 0) {
        if (count > 0) break
        if (length === DecodeFailure.TRUNCATED) return this.decodeCrossingTrace(codePage, place)
      }
      innerDoor = 0
      flow = this.writeOne(at, offset, length, context)
      if (length > 0 && this.isNearBranch(offset, context)) branches.push(at)
      if (length > 0) this.fuse(at, trace.first)
      at += RECORD_SIZE
      offset += Math.max(length, 1)
      if (flow === Flow.AWAY || flow === Flow.BARRIER) break
      if (length > 0 && this.hotCode?.isInterpreted(this.instruction)) {
        innerDoor = at
        at = this.writeInnerDoor(at, offset, codePage)
        if (at === innerDoor) innerDoor = 0
      }
    }
    if (innerDoor !== 0) {
      // Nothing stands behind it.
      at = innerDoor
      codePage.entries.delete(offset)
    }
    trace.last = at
    trace.end = offset
    at = this.writeEnd(at, offset, flow)
    this.finish(codePage, trace, branches, at)
    return trace.first
  }

  /** A door in a trace, behind an instruction that is never translated. */
  private writeInnerDoor(at: number, offset: number, codePage: CodePage): number {
    if (offset >= PAGE_SIZE || codePage.entries.has(offset)) return at
    const next = this.writeDoor(at, offset, codePage)
    if (next !== at) codePage.entries.set(offset, at)
    return next
  }

  private decodeAt(frame: number, offset: number, context: CodeContext): number {
    if (frame === 0) return DecodeFailure.INVALID
    const end = this.fetchEnd(context)
    const length = this.decoder.decode(this.u8, frame + offset, frame + Math.min(end, PAGE_SIZE), context.codeSize, this.instruction)
    this.statistics.decoded++
    return length === DecodeFailure.TRUNCATED && end <= PAGE_SIZE ? DecodeFailure.TOO_LONG : length
  }

  /**
   * Where fetches end, from the start of the page: at CS.limit, outside 64-bit mode. Going past it is #GP(0), as being too long is; past
   * a limit of 4 GiB is at the segment's start (SDM Vol. 3B §22.33.1: Pentium 4 and later).
   */
  private fetchEnd(context: CodeContext): number {
    if (context.codeSize === 64 || context.limit === 0xffffffff) return Infinity
    // A base that is no multiple of a page puts the start of the first page below zero.
    const start = this.ripPage > -PAGE_SIZE ? this.ripPage : this.ripPage >>> 0
    return Math.max(0, context.limit + 1 - start)
  }

  /** One record for the instruction just decoded, or for the exception that stands in its place. Returns its flow. */
  private writeOne(at: number, offset: number, length: number, context: CodeContext): number {
    const { instruction, writer } = this
    if (length <= 0) {
      this.writeRaise(at, offset, length === DecodeFailure.TOO_LONG ? GP : UD)
      return Flow.AWAY
    }
    const refusal = writer.refusal(instruction, context)
    if (refusal !== 0) {
      this.writeRaise(at, offset, refusal)
      return Flow.AWAY
    }
    const target = writer.branches(instruction) ? this.targetOf(offset, context) : 0
    writer.write(at, instruction, offset, target, !this.isWithin(target, context))
    return writer.flow(instruction)
  }

  /** Where the instruction's branch goes, relative to the start of its page. */
  private targetOf(offset: number, context: CodeContext): number {
    const { instruction } = this
    const target = offset + instruction.length + instruction.immediate
    if (context.codeSize === 64) return target
    // IP wraps at 64 KiB, EIP at 4 GiB.
    const pointer = this.ripPage + target
    return (instruction.operandSize === 16 ? pointer & 0xffff : pointer | 0) - this.ripPage | 0
  }

  private isNearBranch(offset: number, context: CodeContext): boolean {
    if (!this.writer.branches(this.instruction)) return false
    return this.isWithin(this.targetOf(offset, context), context)
  }

  /** In this page, and below CS.limit: branches to anywhere else are checked when they are taken. */
  private isWithin(target: number, context: CodeContext): boolean {
    if (target < 0 || target >= PAGE_SIZE) return false
    return context.codeSize === 64 || this.ripPage + target >>> 0 <= context.limit
  }

  /** Two records that run as one: the first gets the pair's handler. The second keeps its own, for whoever enters there. */
  private fuse(at: number, first: number): void {
    if (at === first) return
    const pair = this.fused.get(this.u16[(at - RECORD_SIZE) >>> 1] * 65536 + this.u16[at >>> 1])
    if (pair !== undefined) this.u16[(at - RECORD_SIZE) >>> 1] = pair
  }

  /** What follows the last instruction of a trace, if it goes on. */
  private writeEnd(at: number, offset: number, flow: number): number {
    if (flow === Flow.AWAY) return at
    if (offset < PAGE_SIZE) this.writeLink(at, offset, 0)
    else {
      this.writePseudo(at, Pseudo.GOTO_PAGE, offset)
      this.i32[(at + Record.IMMEDIATE) >> 2] = offset
      this.i32[((at + Record.IMMEDIATE) >> 2) + 1] = 0
    }
    return at + RECORD_SIZE
  }

  /** Links the trace's branches, and makes it known. */
  private finish(codePage: CodePage, trace: Trace, branches: readonly number[], end: number): void {
    let at = end
    for (const branch of branches) {
      const target = this.i32[(branch + Record.IMMEDIATE) >> 2]
      const known = codePage.entries.get(target) ?? (this.hotCode === undefined ? this.findWithin(trace, target) : 0)
      if (known !== 0) this.i32[(branch + Record.LINK) >> 2] = known
      else {
        this.writeLink(at, target, branch)
        this.i32[(branch + Record.LINK) >> 2] = at
        at += RECORD_SIZE
      }
    }
    trace.limit = at
    this.next = at
    codePage.traces.push(trace)
  }

  private findWithin(trace: Trace, offset: number): number {
    for (let record = trace.first; record < trace.last; record += RECORD_SIZE) {
      if (this.u16[(record + Record.PAGE_OFFSET) >>> 1] === offset) return record
    }
    return 0
  }

  /** A trace of one instruction that begins in this page and ends in the next, behind a check that both are still mapped so. */
  private decodeCrossingTrace(codePage: CodePage, place: CodePlace): number {
    const { context, frame } = codePage
    const nextPage = this.fetchAfter(place.linearLow, place.linearHigh, context)
    if (nextPage < 0) return 0
    const first = this.next
    const check = this.writeDoor(first, place.offset, codePage)
    const at = check + RECORD_SIZE
    const length = this.decodeCrossing(frame, place.offset, nextPage, context)
    const trace: Trace = { start: place.offset, end: PAGE_SIZE, first, last: at, limit: at }
    this.writePseudo(check, Pseudo.CHECK_CROSSING, place.offset)
    this.i32[(check + Record.DISPLACEMENT) >> 2] = nextPage
    const flow = this.writeOne(at, place.offset, length, context)
    const branches = length > 0 && this.isNearBranch(place.offset, context) ? [at] : []
    this.finish(codePage, trace, branches, this.writeEnd(at + RECORD_SIZE, place.offset + Math.max(length, 1), flow))
    const second = this.codePage(nextPage, context)
    second.traces.push({ start: 0, end: place.offset + Math.max(length, 1) - PAGE_SIZE, first, last: first, limit: at })
    return first
  }

  private decodeCrossing(frame: number, offset: number, nextPage: number, context: CodeContext): number {
    const head = PAGE_SIZE - offset
    const nextFrame = this.frameOf(nextPage)
    const end = this.fetchEnd(context) - PAGE_SIZE
    const tail = nextFrame === 0 ? 0 : Math.min(15, end)
    this.crossing.set(this.u8.subarray(frame + offset, frame + PAGE_SIZE))
    this.crossing.set(this.u8.subarray(nextFrame, nextFrame + tail), head)
    const length = this.decoder.decode(this.crossing, 0, head + tail, context.codeSize, this.instruction)
    return length === DecodeFailure.TRUNCATED && tail === end ? DecodeFailure.TOO_LONG : length
  }

  /** Pool address of a page's frame, 0 where there is no memory. */
  private frameOf(page: number): number {
    const entry = this.frames.entry(page)
    return (entry & FrameState.PRESENT) === 0 ? 0 : frameAddress(entry)
  }

  /**
   * Guest-physical page that the linear page after that of an address maps to, or -1 with the fault recorded. Outside 64-bit mode the
   * first page comes after the last.
   */
  private fetchAfter(low: number, high: number, context: CodeContext): number {
    const next = addToLinear(low & ~(PAGE_SIZE - 1), high, PAGE_SIZE)
    return this.mmu.translateFetch(next.low, context.codeSize === 64 ? next.high : 0)
  }

  private writePseudo(at: number, handler: number, offset: number): void {
    this.u16[at >>> 1] = handler
    this.u16[(at + Record.PAGE_OFFSET) >>> 1] = offset
    this.i32[(at + Record.LINK) >> 2] = 0
  }

  private writeLink(at: number, target: number, branch: number): void {
    this.writePseudo(at, Pseudo.LINK, target)
    this.i32[(at + Record.LINK) >> 2] = branch
  }

  private writeRaise(at: number, offset: number, vector: number): void {
    this.writePseudo(at, Pseudo.RAISE, offset)
    this.i32[(at + Record.IMMEDIATE) >> 2] = vector
    this.i32[(at + Record.LINK) >> 2] = vector === GP ? 0 : NO_ERROR_CODE
  }
}

const pageKey = (page: number, context: CodeContext): number => page * MAXIMUM_CONTEXTS + context.id

function fusedPairs(triples: Uint16Array): ReadonlyMap<number, number> {
  const pairs = new Map<number, number>()
  for (let i = 0; i < triples.length; i += 3) pairs.set(triples[i] * 65536 + triples[i + 1], triples[i + 2])
  return pairs
}

/** A 64-bit sum, as halves. */
export function addToLinear(low: number, high: number, by: number): { low: number; high: number } {
  const sum = (low >>> 0) + by
  return { low: sum | 0, high: sum >= 2 ** 32 ? (high + 1) | 0 : sum < 0 ? (high - 1) | 0 : high }
}
