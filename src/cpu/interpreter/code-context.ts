/**
 * What decoded records depend on besides the bytes: the code segment's size (and, outside 64-bit mode, its base and limit), and whether
 * x87, MMX, SSE and AVX instructions may run. Each combination in use has a small number; records belong to one.
 */
import { Block, Segment } from '../state/layout.ts'
import type { CodeSize } from '../decode/instruction.ts'
import { Flag } from '../state/flags.ts'
import { Slot } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'

export interface CodeContext {
  readonly id: number
  readonly codeSize: CodeSize
  /** CS.base; 0 in 64-bit mode. */
  readonly base: number
  /** CS.limit in bytes; unused in 64-bit mode. */
  readonly limit: number
  /** Real or virtual-8086 mode: some encodings are #UD. */
  readonly real: boolean
  /** Vector to raise instead of an instruction of the group (6 or 7), 0 if it may run. */
  readonly x87: number
  readonly wait: number
  readonly mmx: number
  readonly sse: number
  readonly avx: number
}

const Cr0 = { PE: 1, MP: 2, EM: 4, TS: 8 } as const
const CR4_OSFXSR = 0x200
const CR4_OSXSAVE = 0x40000
/** SSE and AVX state. */
const XCR0_AVX = 6
const EFER_LMA = 0x400
const ATTRIBUTE_L = 0x2000
const ATTRIBUTE_D = 0x4000
const UD = 6
const NM = 7

/** More than this are never needed at a time; a guest that makes more has its code decoded again. */
export const MAXIMUM_CONTEXTS = 1024

export class CodeContexts {
  private readonly known = new Map<string, CodeContext>()
  private lastFast = -1
  private lastBase = 0n
  private lastLimit = 0
  private last: CodeContext | undefined

  /** The context that the vCPU's registers say. */
  current(state: VcpuState): CodeContext {
    const fast = fastKey(state)
    const long = (fast & 3) === 2
    const base = long ? 0n : state.segmentBase(Segment.CS)
    const limit = long ? 0 : state.segmentLimit(Segment.CS)
    if (this.last !== undefined && fast === this.lastFast && base === this.lastBase && limit === this.lastLimit) return this.last
    this.lastFast = fast
    this.lastBase = base
    this.lastLimit = limit
    this.last = this.find(fast, base, limit)
    return this.last
  }

  /** Too many: ids start again, so every record must go. */
  get full(): boolean { return this.known.size >= MAXIMUM_CONTEXTS }

  clear(): void {
    this.known.clear()
    this.last = undefined
  }

  private find(fast: number, base: bigint, limit: number): CodeContext {
    const key = `${fast}:${base}:${limit}`
    const known = this.known.get(key)
    if (known !== undefined) return known
    const context = makeContext(this.known.size, fast, base, limit)
    this.known.set(key, context)
    return context
  }
}

/** Code size in bits 0 and 1 (0: 16, 1: 32, 2: 64), then real, MP, EM, TS, OSFXSR, and whether AVX is enabled. */
function fastKey(state: VcpuState): number {
  const { cr0 } = state
  const attributes = state.segmentAttributes(Segment.CS)
  const size = (state.efer & EFER_LMA) !== 0 && (attributes & ATTRIBUTE_L) !== 0 ? 2 : (attributes & ATTRIBUTE_D) !== 0 ? 1 : 0
  const real = (cr0 & Cr0.PE) === 0 || (state.slotU32(Slot.SYSTEM_FLAGS) & Flag.VM) !== 0
  const cr4 = state.blockU32(Block.CR4)
  const avx = (cr4 & CR4_OSXSAVE) !== 0 && (state.blockU32(Block.XCR0) & XCR0_AVX) === XCR0_AVX
  return size | (real ? 4 : 0) | ((cr0 & (Cr0.MP | Cr0.EM | Cr0.TS)) << 2) | ((cr4 & CR4_OSFXSR) !== 0 ? 64 : 0) | (avx ? 128 : 0)
}

function makeContext(id: number, fast: number, base: bigint, limit: number): CodeContext {
  const has = (bit: number): boolean => (fast & bit) !== 0
  const [real, mp, em, ts, osfxsr, avx] = [has(4), has(8), has(16), has(32), has(64), has(128)]
  return {
    id, codeSize: ([16, 32, 64] as const)[fast & 3], base: Number(base), limit, real,
    x87: em || ts ? NM : 0,
    wait: mp && ts ? NM : 0,
    mmx: em ? UD : ts ? NM : 0,
    sse: em || !osfxsr ? UD : ts ? NM : 0,
    // SDM Vol. 2A §2.4, table 2-20 onwards; there is no VEX in real and virtual-8086 mode.
    avx: real || !avx ? UD : ts ? NM : 0,
  }
}
