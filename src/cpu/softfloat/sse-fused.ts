import { BINARY32, BINARY64, packBinary32, packBinary64, unpackBinary32, unpackBinary64 } from './formats.ts'
import { fusedMultiplyAdd } from './fused.ts'
import { FloatNumber, NUMBER } from './number.ts'
import type { SseStatus } from './sse-status.ts'

/** Signs of a fused operation, as bits: VFMADD 0, VFMSUB negates the addend, VFNMADD the product, VFNMSUB both. */
export const FusedSign = { NEGATE_ADDEND: 1, NEGATE_PRODUCT: 2 } as const

const a = new FloatNumber()
const b = new FloatNumber()
const c = new FloatNumber()
const result = new FloatNumber()

/** NaNs keep their sign. */
function applySigns(signs: number): void {
  if ((signs & FusedSign.NEGATE_PRODUCT) !== 0 && a.category <= NUMBER) a.sign ^= 1
  if ((signs & FusedSign.NEGATE_ADDEND) !== 0 && c.category <= NUMBER) c.sign ^= 1
}

/** One lane of binary32: the bits of ±(x × y) ± z. */
export function fused32(signs: number, x: number, y: number, z: number, status: SseStatus): number {
  unpackBinary32(a, x, status.denormalsAreZero)
  unpackBinary32(b, y, status.denormalsAreZero)
  unpackBinary32(c, z, status.denormalsAreZero)
  applySigns(signs)
  fusedMultiplyAdd(result, a, b, c, BINARY32, status)
  status.endLane()
  return packBinary32(result)
}

/** One lane of binary64, operands and result at word indices. */
export function fused64(
  signs: number, words: Uint32Array, to: number, x: number, y: number, z: number, status: SseStatus,
): void {
  unpackBinary64(a, words[x], words[x + 1], status.denormalsAreZero)
  unpackBinary64(b, words[y], words[y + 1], status.denormalsAreZero)
  unpackBinary64(c, words[z], words[z + 1], status.denormalsAreZero)
  applySigns(signs)
  fusedMultiplyAdd(result, a, b, c, BINARY64, status)
  packBinary64(result, words, to)
  status.endLane()
}

/** Lanes of VFMADDPS and its like. Odd lanes have signs of their own: VFMADDSUB subtracts in even lanes, VFMSUBADD in odd ones. */
export function fusedLanes32(
  signs: readonly [number, number], words: Uint32Array, to: number, x: number, y: number, z: number, count: number, status: SseStatus,
): void {
  for (let lane = 0; lane < count; lane++) {
    words[to + lane] = fused32(signs[lane & 1], words[x + lane], words[y + lane], words[z + lane], status)
  }
}

/** As `fusedLanes32`, for binary64 lanes. */
export function fusedLanes64(
  signs: readonly [number, number], words: Uint32Array, to: number, x: number, y: number, z: number, count: number, status: SseStatus,
): void {
  for (let lane = 0; lane < count; lane++) {
    const at = lane * 2
    fused64(signs[lane & 1], words, to + at, x + at, y + at, z + at, status)
  }
}
