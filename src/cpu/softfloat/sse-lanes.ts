import { add, divide, multiply, squareRoot, subtract } from './arithmetic.ts'
import type { BinaryOperation } from './arithmetic.ts'
import { compare, Ordering } from './compare.ts'
import { fastBinary32, fastBinary64 } from './fast.ts'
import { BINARY32, BINARY64, packBinary32, packBinary64, unpackBinary32, unpackBinary64 } from './formats.ts'
import { FloatNumber } from './number.ts'
import type { FloatStatus } from './status.ts'

/** Two-operand arithmetic, and the square root (of the second operand). */
export const SseOperation = { ADD: 0, MUL: 1, SUB: 2, DIV: 3, SQRT: 4, MIN: 5, MAX: 6 } as const
export type SseOperationCode = 0 | 1 | 2 | 3 | 4 | 5 | 6

const squareRootOfSecond: BinaryOperation = (result, _a, b, format, status) => squareRoot(result, b, format, status)
const OPERATIONS: readonly BinaryOperation[] = [add, multiply, subtract, divide, squareRootOfSecond]

const first = new FloatNumber()
const second = new FloatNumber()
const result = new FloatNumber()

/** One lane of binary32: the bits of a op b. Adds to `status.flags`. */
export function lane32(operation: SseOperationCode, a: number, b: number, status: FloatStatus): number {
  const quick = fastBinary32(operation, a, b, status)
  if (quick >= 0) return quick
  unpackBinary32(first, a, status.denormalsAreZero)
  unpackBinary32(second, b, status.denormalsAreZero)
  if (operation >= SseOperation.MIN) return packBinary32(chosen(operation, status))
  OPERATIONS[operation](result, first, second, BINARY32, status)
  return packBinary32(result)
}

/** One lane of binary64: writes the bits of a op b to `words[to]`, the operands being two words each at `a` and `b`. */
export function lane64(
  operation: SseOperationCode, words: Uint32Array, to: number, a: number, b: number, status: FloatStatus,
): void {
  if (fastBinary64(operation, words, to, a, b, status)) return
  unpackBinary64(first, words[a], words[a + 1], status.denormalsAreZero)
  unpackBinary64(second, words[b], words[b + 1], status.denormalsAreZero)
  if (operation >= SseOperation.MIN) return packBinary64(chosen(operation, status), words, to)
  OPERATIONS[operation](result, first, second, BINARY64, status)
  packBinary64(result, words, to)
}

/** MIN and MAX: the first operand if it is strictly less or greater, else the second, NaN or not (SDM Vol. 2, MINSS). */
function chosen(operation: number, status: FloatStatus): FloatNumber {
  const ordering = compare(first, second, false, status)
  return ordering === (operation === SseOperation.MIN ? Ordering.LESS : Ordering.GREATER) ? first : second
}

/** How two binary32 lanes compare (an Ordering). */
export function compareLane32(a: number, b: number, quiet: boolean, status: FloatStatus): number {
  unpackBinary32(first, a, status.denormalsAreZero)
  unpackBinary32(second, b, status.denormalsAreZero)
  return compare(first, second, quiet, status)
}

/** How two binary64 lanes, at word indices, compare (an Ordering). */
export function compareLane64(words: Uint32Array, a: number, b: number, quiet: boolean, status: FloatStatus): number {
  unpackBinary64(first, words[a], words[a + 1], status.denormalsAreZero)
  unpackBinary64(second, words[b], words[b + 1], status.denormalsAreZero)
  return compare(first, second, quiet, status)
}
