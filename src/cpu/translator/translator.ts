/**
 * The translator of one vCPU: notices hot doors, has regions formed and compiled, leads their doors into them, and takes them away when
 * their code changes.
 */
import { PAGE_SIZE } from '../../base/addresses.ts'
import type { Instruction } from '../decode/instruction.ts'
import type { Pool } from '../../machine/pool.ts'
import { addToLinear } from '../interpreter/code-cache.ts'
import type { CodeCache, CodePage, CodePlace, HotCode } from '../interpreter/code-cache.ts'
import type { CodeContext } from '../interpreter/code-context.ts'
import { DoorRecord, Pseudo, RECORD_SIZE, Record } from '../interpreter/record.ts'
import type { RecordWriter } from '../interpreter/record-writer.ts'
import type { Mmu } from '../mmu/mmu.ts'
import { Block, Slot } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import type { CompiledRegions, RegionCompiler } from './compiler.ts'
import { MAXIMUM_REGIONS } from './dispatcher.ts'
import { EXIT_KIND_MASK, EXIT_SIZE, EXIT_WORDS, ExitKind, RegionExit, RegionHeader, TARGETS_SEEN } from './exits.ts'
import type { RegionPlan, TranslatedRegion } from './plan.ts'
import { RegionFormer } from './region-former.ts'
import type { FormLimits, FormedRegion } from './region-former.ts'
import { RegionMemory } from './region-memory.ts'
import { Translatable } from './translatable.ts'

/** Executions of a door before it is hot. */
const THRESHOLD = 3000
/** Instructions that a region executes, for each that it has, before it is worth compiling well. */
const WORTH_OPTIMISING = 5000
const QUICK: FormLimits = { tier: 'quick', stores: 'early', instructions: 500, blocks: 100, inlined: 60, depth: 3, shared: 0 }
const OPTIMISED: FormLimits = { tier: 'optimised', stores: 'early', instructions: 1500, blocks: 300, inlined: 100, depth: 4, shared: 500 }
/** For a region that is mostly in its loops. */
const LOOPS: FormLimits = { ...OPTIMISED, stores: 'late' }
/** Instructions that such a region executes each time it is entered. */
const INSTRUCTIONS_OF_LOOPS = 400
const MAXIMUM_COUNTDOWN = 0x7fffffff
/** A door that was asked for and is not translated counts on from here. */
const NEVER = 0xffffffff
/** Pages whose code was overwritten this often are left to the interpreter. */
const MAXIMUM_CHANGES = 16
/**
 * When so many regions or modules were installed, regions that were seldom entered since the last time are removed, and if that leaves more
 * than half, all: dead ones and their modules take memory until then.
 */
const MAXIMUM_INSTALLED = 12_000
const MAXIMUM_MODULES = 4000
const SELDOM = 100
/** Linear pages, and places of computed jumps, that are remembered at most: each process has others. */
const MAXIMUM_REMEMBERED = 1 << 16
/** What is no anchor: these are starts of pages. */
const NO_ANCHOR = 1
/** Targets remembered for a computed jump. */
const MAXIMUM_TARGETS = 32
/** So many plans wait for the compiler at most. */
const MAXIMUM_PENDING = 24

export interface TranslatorParts {
  readonly state: VcpuState
  readonly pool: Pool
  readonly cache: CodeCache
  readonly writer: RecordWriter
  readonly mmu: Mmu
  readonly compiler: RegionCompiler
  /** The engine's table of regions. */
  readonly table: WebAssembly.Table
  readonly threshold?: number
}

interface Region {
  readonly id: number
  readonly formed: FormedRegion
  readonly isOptimised: boolean
  readonly translated: TranslatedRegion
  readonly module: WebAssembly.Module
  /** Position in the table, and the addresses of header and exits. */
  readonly position: number
  readonly header: number
  readonly exits: number
  /** Doors that lead into it. */
  readonly doors: number[]
  /** Addresses behind its computed jumps, by the addresses of their exits. */
  readonly computed: ReadonlyMap<number, number>
  /** How often it was entered when its targets were noted last, and when regions were removed last. */
  noted: number
  swept: number
}

/** A region in use, for those who look for a mistake in one. */
export interface RegionView {
  readonly plan: RegionPlan
  /** Linear address of the anchor where it was entered last; 0 before that. */
  readonly anchor: bigint
  /** How often it was entered. */
  readonly entries: number
}

