/**
 * The interpreter engine: runs a vCPU on decoded records in WebAssembly, and mends in TypeScript what stops it.
 */
import { unreachable } from '../../base/errors.ts'
import { Decoder } from '../decode/decoder.ts'
import type { FrameMap } from '../../machine/frame-map.ts'
import type { Pool } from '../../machine/pool.ts'
import { recordFault } from '../mmu/faults.ts'
import { AccessKind } from '../mmu/mmu.ts'
import { ExitCode, Slot } from '../state/layout.ts'
import type { SegmentIndex } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import type { Helper } from '../helpers.ts'
import { isEventDue } from '../system/events.ts'
import type { Processor } from '../system/processor.ts'
import { segmentedLinear } from '../system/segmentation.ts'
import { CodeCache, addToLinear } from './code-cache.ts'
import { CodeContexts } from './code-context.ts'
import type { CodeContext } from './code-context.ts'
import { ACCESS_KIND_SHIFT } from './site.ts'
import { FORMS_SECTION, HELPERS_SECTION, decodeHelpers, decodeTables } from './engine-image.ts'
import type { EngineFigures } from './figures.ts'
import { JumpCache } from './jump-cache.ts'
import { RECORD_SHIFT, RECORD_SIZE, Record, Pseudo } from './record.ts'
import { ExitKind, EXIT_KIND_MASK, RegionExit } from '../translator/exits.ts'
import type { RegionCompiler } from '../translator/compiler.ts'
import { Translator } from '../translator/translator.ts'
import { RecordWriter } from './record-writer.ts'

/** Records take 32 bytes each; a boot of Linux decodes about half a million instructions. */
const DEFAULT_ARENA_SIZE = 64 << 20

/** Why `execute` came back. In every case Slot.RIP is where to go on. */
export const Stop = {
  /** The budget is used up, or something wants to be looked at between instructions. */
  BUDGET: 0,
  /** An exception is recorded in the slot, to be delivered. */
  EXCEPTION: 1,
  /** A helper changed what the engine depends on, or an event is due before the next instruction. */
  RESYNC: 2,
} as const
export type StopCode = (typeof Stop)[keyof typeof Stop]

export interface InterpreterParts {
  readonly processor: Processor
  readonly pool: Pool
  readonly frames: FrameMap
  /** The built engine. */
  readonly module: WebAssembly.Module
  /** Helpers by name. */
  readonly helpers: Readonly<Record<string, Helper>>
  /** CPUID features whose encodings exist. */
  readonly features: ReadonlySet<string>
  readonly arenaSize?: number
  /** Translates hot code; without it everything is interpreted. */
  readonly compiler?: RegionCompiler
  /** Executions before code counts as hot. */
  readonly threshold?: number
}

type RunFunction = (cpu: number, record: number, budget: number) => number

export class Interpreter {
  readonly cache: CodeCache
  private readonly state: VcpuState
  private readonly processor: Processor
  private readonly jumps: JumpCache
  private readonly contexts = new CodeContexts()
  private readonly runRecords: RunFunction
  readonly translator: Translator | undefined
  private readonly stepArea: number
  private context: CodeContext
  /** Slot.RIP was set on the way out: the record that was left says nothing. */
  private pointerIsSet = false
  private readonly place = { page: 0, offset: 0, linearLow: 0, linearHigh: 0 }
  /** Budget taken from the run loop, so that it comes back before the next instruction. */
  private withheld = 0
  private yields = false
  /** What ran last was an iteration of a repeated instruction that goes on: Slot.RIP is its own. */
  repeats = false
  /** Jumps that the jump cache did not know. */
  private lookups = 0
  /** Instructions retired since the engine was made. A repeated string instruction retires once, at its end. */
  retired = 0
  /** What budgets count: instructions, and every execution of a repeated one. */
  executed = 0

