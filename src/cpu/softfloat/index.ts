/**
 * IEEE 754 arithmetic whose results and exception flags are exactly an x86 processor's, on any host. What SSE's semantics call:
 *
 *   const status = new SseStatus()            // one per vCPU, reused
 *   status.load(mxcsr)
 *   arithmetic64(SseOperation.MUL, words, to, a, b, 2, status)
 *   mxcsr |= status.raised                    // also when it faults
 *   if (status.faults) raise #XM, leave the destination alone
 *
 * The x87 (../x87) builds on the layers below: numbers taken apart (number.ts, formats.ts), rounding (round.ts), and operations
 * (arithmetic.ts, compare.ts, integer.ts, remainder.ts, fused.ts).
 */
export { reciprocal, reciprocalSquareRoot } from './approximate.ts'
export {
  addSubtract32, addSubtract64, arithmetic32, arithmetic64, compare32, compare64, compareFlags32, compareFlags64, dotProduct32,
  dotProduct64, horizontal32, horizontal64,
} from './sse.ts'
export {
  binary32To64, binary32ToInteger, binary64To32, binary64ToInteger, integerTo32, integerTo64, round32, round64,
} from './sse-convert.ts'
export { fusedLanes32, fusedLanes64, FusedSign } from './sse-fused.ts'
export { binary16To32, binary32To16 } from './sse-half.ts'
export { SseOperation } from './sse-lanes.ts'
export type { SseOperationCode } from './sse-lanes.ts'
export { Mxcsr, SseStatus } from './sse-status.ts'