export class Translator implements HotCode {
  /** For `--stats` and tests. */
  readonly times = { emitMilliseconds: 0, compileMilliseconds: 0 }
  readonly statistics = { requested: 0, refused: 0, installed: 0, discarded: 0, removed: 0, evictions: 0, instructions: 0, validations: 0 }
  private readonly parts: TranslatorParts
  private readonly former: RegionFormer
  private readonly translatable: Translatable
  private readonly thresholdOfNew: number
  private readonly memory: RegionMemory
  private readonly waiting = new Map<number, FormedRegion>()
  /** Waiting regions that are compiled well. */
  private readonly optimised = new Set<number>()
  /** Where computed jumps of regions went, by the low half of the address behind them: low halves, the newest last. */
  private readonly wentTo = new Map<number, Set<number>>()
  private readonly regions = new Map<number, Region>()
  /** By position in the function table. */
  private readonly placed: (Region | undefined)[] = []
  private readonly byPage = new Map<CodePage, Set<Region>>()
  /** Regions, waiting or not, by the places where their blocks begin; and doors in them that have become hot all the same. */
  private readonly covered = new Map<CodePage, Map<number, number>>()
  private readonly deferred = new Set<number>()
  /** How often code of a guest-physical page was overwritten. */
  private readonly changes = new Map<number, number>()
  private readonly freePositions: number[] = []
  private nextPosition = 0
  /** Regions and modules that were installed, those that were removed since the last eviction included. */
  private installed = { regions: 0, modules: 0 }
  private nextId = 1
  /** Linear pages (number without the bits that canonical addresses repeat) that validated regions lie in. */
  private readonly linearPages = new Set<number>()

  constructor(parts: TranslatorParts) {
    this.parts = parts
    this.thresholdOfNew = parts.threshold ?? THRESHOLD
    this.memory = new RegionMemory(parts.pool)
    this.translatable = new Translatable(parts.writer)
    this.former = new RegionFormer({ cache: parts.cache, writer: parts.writer, mmu: parts.mmu, translatable: this.translatable })
    parts.mmu.tlb.listeners.push((scope, low, high, shift) => {
      if (scope === 'page' && shift === 12 && !this.linearPages.has(pageNumber(low, high))) return
      this.bump(Slot.CODE_GENERATION)
      if (scope !== 'non-global') this.bump(Slot.GLOBAL_CODE_GENERATION)
    })
    this.bump(Slot.CODE_GENERATION)
    this.bump(Slot.GLOBAL_CODE_GENERATION)
  }

  /** Instructions that regions executed, how often they were entered and left on a miss, and how many there are. */
  counters(): { readonly instructions: number; readonly entries: number; readonly misses: number; readonly live: number } {
    const { state } = this.parts
    const counter = (offset: number): number => Number(state.blockU64(offset))
    return {
      instructions: counter(Block.REGION_INSTRUCTIONS), entries: counter(Block.REGION_ENTRIES), misses: counter(Block.REGION_MISSES),
      live: this.regions.size,
    }
  }

  // What the code cache asks.

  threshold(page: CodePage): number { return (this.changes.get(page.page) ?? 0) > MAXIMUM_CHANGES ? NEVER : this.thresholdOfNew }
  isInterpreted(instruction: Instruction): boolean { return !this.translatable.has(instruction) }
  translates(context: CodeContext): boolean { return context.codeSize === 64 }

  pageDropped(page: CodePage): void {
    this.changes.set(page.page, (this.changes.get(page.page) ?? 0) + 1)
    for (const region of this.byPage.get(page) ?? []) this.remove(region)
    this.covered.delete(page)
  }

  flushed(): void {
    for (const region of this.regions.values()) this.remove(region)
    this.waiting.clear()
    this.linearPages.clear()
    this.changes.clear()
    this.covered.clear()
    this.optimised.clear()
    this.wentTo.clear()
    this.deferred.clear()
  }

  // Hot doors.

  /** A door has counted to zero: asks for a region that begins there. */
  request(door: number, place: CodePlace, context: CodeContext): void {
    const { compiler } = this.parts
    this.statistics.requested++
    if (compiler.pending >= MAXIMUM_PENDING) return this.countOn(door, this.thresholdOfNew)
    if (this.isCovered(door, place, context)) return
    this.countOn(door, NEVER)
    this.submit(place, context, QUICK)
    this.poll()
  }

