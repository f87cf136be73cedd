import { compareLane32, compareLane64, lane32, lane64, SseOperation } from './sse-lanes.ts'
import type { SseOperationCode } from './sse-lanes.ts'
import type { SseStatus } from './sse-status.ts'

/**
 * SSE's floating-point instructions over lanes in memory, with exact flags. Operands and results are indices of 32-bit words; the
 * result may be an operand's place unless a function says otherwise. Call `status.load(mxcsr)` first; afterwards `status.faults`
 * tells whether the result counts, and `status.raised` goes into MXCSR.
 */

/** Result, first and second operand of `count` binary32 lanes: ADDPS, SUBSS, SQRTPS (of the second operand), MINSS... */
export function arithmetic32(
  operation: SseOperationCode, words: Uint32Array, to: number, a: number, b: number, count: number, status: SseStatus,
): void {
  for (let lane = 0; lane < count; lane++) {
    words[to + lane] = lane32(operation, words[a + lane], words[b + lane], status)
    status.endLane()
  }
}

/** As `arithmetic32`, for binary64 lanes of two words. */
export function arithmetic64(
  operation: SseOperationCode, words: Uint32Array, to: number, a: number, b: number, count: number, status: SseStatus,
): void {
  for (let lane = 0; lane < count * 2; lane += 2) {
    lane64(operation, words, to + lane, a + lane, b + lane, status)
    status.endLane()
  }
}

/** For predicates 0 to 15 (16 to 31 repeat them): outcomes that satisfy it, as bits less 1, equal 2, greater 4, unordered 8. */
const SATISFYING = [2, 1, 3, 8, 13, 14, 12, 7, 10, 9, 11, 0, 5, 6, 4, 15]
/** Predicates 0 to 15 that raise invalid for quiet NaNs; of 16 to 31 it is the others that do (SDM Vol. 2, table 3-1). */
const SIGNALLING = 0b0110_0110_0110_0110

/** Whether a predicate of CMPPS and VCMPPS, 0 to 31, holds for an ordering. */
function satisfies(predicate: number, ordering: number): boolean {
  return (SATISFYING[predicate & 15] >> (ordering + 1) & 1) !== 0
}

function isQuiet(predicate: number): boolean {
  return ((SIGNALLING >> (predicate & 15)) & 1) === (predicate >> 4 & 1)
}

/** CMPPS, CMPSS (predicates 0 to 7) and their AVX forms (0 to 31): lanes of ones or zeros. */
export function compare32(
  predicate: number, words: Uint32Array, to: number, a: number, b: number, count: number, status: SseStatus,
): void {
  for (let lane = 0; lane < count; lane++) {
    const ordering = compareLane32(words[a + lane], words[b + lane], isQuiet(predicate), status)
    words[to + lane] = satisfies(predicate, ordering) ? 0xffffffff : 0
    status.endLane()
  }
}

/** As `compare32`, for binary64 lanes. */
export function compare64(
  predicate: number, words: Uint32Array, to: number, a: number, b: number, count: number, status: SseStatus,
): void {
  for (let lane = 0; lane < count * 2; lane += 2) {
    const ordering = compareLane64(words, a + lane, b + lane, isQuiet(predicate), status)
    words[to + lane] = words[to + lane + 1] = satisfies(predicate, ordering) ? 0xffffffff : 0
    status.endLane()
  }
}

/** ZF, PF and CF as COMISS and the like set them: by ordering plus one. OF, SF and AF become 0. */
const COMPARISON_FLAGS = [0x01, 0x40, 0x00, 0x45]

/** COMISS, and UCOMISS with `quiet`: the new ZF, PF and CF as in RFLAGS. */
export function compareFlags32(a: number, b: number, quiet: boolean, status: SseStatus): number {
  const flags = COMPARISON_FLAGS[compareLane32(a, b, quiet, status) + 1]
  status.endLane()
  return flags
}

/** COMISD, and UCOMISD with `quiet`, of operands at word indices. */
export function compareFlags64(words: Uint32Array, a: number, b: number, quiet: boolean, status: SseStatus): number {
  const flags = COMPARISON_FLAGS[compareLane64(words, a, b, quiet, status) + 1]
  status.endLane()
  return flags
}

