import { PAGE_MASK, PAGE_SIZE } from '../../base/addresses.ts'
import { FrameState, frameAddress } from '../../machine/frame-map.ts'
import type { FrameMap, TranslationObserver } from '../../machine/frame-map.ts'
import { Block, Context, ContextIndex, Slot, TLB_ENTRIES } from '../state/layout.ts'
import { is64Bit } from '../system/mode.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import { Vector, recordFault, recordPageFault } from './faults.ts'
import { FetchTlb } from './fetch-tlb.ts'
import type { MemoryBus } from './physical.ts'
import { SlowAccess } from './slow-access.ts'
import { Tlb } from './tlb.ts'
import { Entry, PageFault, PagingMode, Walker } from './walker.ts'

/**
 * The memory management unit of one vCPU: what stands behind a miss of the software TLB.
 *
 * `access` translates, checks, sets accessed and dirty flags, fills the TLB where a later access may go straight to the frame, and
 * answers with the pool address of the bytes. Where no TLB entry can serve (device registers, two pages, ROM, code that must be
 * watched) the slow path stands in, see slow-access.ts.
 */

/**
 * What an access does. WRITE is a pure store, whose old bytes are not read from a device; MODIFY reads and writes. STACK, added to
 * any, makes a non-canonical address #SS instead of #GP. SYSTEM, added to any, is the processor's own access to one of its tables,
 * whose address has 64 bits in all of long mode; other addresses have 32 in compatibility mode.
 */
export const AccessKind = { READ: 0, WRITE: 1, MODIFY: 3, STACK: 4, SYSTEM: 8 } as const
const WRITES = 1

/** Data breakpoints, as the slow path consults them. */
export interface DataBreakpoints {
  /** Notes a hit in the pending DR6 bits. */
  check(low: number, high: number, size: number, write: boolean): void
  /** True if a breakpoint lies in the page, so that no TLB entry may serve it. */
  coversPage(low: number, high: number): boolean
}

export class Mmu implements TranslationObserver {
  readonly tlb: Tlb
  readonly walker: Walker
  readonly frames: FrameMap
  readonly state: VcpuState
  /** Pool addresses of the three contexts. */
  readonly userContext: number
  readonly supervisorContext: number
  readonly supervisorAcContext: number
  /** Accesses that came here because the TLB did not serve them. */
  misses = 0
  /** The last `access` filled the TLB: a repeated lookup hits. */
  filled = false
  /** Set while any data breakpoint is enabled. */
  breakpoints: DataBreakpoints | null = null
  private readonly words: Uint32Array
  private readonly slow: SlowAccess
  private readonly fetches: FetchTlb
  private readonly contextWord: number
  private writeProtect = false
  private smap = false
  private smep = false
  private instructionBit = 0
  private longMode = false
  /** Alignment checking is on for user accesses: every one of them comes here. */
  private checksAlignment = false

  constructor(state: VcpuState, frames: FrameMap, bus: MemoryBus) {
    this.state = state
    this.frames = frames
    this.words = state.u32
    const contexts = state.block + Block.CONTEXTS
    this.userContext = contexts + ContextIndex.USER * Context.SIZE
    this.supervisorContext = contexts + ContextIndex.SUPERVISOR * Context.SIZE
    this.supervisorAcContext = contexts + ContextIndex.SUPERVISOR_AC * Context.SIZE
    this.contextWord = (state.slot + Slot.CONTEXT) >>> 2
    this.tlb = new Tlb(state.u32, state.block, frames.pool.zeroFrameAddress)
    this.walker = new Walker(frames)
    this.slow = new SlowAccess(state, frames, bus)
    this.fetches = new FetchTlb()
    this.words[this.contextWord] = this.supervisorContext
    frames.addObserver(this)
  }

  /**
   * Makes the bytes at a linear address accessible, as the current context.
   * @param low, high halves of the linear address (high is 0 outside long mode). @param size 1 to 64 bytes. @param kind see
   * AccessKind.
   * @returns the pool address of the bytes, or 0 with a fault recorded. After writing there, `commitSlowStores` must be called if
   *   Slot.SLOW_STORES is not zero.
   */
  access(low: number, high: number, size: number, kind: number): number {
    return this.accessIn(this.words[this.contextWord], low, high, size, kind)
  }

  /** `access` as another context: implicit supervisor accesses take `supervisorContext`. */
  accessIn(context: number, low: number, high: number, size: number, kind: number): number {
    this.misses++
    this.filled = false
    if (this.longMode && !isCanonical(high)) return this.nonCanonical(kind)
    if (this.checksAlignment && context === this.userContext && this.misaligned(low, size)) return 0
    const offset = low & PAGE_MASK
    if (offset + size > PAGE_SIZE) return this.accessTwoPages(context, low, high, size, kind)
    const page = this.translate(context, low, high, kind & WRITES)
    if (page < 0) return 0
    if (this.breakpoints !== null) this.breakpoints.check(low, high, size, (kind & WRITES) !== 0)
    const entry = page < this.frames.length ? this.frames.entries[page] : 0
    if ((kind & WRITES) === 0) return this.accessRead(context, low, high, size, page, entry)
    return this.accessWrite(context, low, high, size, kind, page, entry)
  }