  /** The region behind a door has run for so long that a better one pays. */
  noteHotRegion(door: number, context: CodeContext): void {
    const { state, mmu } = this.parts
    const header = state.u32[(door + DoorRecord.HEADER) >>> 2]
    const region = this.placed[state.u32[(header + RegionHeader.POSITION) >>> 2]]
    const waits = this.optimised.size >= MAXIMUM_PENDING
    if (region !== undefined) this.countFromStart(region, waits)
    if (region === undefined || region.isOptimised || waits) return
    const offset = state.u16[(door + Record.PAGE_OFFSET) >>> 1]
    const page = (state.slot + Slot.RIP_PAGE) >>> 2
    const linear = addToLinear(state.i32[page], state.i32[page + 1], offset)
    const place = { page: mmu.translateFetch(linear.low, linear.high), offset, linearLow: linear.low, linearHigh: linear.high }
    if (place.page < 0) return
    for (const each of region.formed.codePages) for (const near of this.byPage.get(each) ?? []) this.noteTargets(near)
    this.submit(place, context, this.loops(region) ? LOOPS : OPTIMISED)
  }

  private loops({ header, translated }: Region): boolean {
    return translated.instructions * WORTH_OPTIMISING > this.parts.state.u32[(header + RegionHeader.ENTRIES) >>> 2] * INSTRUCTIONS_OF_LOOPS
  }

  private countFromStart({ header, translated, isOptimised }: Region, again = !isOptimised): void {
    const worth = translated.instructions * WORTH_OPTIMISING * RECORD_SIZE * this.thresholdOfNew / THRESHOLD
    this.parts.state.i32[(header + RegionHeader.COUNTDOWN) >>> 2] = again && !isOptimised ? Math.min(worth, MAXIMUM_COUNTDOWN) : MAXIMUM_COUNTDOWN
  }

  /** Remembers where a region's computed jumps went. */
  private noteTargets(region: Region): void {
    const { header, computed } = region
    const { u32, i32 } = this.parts.state
    const entries = this.entriesOf(region)
    const anchor = i32[(header + RegionHeader.BASE) >>> 2]
    if (entries === region.noted || anchor === NO_ANCHOR) return
    region.noted = entries
    const seen = (header + RegionHeader.TARGETS) >>> 2
    for (let word = seen; word < seen + TARGETS_SEEN * 2; word += 2) {
      const at = computed.get(u32[word])
      if (at !== undefined) this.noteTarget((anchor + at) | 0, u32[word + 1])
    }
  }

  private noteTarget(low: number, target: number): void {
    const known = this.wentTo.get(low) ?? new Set()
    this.wentTo.set(low, known)
    known.delete(target)
    known.add(target)
    if (known.size > MAXIMUM_TARGETS) for (const oldest of known) return void known.delete(oldest)
  }

  private targetsOf(low: number): number[] { return [...this.wentTo.get(low) ?? []].reverse() }

  private submit(place: CodePlace, context: CodeContext, limits: FormLimits): void {
    const formed = this.former.form(this.nextId, place, context, limits, (low) => this.targetsOf(low))
    if (formed === undefined) {
      this.statistics.refused++
      return
    }
    this.nextId++
    this.waiting.set(formed.plan.id, formed)
    if (limits.tier === 'optimised') this.optimised.add(formed.plan.id)
    else this.cover(formed)
    this.parts.compiler.submit(formed.plan)
  }

  /**
   * Whether a region that is compiled, or will be, has the code already. Then the door leads there, if the region can be entered at
   * this place, or has to become much hotter.
   */
  private isCovered(door: number, place: CodePlace, context: CodeContext): boolean {
    const page = this.parts.cache.knownPage(place.page, context)
    const covering = page && this.covered.get(page)?.get(place.offset)
    if (covering === undefined) return false
    const region = this.regions.get(covering)
    if (region !== undefined && this.openDoorAt(region, place)) return true
    const again = this.deferred.has(door)
    if (region !== undefined) this.deferred.add(door)
    if (again) return false
    this.countOn(door, region === undefined ? this.thresholdOfNew : this.thresholdOfNew * 16)
    return true
  }

