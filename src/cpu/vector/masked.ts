import type { SegmentIndex } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import { HelperOutcome } from '../system/outcome.ts'
import { argumentWord, resultWord } from './helper.ts'
import { loadLane, probeLane, storeLane } from './lane-access.ts'
import type { LaneAddress, MemoryContext } from './lane-access.ts'

/**
 * AVX's masked moves (SDM Vol. 2: VMASKMOV, VPMASKMOV), which touch the memory of no lane whose mask is clear. Arguments: the offset, the
 * segment, a bit for each lane with the bytes of a lane in bits 8 to 11, and what is stored.
 */
interface Request { readonly mask: number; readonly size: number; address(lane: number): LaneAddress }

const LARGEST = 32

function request(state: VcpuState): Request {
  const offset = state.u64[argumentWord(state, 0) >> 1]
  const segment = state.u32[argumentWord(state, 1)] as SegmentIndex
  const shape = state.u32[argumentWord(state, 2)]
  const size = shape >> 8
  return { mask: shape & 0xff, size, address: (lane) => ({ segment, offset: BigInt.asUintN(64, offset + BigInt(lane * size)) }) }
}

/** Runs `access` for each lane of the mask; it returns false when it faults. */
function eachLane(mask: number, access: (lane: number) => boolean): boolean {
  for (let lane = 0; mask >> lane !== 0; lane++) if ((mask >> lane & 1) !== 0 && !access(lane)) return false
  return true
}

function maskedLoad(cpu: MemoryContext): number {
  const { state } = cpu
  const { mask, size, address } = request(state)
  const to = resultWord(state) * 4
  const result = state.u8.subarray(to, to + LARGEST)
  result.fill(0)
  const load = (lane: number): boolean => loadLane(cpu, address(lane), result.subarray(lane * size, (lane + 1) * size))
  return eachLane(mask, load) ? HelperOutcome.OK : HelperOutcome.FAULT
}

function maskedStore(cpu: MemoryContext): number {
  const { state } = cpu
  const { mask, size, address } = request(state)
  const from = argumentWord(state, 3) * 4
  const probe = (lane: number): boolean => probeLane(cpu, address(lane), size)
  const store = (lane: number): boolean => storeLane(cpu, address(lane), state.u8.subarray(from + lane * size, from + (lane + 1) * size))
  return eachLane(mask, probe) && eachLane(mask, store) ? HelperOutcome.OK : HelperOutcome.FAULT
}

export const maskedHelpers: Readonly<Record<string, (cpu: MemoryContext) => number>> = { maskedLoad, maskedStore }
