import { Slot } from '../state/layout.ts'
import type { SegmentIndex } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import { HelperOutcome } from '../system/outcome.ts'
import { argumentWord } from './helper.ts'
import { loadLane } from './lane-access.ts'
import type { LaneAddress, MemoryContext } from './lane-access.ts'

/**
 * AVX2's gathers (SDM Vol. 2: VPGATHERDD...). Arguments as in semantics/vector/avx-gather.ts. Lanes are loaded in order; a fault leaves
 * those before it loaded and their masks clear.
 */
interface Gather {
  readonly offset: bigint
  readonly segment: SegmentIndex
  /** Pool addresses of the registers. */
  readonly to: number
  readonly mask: number
  readonly index: number
  readonly scale: number
  readonly elementBytes: number
  readonly indexBytes: number
  readonly lanes: number
  readonly addressBits: number
}

const REGISTER_BYTES = 32

function request(state: VcpuState): Gather {
  const registers = state.u32[argumentWord(state, 2)]
  const shape = state.u32[argumentWord(state, 3)]
  const place = (shift: number): number => state.slot + Slot.YMM + (registers >> shift & 15) * REGISTER_BYTES
  return {
    offset: state.u64[argumentWord(state, 0) >> 1], segment: state.u32[argumentWord(state, 1)] as SegmentIndex,
    to: place(0), mask: place(4), index: place(8), scale: registers >> 12 & 3,
    elementBytes: shape & 15, indexBytes: shape >> 4 & 15, lanes: shape >> 8 & 255, addressBits: shape >> 16,
  }
}

function addressOf({ view }: VcpuState, g: Gather, lane: number): LaneAddress {
  const at = g.index + lane * g.indexBytes
  const index = g.indexBytes === 8 ? view.getBigInt64(at, true) : BigInt(view.getInt32(at, true))
  return { segment: g.segment, offset: BigInt.asUintN(g.addressBits, g.offset + (index << BigInt(g.scale))) }
}

function gather(cpu: MemoryContext): number {
  const { state } = cpu
  const { u8 } = state
  const g = request(state)
  const size = g.elementBytes
  for (let lane = 0; lane < g.lanes; lane++) {
    const mask = g.mask + lane * size
    const to = g.to + lane * size
    const wanted = (u8[mask + size - 1] & 0x80) !== 0
    if (wanted && !loadLane(cpu, addressOf(state, g, lane), u8.subarray(to, to + size))) return HelperOutcome.FAULT
    u8.fill(0, mask, mask + size)
  }
  u8.fill(0, g.to + g.lanes * size, g.to + REGISTER_BYTES)
  u8.fill(0, g.mask, g.mask + REGISTER_BYTES)
  return HelperOutcome.OK
}

export const gatherHelpers: Readonly<Record<string, (cpu: MemoryContext) => number>> = { gather }