  private cover({ plan, codePages, leaders }: FormedRegion): void {
    for (const at of leaders) {
      const page = codePages[plan.pages.findIndex(({ delta }) => delta === at >> 12)]
      const offsets = this.covered.get(page) ?? new Map<number, number>()
      this.covered.set(page, offsets)
      if (!offsets.has(at & (PAGE_SIZE - 1))) offsets.set(at & (PAGE_SIZE - 1), plan.id)
    }
  }

  private openDoorAt(region: Region, place: CodePlace): boolean {
    const entry = region.translated.entries.find(({ at }) => {
      const index = region.formed.plan.pages.findIndex((page) => page.delta === at >> 12)
      return (at & (PAGE_SIZE - 1)) === place.offset && region.formed.codePages[index].page === place.page
    })
    if (entry !== undefined) this.openDoor(region, entry.at, entry.number)
    return entry !== undefined
  }

  private countOn(door: number, executions: number): void { this.parts.state.u32[(door + Record.LINK) >>> 2] = executions }

  /** Installs what has been compiled. To be called between slices. */
  poll(): void {
    if (this.installed.regions >= MAXIMUM_INSTALLED || this.installed.modules >= MAXIMUM_MODULES) this.evict()
    if (this.linearPages.size > MAXIMUM_REMEMBERED || this.wentTo.size > MAXIMUM_REMEMBERED) this.forgetPlaces()
    for (let compiled = this.parts.compiler.collect(); compiled !== undefined; compiled = this.parts.compiler.collect()) this.install(compiled)
  }

  /** Removes regions that are in use no more; what is hot becomes so again. To be called between slices. */
  evict(): void {
    for (const region of this.regions.values()) {
      const entries = this.entriesOf(region)
      if (entries - region.swept < SELDOM) this.remove(region)
      region.swept = entries
    }
    if (this.regions.size > MAXIMUM_INSTALLED / 2 || this.liveModules > MAXIMUM_MODULES / 2) this.flushed()
    this.changes.clear()
    this.deferred.clear()
    this.forgetPlaces()
    this.statistics.evictions++
    this.installed = { regions: this.regions.size, modules: this.liveModules }
    this.parts.compiler.discarded()
  }

  private get liveModules(): number { return new Set([...this.regions.values()].map(({ module }) => module)).size }

  /** What is needed of them is noted again: every region is validated before it is entered. */
  private forgetPlaces(): void {
    this.wentTo.clear()
    this.linearPages.clear()
    for (const { header } of this.regions.values()) this.parts.state.i32[(header + RegionHeader.BASE) >>> 2] = NO_ANCHOR
  }

  private entriesOf({ header }: Region): number { return this.parts.state.u32[(header + RegionHeader.ENTRIES) >>> 2] }

  private install({ module, regions, emitMilliseconds, compileMilliseconds }: CompiledRegions): void {
    this.times.emitMilliseconds += emitMilliseconds
    this.times.compileMilliseconds += compileMilliseconds
    const { exports } = new WebAssembly.Instance(module, { env: { memory: this.parts.pool.memory } })
    regions.forEach((translated, position) => {
      const formed = this.waiting.get(translated.id)
      this.waiting.delete(translated.id)
      // Its code may have changed in the meantime.
      const isCurrent = formed?.codePages.every((page) => this.parts.cache.isCurrent(page))
      if (formed !== undefined && isCurrent) this.add(formed, translated, module, exports[String(position)] as CallableFunction)
      else this.discard(translated.id, formed)
    })
    this.installed.modules++
  }

  /** What has not changed of its code becomes hot again. */
  private discard(id: number, formed: FormedRegion | undefined): void {
    this.optimised.delete(id)
    this.statistics.discarded++
    if (formed === undefined) return
    this.uncover(formed)
    for (const at of formed.leaders) this.countAgain(formed, at)
  }

  /** The door at an address of a region that was not installed, if it is there still and has waited for that region. */
  private countAgain({ plan, codePages }: FormedRegion, at: number): void {
    const page = codePages[plan.pages.findIndex(({ delta }) => delta === at >> 12)]
    const door = this.parts.cache.isCurrent(page) ? page.entries.get(at & (PAGE_SIZE - 1)) : undefined
    if (door !== undefined && this.parts.state.u16[door >>> 1] === Pseudo.COUNT) this.countOn(door, this.threshold(page))
  }

