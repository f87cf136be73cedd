import type { LinearMemory } from '../mmu/linear-memory.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import { HelperOutcome } from '../system/outcome.ts'
import { argumentWord, resultWord } from './helper.ts'

/**
 * AVX's masked moves (SDM Vol. 2: VMASKMOV, VPMASKMOV), which touch the memory of no lane whose mask is clear. Arguments: the linear address,
 * a bit for each lane, bytes of a lane, and what is stored, up to 32 bytes.
 */
interface MemoryContext { readonly state: VcpuState; readonly memory: LinearMemory }

const LARGEST = 32

/** The arguments, taken apart. */
function request(state: VcpuState): { address: bigint; mask: number; size: number } {
  const address = state.u64[argumentWord(state, 0) >> 1]
  return { address, mask: state.u32[argumentWord(state, 1)], size: state.u32[argumentWord(state, 2)] }
}

/** Runs `access` for each lane of the mask; it returns false when it faults. */
function eachLane(mask: number, access: (lane: number) => boolean): boolean {
  for (let lane = 0; mask >> lane !== 0; lane++) if ((mask >> lane & 1) !== 0 && !access(lane)) return false
  return true
}

function maskedLoad({ state, memory }: MemoryContext): number {
  const { address, mask, size } = request(state)
  const to = resultWord(state) * 4
  const result = state.u8.subarray(to, to + LARGEST)
  result.fill(0)
  const load = (lane: number): boolean => memory.readBytes(place(address, lane, size), result.subarray(lane * size, (lane + 1) * size))
  return eachLane(mask, load) ? HelperOutcome.OK : HelperOutcome.FAULT
}

function maskedStore({ state, memory }: MemoryContext): number {
  const { address, mask, size } = request(state)
  const from = argumentWord(state, 3) * 4
  const probe = (lane: number): boolean => memory.probeWrite(place(address, lane, size), size)
  const store = (lane: number): boolean =>
    memory.writeBytes(place(address, lane, size), state.u8.subarray(from + lane * size, from + (lane + 1) * size))
  return eachLane(mask, probe) && eachLane(mask, store) ? HelperOutcome.OK : HelperOutcome.FAULT
}

const place = (address: bigint, lane: number, size: number): bigint => BigInt.asUintN(64, address + BigInt(lane * size))

export const maskedHelpers: Readonly<Record<string, (cpu: MemoryContext) => number>> = { maskedLoad, maskedStore }