  /** Checks (and marks used) one page for an access, without performing it. A fault is recorded. */
  permitsAccess(context: number, low: number, high: number, kind: number): boolean {
    if (this.longMode && !isCanonical(high)) return this.nonCanonical(kind) !== 0
    return this.translate(context, low, high, kind & WRITES) >= 0
  }

  /** Makes the pending slow stores real: device registers, second pages, watched code. Cannot fault. */
  commitSlowStores(): void {
    this.slow.commit()
  }

  /** Forgets pending slow stores: the instruction does not commit. */
  abandonSlowStores(): void {
    this.state.setSlotU32(Slot.SLOW_STORES, 0)
  }

  /**
   * Translates a linear address for an instruction fetch at the current privilege.
   * @returns the guest-physical page number, or -1 with a fault recorded.
   */
  translateFetch(low: number, high: number): number {
    const user = this.words[this.contextWord] === this.userContext
    const cached = this.fetches.find(low, high, user, this.tlb.generation, this.tlb.globalGeneration)
    if (cached >= 0) return cached
    if (this.longMode && !isCanonical(high)) {
      recordFault(this.state, Vector.GP, 0)
      return -1
    }
    const failure = this.walker.walk(low, high)
    const privilege = user ? PageFault.U : 0
    if (failure >= 0) return this.fetchFault(failure | privilege, low, high)
    if (!this.permitsFetch(user)) return this.fetchFault(PageFault.P | privilege, low, high)
    this.walker.markUsed(false)
    if (this.walker.shift !== 12) this.tlb.noteLargePage(low, high, this.walker.shift)
    const global = this.walker.global && (this.cr4 & 0x80) !== 0
    this.fetches.keep(low, high, user, this.walker.page, global, global ? this.tlb.globalGeneration : this.tlb.generation)
    return this.walker.page
  }

  /** The last successful `translateFetch` went through a global page: only a full flush, or one of the page, ends it. */
  get fetchedGlobal(): boolean { return this.fetches.global }

  /** Takes over CR0, CR3, CR4, EFER from the state and forgets all translations. `loadPdptes` is the caller's affair. */
  configure(): void {
    const { cr0, cr4, efer, state } = this
    const paging = (cr0 & 0x80000000) !== 0
    this.longMode = (efer & 0x400) !== 0
    this.writeProtect = (cr0 & 0x10000) !== 0
    this.smap = paging && (cr4 & 0x200000) !== 0
    this.smep = paging && (cr4 & 0x100000) !== 0
    const executeDisable = (efer & 0x800) !== 0 && (cr4 & 0x20) !== 0
    this.instructionBit = executeDisable || this.smep ? PageFault.ID : 0
    const legacy = (cr4 & 0x20) !== 0 ? PagingMode.PAE : PagingMode.LEGACY
    const mode = !paging ? PagingMode.NONE : this.longMode ? PagingMode.FOUR_LEVEL : legacy
    const cr3 = Block.CR3
    this.walker.configure(mode, state.blockU32(cr3), state.blockU32(cr3 + 4), executeDisable, (cr4 & 0x10) !== 0)
    this.tlb.flushAll()
    this.selectContext()
  }

  /** Takes over CR3; translations of global pages stay if CR4.PGE is set (none are cached as global otherwise). */
  rootChanged(): void {
    const { walker, state } = this
    walker.setRoot(state.blockU32(Block.CR3), state.blockU32(Block.CR3 + 4))
    this.tlb.flushNonGlobal()
  }

  /** Chooses the context by CPL and RFLAGS.AC; to be called whenever one of them, or CR0.AM, changes. */
  selectContext(): void {
    const { state } = this
    const ac = (state.slotU32(Slot.SYSTEM_FLAGS) & 0x40000) !== 0
    if (state.cpl === 3) {
      this.words[this.contextWord] = this.userContext
      this.setAlignmentChecks(ac && (state.cr0 & 0x40000) !== 0)
    } else {
      this.words[this.contextWord] = ac && this.smap ? this.supervisorAcContext : this.supervisorContext
    }
  }

  zeroFrameReplaced(): void {
    this.tlb.dropZeroFrame()
  }

  frameProtected(address: number): void {
    this.tlb.dropWriters(address)
  }

  framesReleased(): void {
    this.tlb.flushAll()
  }

  private get cr0(): number { return this.state.cr0 }
  private get cr4(): number { return this.state.cr4 }
  private get efer(): number { return this.state.efer }

  private accessRead(context: number, low: number, high: number, size: number, page: number, entry: number): number {
    if ((entry & FrameState.PRESENT) === 0) return this.slow.read(page, low & PAGE_MASK, size)
    const frame = frameAddress(entry)
    const { walker } = this
    const writable = walker.dirty && (entry & 0xfff) === FrameState.PRESENT && this.permits(context, WRITES)
    this.fill(context, low, high, frame, writable)
    return frame + (low & PAGE_MASK)
  }