  constructor(parts: InterpreterParts) {
    const { processor, pool, frames, module } = parts
    const { state } = processor
    this.processor = processor
    this.state = state
    this.jumps = new JumpCache(state.u32, state.block, processor.mmu.tlb)
    const tables = decodeTables(customSection(module, FORMS_SECTION))
    const arenaSize = parts.arenaSize ?? DEFAULT_ARENA_SIZE
    this.stepArea = pool.allocateRun(1)
    const writer = new RecordWriter(pool.buffer, state.slot, tables)
    this.cache = new CodeCache({
      decoder: new Decoder(parts.features),
      writer,
      frames, mmu: processor.mmu, fused: tables.fused, buffer: pool.buffer,
      arena: pool.allocateRun(arenaSize >>> 12), arenaSize,
    })
    this.context = this.contexts.current(state)
    const { run, regions } = this.instantiate(module, pool, parts.helpers)
    this.runRecords = run as RunFunction
    if (parts.compiler === undefined) return
    this.translator = new Translator({
      state, pool, cache: this.cache, writer, mmu: processor.mmu, compiler: parts.compiler, table: regions as WebAssembly.Table,
      threshold: parts.threshold,
    })
    this.cache.hotCode = this.translator
  }

  /** Runs up to about `budget` instructions (a slice never ends inside one straight line). */
  execute(budget: number): StopCode {
    this.translator?.poll()
    this.enterContext()
    let record = this.lookupHere()
    let left = budget * RECORD_SIZE
    for (;;) {
      if (record === 0) {
        if (this.exitCode !== ExitCode.STALE) return Stop.EXCEPTION
        this.flush()
        record = this.lookupHere()
        continue
      }
      record = this.runRecords(this.state.slot, record, left)
      const exit = this.leave(record, left)
      if (exit === ExitCode.EXCEPTION) return Stop.EXCEPTION
      if (exit === ExitCode.RESYNC || this.yields) return Stop.RESYNC
      if (exit === ExitCode.BUDGET) return Stop.BUDGET
      left = this.remaining
      if (left <= 0) return Stop.BUDGET
      record = this.mend(exit, record)
    }
  }

  private mend(exit: number, record: number): number {
    switch (exit) {
      case ExitCode.LINK: return this.followLink(record)
      case ExitCode.HOT: return this.noteHot(record)
      default: return this.lookupStale(record)
    }
  }

  get figures(): EngineFigures {
    const { translator, cache: { statistics } } = this
    const counters = translator?.counters()
    const regions = translator?.statistics
    return {
      instructions: this.retired, translated: counters?.instructions ?? 0,
      regionsMade: regions?.installed ?? 0, regionInstructions: regions?.instructions ?? 0, regionsLive: counters?.live ?? 0,
      regionsRemoved: regions?.removed ?? 0, regionEntries: counters?.entries ?? 0, regionMisses: counters?.misses ?? 0,
      pageChecks: regions?.validations ?? 0, emitMilliseconds: translator?.times.emitMilliseconds ?? 0,
      compileMilliseconds: translator?.times.compileMilliseconds ?? 0, tlbMisses: this.processor.mmu.misses, jumpMisses: this.lookups,
      decoded: statistics.decoded, invalidations: statistics.invalidated,
    }
  }

  /** Runs exactly one instruction (one iteration of a repeated one). */
  step(): StopCode {
    this.enterContext()
    if (!this.locate(this.ripLow, this.ripHigh)) return Stop.EXCEPTION
    if (!this.cache.writeStep(this.stepArea, this.place, this.context)) return Stop.EXCEPTION
    this.setRipPage(this.ripLow, this.ripHigh, this.place.offset)
    const record = this.runRecords(this.state.slot, this.stepArea, RECORD_SIZE)
    const exit = this.leave(record, RECORD_SIZE)
    if (exit === ExitCode.EXCEPTION) return Stop.EXCEPTION
    return exit === ExitCode.RESYNC || this.yields ? Stop.RESYNC : Stop.BUDGET
  }

  /** Forgets all decoded code, after guest memory or the state was changed from outside. */
  flush(): void {
    this.cache.flush()
    this.jumps.flush()
    this.contexts.clear()
    this.context = this.contexts.current(this.state)
  }