  private add(formed: FormedRegion, translated: TranslatedRegion, module: WebAssembly.Module, code: CallableFunction): void {
    const position = this.freePositions.pop() ?? this.nextPosition++
    if (position >= MAXIMUM_REGIONS) {
      this.nextPosition = MAXIMUM_REGIONS
      return this.discard(translated.id, formed)
    }
    const { table } = this.parts
    const header = this.memory.header(position)
    const exits = this.memory.allocate(translated.exits.length * 4)
    const { id } = translated
    const computed = computedExits(translated.exits, exits)
    const isOptimised = this.optimised.delete(id)
    const region: Region = { id, formed, isOptimised, translated, module, position, header, exits, doors: [], computed, noted: 0, swept: 0 }
    this.writeTables(region)
    table.set(position, code)
    this.regions.set(region.id, region)
    this.placed[position] = region
    for (const page of formed.codePages) {
      const known = this.byPage.get(page) ?? new Set()
      this.byPage.set(page, known.add(region))
    }
    for (const { at, number } of translated.entries) this.openDoor(region, at, number)
    this.installed.regions++
    this.statistics.installed++
    this.statistics.instructions += translated.instructions
  }

  private writeTables(region: Region): void {
    const { header, exits, translated, formed, position } = region
    const { state } = this.parts
    state.u32.fill(0, header >>> 2, (header + RegionHeader.SIZE) >>> 2)
    const generation = formed.global ? Slot.GLOBAL_CODE_GENERATION : Slot.CODE_GENERATION
    state.u32[(header + RegionHeader.GENERATION_ADDRESS) >>> 2] = state.slot + generation
    state.u32[(header + RegionHeader.POSITION) >>> 2] = position
    state.u32[(header + RegionHeader.EXITS) >>> 2] = exits
    state.i32[(header + RegionHeader.BASE) >>> 2] = NO_ANCHOR
    state.i32.set(translated.exits, exits >>> 2)
    this.countFromStart(region)
  }

  /** Leads the door at an address of a region, if there is one that counts, to its entry. */
  private openDoor(region: Region, at: number, entry: number): void {
    const delta = at >> 12
    const index = region.formed.plan.pages.findIndex((page) => page.delta === delta)
    const door = region.formed.codePages[index].entries.get(at & (PAGE_SIZE - 1))
    const { u16, u32, i32 } = this.parts.state
    if (door === undefined || !this.mayLead(door, region)) return
    u16[door >>> 1] = Pseudo.ENTER
    i32[(door + DoorRecord.DELTA) >>> 2] = delta
    u32[(door + DoorRecord.ENTRY) >>> 2] = entry
    u32[(door + DoorRecord.HEADER) >>> 2] = region.header
    u32[(door + DoorRecord.FUNCTION) >>> 2] = region.position
    region.doors.push(door)
  }

  /** Whether a door can lead to a region: if it counts, or leads to a small one where this is large. */
  private mayLead(door: number, region: Region): boolean {
    const { u16, u32 } = this.parts.state
    if (u16[door >>> 1] !== Pseudo.ENTER) return u16[door >>> 1] === Pseudo.COUNT
    const other = this.placed[u32[(u32[(door + DoorRecord.HEADER) >>> 2] + RegionHeader.POSITION) >>> 2]]
    // The newer region knows more of where control goes; a small one does not take over from a large one.
    if (other === undefined || (other.isOptimised && !region.isOptimised)) return false
    other.doors.splice(other.doors.indexOf(door), 1)
    return true
  }

  private remove(region: Region): void {
    const { state, table } = this.parts
    for (const door of region.doors) {
      const leadsHere = state.u16[door >>> 1] === Pseudo.ENTER && state.u32[(door + DoorRecord.HEADER) >>> 2] === region.header
      if (!leadsHere) continue
      state.u16[door >>> 1] = Pseudo.COUNT
      state.u32[(door + Record.LINK) >>> 2] = this.thresholdOfNew
    }
    for (const page of region.formed.codePages) {
      const known = this.byPage.get(page)
      known?.delete(region)
      if (known?.size === 0) this.byPage.delete(page)
    }
    table.set(region.position, null)
    this.freePositions.push(region.position)
    this.memory.release(region.exits, region.translated.exits.length * 4)
    this.regions.delete(region.id)
    this.placed[region.position] = undefined
    this.uncover(region.formed)
    this.statistics.removed++
  }