/**
 * HADDPS and HSUBPS (ADD or SUB): of neighbouring lanes, four results, a's pairs before b's. The result must not overlap the
 * operands.
 */
export function horizontal32(operation: 0 | 2, words: Uint32Array, to: number, a: number, b: number, status: SseStatus): void {
  for (let lane = 0; lane < 4; lane++) {
    const from = (lane < 2 ? a : b) + (lane & 1) * 2
    words[to + lane] = lane32(operation, words[from], words[from + 1], status)
    status.endLane()
  }
}

/** HADDPD and HSUBPD. The result must not overlap the operands. */
export function horizontal64(operation: 0 | 2, words: Uint32Array, to: number, a: number, b: number, status: SseStatus): void {
  for (let lane = 0; lane < 2; lane++) {
    const from = lane === 0 ? a : b
    lane64(operation, words, to + lane * 2, from, from + 2, status)
    status.endLane()
  }
}

/** ADDSUBPS: subtracts even lanes, adds odd ones. */
export function addSubtract32(words: Uint32Array, to: number, a: number, b: number, status: SseStatus): void {
  for (let lane = 0; lane < 4; lane++) {
    const operation = (lane & 1) === 0 ? SseOperation.SUB : SseOperation.ADD
    words[to + lane] = lane32(operation, words[a + lane], words[b + lane], status)
    status.endLane()
  }
}

/** ADDSUBPD. */
export function addSubtract64(words: Uint32Array, to: number, a: number, b: number, status: SseStatus): void {
  for (let lane = 0; lane < 2; lane++) {
    lane64(lane === 0 ? SseOperation.SUB : SseOperation.ADD, words, to + lane * 2, a + lane * 2, b + lane * 2, status)
    status.endLane()
  }
}

/**
 * DPPS: products of the lanes that bits 4 to 7 of the immediate choose, summed as (0 + 1) + (2 + 3), to the lanes that bits 0 to 3
 * choose, zero to the others; every four of `count` lanes for themselves. An unmasked exception in one step keeps the next from
 * happening, for all lanes.
 */
export function dotProduct32(
  immediate: number, words: Uint32Array, to: number, a: number, b: number, count: number, status: SseStatus,
): void {
  const products = Array.from({ length: count }, (_, lane) =>
    ((immediate >> (4 + (lane & 3)) & 1) === 0 ? 0 : multiplied(words[a + lane], words[b + lane], status)))
  if (!status.endStep()) return
  const pairs = pairSums(products, status)
  if (!status.endStep()) return
  const sums = pairSums(pairs, status)
  for (let lane = 0; lane < count; lane++) words[to + lane] = (immediate >> (lane & 3) & 1) === 0 ? 0 : sums[lane >> 2]
}

function multiplied(a: number, b: number, status: SseStatus): number {
  const product = lane32(SseOperation.MUL, a, b, status)
  status.endLane()
  return product
}

/** Of neighbours, half as many. */
function pairSums(values: readonly number[], status: SseStatus): number[] {
  return Array.from({ length: values.length / 2 }, (_, n) => {
    const sum = lane32(SseOperation.ADD, values[2 * n], values[2 * n + 1], status)
    status.endLane()
    return sum
  })
}

const scratch = new Uint32Array(10)

/** DPPD: as DPPS, with bits 4 and 5, 0 and 1 of the immediate. */
export function dotProduct64(immediate: number, words: Uint32Array, to: number, a: number, b: number, status: SseStatus): void {
  scratch.fill(0)
  for (let lane = 0; lane < 2; lane++) {
    if ((immediate >> (4 + lane) & 1) === 0) continue
    scratch.set([words[a + lane * 2], words[a + lane * 2 + 1], words[b + lane * 2], words[b + lane * 2 + 1]], 4)
    lane64(SseOperation.MUL, scratch, lane * 2, 4, 6, status)
    status.endLane()
  }
  if (!status.endStep()) return
  lane64(SseOperation.ADD, scratch, 8, 0, 2, status)
  status.endLane()
  for (let lane = 0; lane < 2; lane++) {
    const chosen = (immediate >> lane & 1) !== 0
    words[to + lane * 2] = chosen ? scratch[8] : 0
    words[to + lane * 2 + 1] = chosen ? scratch[9] : 0
  }
}