  private accessWrite(context: number, low: number, high: number, size: number, kind: number, page: number, entry: number): number {
    const offset = low & PAGE_MASK
    if ((entry & (FrameState.PRESENT | FrameState.READ_ONLY)) !== FrameState.PRESENT) {
      return this.slow.write(page, offset, size, kind)
    }
    const frame = this.frames.writableFrame(page)
    if ((entry & FrameState.WATCHED) !== 0) {
      this.slow.noteWatched(page, offset, size)
      return frame + offset
    }
    this.fill(context, low, high, frame, true)
    return frame + offset
  }

  private fill(context: number, low: number, high: number, frame: number, writable: boolean): void {
    if (this.checksAlignment && context === this.userContext) return
    if (this.breakpoints !== null && this.breakpoints.coversPage(low, high)) return
    const { walker } = this
    this.tlb.fill(context, low, high, frame, writable, walker.global && (this.state.cr4 & 0x80) !== 0, walker.shift)
    this.filled = true
  }

  private accessTwoPages(context: number, low: number, high: number, size: number, kind: number): number {
    const nextLow = ((low & ~PAGE_MASK) + PAGE_SIZE) | 0
    const nextHigh = nextLow === 0 && this.isWide(kind) ? (high + 1) | 0 : high
    if (this.longMode && !isCanonical(nextHigh)) return this.nonCanonical(kind)
    const first = this.translate(context, low, high, kind & WRITES)
    if (first < 0) return 0
    const second = this.translate(context, nextLow, nextHigh, kind & WRITES)
    if (second < 0) return 0
    if (this.breakpoints !== null) this.breakpoints.check(low, high, size, (kind & WRITES) !== 0)
    return this.slow.twoPages(first, second, low & PAGE_MASK, size, kind)
  }

  /** Whether the access goes on beyond 4 GiB, or at address 0. */
  private isWide(kind: number): boolean {
    return (kind & AccessKind.SYSTEM) !== 0 ? this.longMode : is64Bit(this.state)
  }

  /** Guest-physical page of a data access, or -1 with a page fault recorded. Sets accessed and dirty flags. */
  private translate(context: number, low: number, high: number, write: number): number {
    const { walker } = this
    const failure = walker.walk(low, high)
    if (failure >= 0) return this.pageFault(context, failure, low, high, write)
    if (walker.mode === PagingMode.NONE) return walker.page
    if (!this.permits(context, write)) return this.pageFault(context, PageFault.P, low, high, write)
    walker.markUsed(write !== 0)
    return walker.page
  }

  /** Access rights of a data access (SDM Vol. 3A §4.6.1). */
  private permits(context: number, write: number): boolean {
    const { rights } = this.walker
    if (this.walker.mode === PagingMode.NONE) return true
    if (context === this.userContext) return (rights & Entry.US) !== 0 && (write === 0 || (rights & Entry.RW) !== 0)
    if ((rights & Entry.US) !== 0 && this.smap && context === this.supervisorContext) return false
    return write === 0 || !this.writeProtect || (rights & Entry.RW) !== 0
  }

  private permitsFetch(user: boolean): boolean {
    const { walker } = this
    if (walker.mode === PagingMode.NONE) return true
    if (walker.noExecute) return false
    return user ? (walker.rights & Entry.US) !== 0 : !(this.smep && (walker.rights & Entry.US) !== 0)
  }

  private pageFault(context: number, code: number, low: number, high: number, write: number): number {
    const privilege = context === this.userContext ? PageFault.U : 0
    recordPageFault(this.state, code | privilege | (write !== 0 ? PageFault.W : 0), low, high)
    return -1
  }

  private fetchFault(code: number, low: number, high: number): number {
    recordPageFault(this.state, code | this.instructionBit, low, high)
    return -1
  }

  private nonCanonical(kind: number): number {
    recordFault(this.state, (kind & AccessKind.STACK) !== 0 ? Vector.SS : Vector.GP, 0)
    return 0
  }

  private misaligned(low: number, size: number): boolean {
    if ((size !== 2 && size !== 4 && size !== 8) || (low & (size - 1)) === 0) return false
    recordFault(this.state, Vector.AC, 0)
    return true
  }

  private setAlignmentChecks(on: boolean): void {
    if (on === this.checksAlignment) return
    this.checksAlignment = on
    this.tlb.flushAll()
  }
}

/** Bits 47 to 63 of the address are all alike. */
export function isCanonical(high: number): boolean {
  const top = (high | 0) >> 15
  return top === 0 || top === -1
}

/** Looks a page up in a context's read (or write) table: the pool address of the byte, or 0 on a miss. */
export function tlbLookup(words: Uint32Array, table: number, low: number, high: number, size: number): number {
  const entry = (table >>> 2) + ((low >>> 12) & (TLB_ENTRIES - 1)) * 4
  if (words[entry] !== ((low & ~PAGE_MASK) >>> 0) || words[entry + 1] !== high >>> 0) return 0
  return (low & PAGE_MASK) + size > PAGE_SIZE ? 0 : (low + words[entry + 2]) >>> 0
}