  private uncover({ plan, codePages }: FormedRegion): void {
    for (const page of codePages) {
      const offsets = this.covered.get(page)
      for (const [offset, id] of offsets ?? []) if (id === plan.id) offsets?.delete(offset)
    }
  }

  // What the dispatcher asks.

  /** Finds out which pages of the region behind a door are mapped as they were when it was formed. */
  validate(door: number): void {
    const { state, mmu } = this.parts
    const { u32, i32 } = state
    this.statistics.validations++
    const header = u32[(door + DoorRecord.HEADER) >>> 2]
    const region = this.placed[u32[(header + RegionHeader.POSITION) >>> 2]]
    if (region === undefined) return
    const page = (state.slot + Slot.RIP_PAGE) >>> 2
    const anchor = addToLinear(i32[page], i32[page + 1], -i32[(door + DoorRecord.DELTA) >>> 2] * PAGE_SIZE)
    const moved = i32[(header + RegionHeader.BASE) >>> 2] !== anchor.low || i32[(header + RegionHeader.BASE + 4) >>> 2] !== anchor.high
    const { plan: { pages }, codePages } = region.formed
    let valid = 0
    for (let index = 0; index < pages.length; index++) {
      const linear = addToLinear(anchor.low, anchor.high, pages[index].delta * PAGE_SIZE)
      if (moved) this.linearPages.add(pageNumber(linear.low, linear.high))
      if (mmu.translateFetch(linear.low, linear.high) === codePages[index].page) valid |= 1 << index
    }
    u32[(header + RegionHeader.VALID) >>> 2] = valid
    i32[(header + RegionHeader.BASE) >>> 2] = anchor.low
    i32[(header + RegionHeader.BASE + 4) >>> 2] = anchor.high
    u32[(header + RegionHeader.USER) >>> 2] = Number(state.slotU32(Slot.CONTEXT) === mmu.userContext)
    u32[(header + RegionHeader.GENERATION) >>> 2] = u32[u32[(header + RegionHeader.GENERATION_ADDRESS) >>> 2] >>> 2]
  }

  /** Where the instruction of an exit is: its distance from the anchor. */
  anchorOf(header: number): { low: number; high: number } {
    const { i32 } = this.parts.state
    return { low: i32[(header + RegionHeader.BASE) >>> 2], high: i32[(header + RegionHeader.BASE + 4) >>> 2] }
  }

  // For the search for a mistake.

  /** Regions in use. */
  views(): RegionView[] {
    return [...this.regions.values()].map((region) => {
      const { header, formed: { plan } } = region
      const { low, high } = this.anchorOf(header)
      return { plan, anchor: BigInt.asUintN(64, (BigInt(high) << 32n) | BigInt((low & -PAGE_SIZE) >>> 0)), entries: this.entriesOf(region) }
    })
  }

  /**
   * Has a region made again from a plan with fewer instructions, of the same pages; without a plan its code is left to the interpreter.
   * The compiler is given the plan, and `poll` puts what it makes in the region's place. To be called between slices.
   */
  replace(id: number, plan?: RegionPlan): void {
    const region = this.regions.get(id)
    if (region === undefined) return
    const doors = [...region.doors]
    this.remove(region)
    if (plan === undefined) return doors.forEach((door) => this.countOn(door, NEVER))
    if (region.isOptimised) this.optimised.add(id)
    this.waiting.set(id, { ...region.formed, plan })
    this.parts.compiler.submit(plan)
  }

  private bump(generation: number): void {
    const { state } = this.parts
    state.setSlotU32(generation, (state.slotU32(generation) + 1) >>> 0)
  }
}

function computedExits(words: Int32Array, exits: number): Map<number, number> {
  const found = new Map<number, number>()
  for (let exit = 0; exit * EXIT_WORDS < words.length; exit++) {
    const kind = words[exit * EXIT_WORDS + RegionExit.KIND] & EXIT_KIND_MASK
    if (kind === ExitKind.INDIRECT) found.set(exits + exit * EXIT_SIZE, words[exit * EXIT_WORDS + RegionExit.AT])
  }
  return found
}

const pageNumber = (low: number, high: number): number => (high & 0xffff) * 2 ** 20 + (low >>> 12)