  private instantiate(module: WebAssembly.Module, pool: Pool, named: InterpreterParts['helpers']): Record<string, unknown> {
    const helpers = decodeHelpers(customSection(module, HELPERS_SECTION)).map((name) => named[name] ?? unreachable(`no helper is called ${name}`))
    const { processor } = this
    const { mmu } = processor
    const env = {
      memory: pool.memory,
      access: (low: number, high: number, word: number, record: number): number =>
        mmu.access(low, high, word & 0xff, (word >>> ACCESS_KIND_SHIFT) | this.stackAccess(record >>> 0)),
      commitSlowStores: (): void => {
        mmu.commitSlowStores()
        this.yieldIfDue()
      },
      helper: (number: number): number => {
        const outcome = helpers[number](processor)
        this.yieldIfDue()
        return outcome
      },
      lookup: (low: number, high: number): number => this.lookup(low, this.context.codeSize === 64 ? high : 0),
      checkSegment: (segment: number, offset: number, word: number): number =>
        Number(segmentedLinear(processor, segment as SegmentIndex, offset >>> 0, word & 0xff, (word >>> ACCESS_KIND_SHIFT) !== 0) >= 0),
      checkCrossing: (record: number): number => Number(this.checkCrossing(record >>> 0)),
      validateRegion: (door: number): void => this.translator?.validate(door >>> 0),
      noteHotRegion: (door: number): void => this.translator?.noteHotRegion(door >>> 0, this.context),
      resolveExit: (exit: number, header: number): number => this.resolveExit(exit >>> 0, header >>> 0),
    }
    return new WebAssembly.Instance(module, { env }).exports
  }

  /**
   * A helper, or a store to a device's register, may have made an interrupt possible: it is delivered before the next instruction. The
   * loop looks at what is left behind every outlined handler, so it is left with this instruction only.
   */
  private yieldIfDue(): void {
    if (!isEventDue(this.state)) return
    this.withheld += this.remaining - RECORD_SIZE
    this.state.i32[(this.state.slot + Slot.BUDGET) >> 2] = RECORD_SIZE
    this.yields = true
  }

  // Between runs.

  private get ripLow(): number { return this.state.i32[(this.state.slot + Slot.RIP) >> 2] }
  private get ripHigh(): number { return this.state.i32[(this.state.slot + Slot.RIP + 4) >> 2] }
  private get exitCode(): number { return this.state.slotU32(Slot.EXIT_CODE) }
  private get remaining(): number { return this.state.i32[(this.state.slot + Slot.BUDGET) >> 2] }

  /** Takes over the mode. */
  private enterContext(): void {
    if (this.contexts.full) this.flush()
    this.context = this.contexts.current(this.state)
    this.jumps.claim(this.state.slotU32(Slot.CONTEXT), this.context.id)
    this.pointerIsSet = this.yields = false
  }

  /** Counts what was run, and works out Slot.RIP from the record that comes next. Returns the exit code. */
  private leave(returned: number, given: number): number {
    const record = returned >>> 0
    const { state } = this
    const code = this.exitCode
    let executed = (given - this.remaining - this.withheld) >> RECORD_SHIFT
    this.withheld = 0
    if (this.pointerIsSet) {
      const handler = state.u16[record >>> 1]
      if (handler !== Pseudo.GOTO_PAGE && handler !== Pseudo.ENTER) executed++
    } else if (code === ExitCode.RESYNC) executed++
    else this.setRipFrom(record)
    this.executed += executed
    this.retired += executed - this.takeRepeats()
    this.pointerIsSet = false
    this.repeats = code === ExitCode.BUDGET && this.state.slotU32(Slot.REPEATING) !== 0
    this.state.setSlotU32(Slot.REPEATING, 0)
    return code
  }

  private takeRepeats(): number {
    const at = (this.state.slot + Slot.REPEATS) >> 2
    const repeats = this.state.u32[at]
    this.state.u32[at] = 0
    return repeats
  }

  private setRipFrom(record: number): void {
    const { state, context } = this
    const page = (state.slot + Slot.RIP_PAGE) >> 2
    const sum = addToLinear(state.i32[page], state.i32[page + 1], state.u16[(record + Record.PAGE_OFFSET) >>> 1])
    this.setRip(sum.low, context.codeSize === 64 ? sum.high : 0)
  }

  private setRip(low: number, high: number): void {
    const at = (this.state.slot + Slot.RIP) >> 2
    this.state.i32[at] = low
    this.state.i32[at + 1] = high
  }

  /** RIP minus the offset in its linear page. */
  private setRipPage(low: number, high: number, offset: number): void {
    const at = (this.state.slot + Slot.RIP_PAGE) >> 2
    const difference = (low >>> 0) - offset
    this.state.i32[at] = difference | 0
    this.state.i32[at + 1] = difference < 0 ? (high - 1) | 0 : high
  }

  // Finding code.

  private lookupHere(): number {
    const record = this.lookup(this.ripLow, this.ripHigh)
    this.pointerIsSet = false
    return record
  }

  /** The record at an instruction pointer; 0 with the pointer in Slot.RIP and the reason in Slot.EXIT_CODE. */
  private lookup(low: number, high: number): number {
    this.lookups++
    if (this.cache.full) return this.fail(low, high, ExitCode.STALE)
    if (!this.locate(low, high)) return this.fail(low, high, ExitCode.EXCEPTION)
    const global = this.processor.mmu.fetchedGlobal
    const record = this.cache.find(this.place, this.context)
    if (record === 0) return this.fail(low, high, ExitCode.EXCEPTION)
    this.setRipPage(low, high, this.place.offset)
    this.jumps.fill(this.state.slotU32(Slot.CONTEXT), low, high, record, this.place.offset, global)
    return record
  }

  private fail(low: number, high: number, code: number): 0 {
    this.setRip(low, high)
    this.state.setSlotU32(Slot.EXIT_CODE, code)
    this.pointerIsSet = true
    return 0
  }

  /** Fills in `place`; false with a fault recorded. */
  private locate(low: number, high: number): boolean {
    const { context, place } = this
    const flat = context.codeSize === 64
    if (!flat && low >>> 0 > context.limit) {
      recordFault(this.state, 13, 0)
      return false
    }
    place.linearLow = flat ? low : (low + context.base) | 0
    place.linearHigh = flat ? high : 0
    place.page = this.processor.mmu.translateFetch(place.linearLow, place.linearHigh)
    place.offset = place.linearLow & 4095
    return place.page >= 0
  }

  private followLink(link: number): number {
    if (this.cache.full) return this.lookupHere()
    const low = this.ripLow
    const high = this.ripHigh
    if (!this.locate(low, high)) return this.fail(low, high, ExitCode.EXCEPTION)
    const record = this.cache.resolveLink(link >>> 0, this.place, this.context)
    return record === 0 ? this.fail(low, high, ExitCode.EXCEPTION) : record
  }

  /** A door asks for a translation; the interpreter goes on meanwhile. */
  private noteHot(door: number): number {
    if (this.locate(this.ripLow, this.ripHigh)) this.translator?.request(door >>> 0, this.place, this.context)
    return door
  }

  /** The record to go on from after a region was left by an exit that says where in its own pages. */
  private resolveExit(exit: number, header: number): number {
    const { state } = this
    const anchor = this.translator?.anchorOf(header) ?? unreachable('an exit without a translator')
    const at = state.i32[(exit >>> 2) + RegionExit.AT]
    const target = addToLinear(anchor.low, anchor.high, at)
    if (this.cache.full) return this.fail(target.low, target.high, ExitCode.STALE)
    if (!this.locate(target.low, target.high)) return this.fail(target.low, target.high, ExitCode.EXCEPTION)
    const isHere = (state.u32[(exit >>> 2) + RegionExit.KIND] & EXIT_KIND_MASK) === ExitKind.HERE
    const record = isHere ? this.cache.findBehindDoor(this.place, this.context) : this.cache.find(this.place, this.context)
    if (record === 0) return this.fail(target.low, target.high, ExitCode.EXCEPTION)
    state.u32[(exit >>> 2) + RegionExit.RECORD] = record
    return record
  }

  private lookupStale(record: number): number {
    if (this.state.u16[record >>> 1] === Pseudo.CHECK_CROSSING) this.cache.retireCrossing(record >>> 0)
    return this.lookupHere()
  }

  /** AccessKind.STACK if the record's memory operand is in the stack segment: looked at in 64-bit mode only. */
  private stackAccess(record: number): number {
    const { state } = this
    return state.u16[(record + Record.SEGMENT) >>> 1] === state.slot + Slot.STACK_ZERO ? AccessKind.STACK : 0
  }

  private checkCrossing(record: number): boolean {
    this.setRipFrom(record)
    const low = this.context.codeSize === 64 ? this.ripLow : (this.ripLow + this.context.base) | 0
    return this.cache.crossingStillHolds(record, low, this.context.codeSize === 64 ? this.ripHigh : 0, this.context)
  }
}

const customSection = (module: WebAssembly.Module, name: string): ArrayBuffer =>
  WebAssembly.Module.customSections(module, name)[0] ?? new ArrayBuffer(0)
