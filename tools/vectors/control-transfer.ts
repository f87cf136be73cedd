/** Targets, frames and selectors for branches, far transfers and segment loads. */
import { Flat, Local } from '../../test/vectors/environment.ts'
import type { Draft } from './draft.ts'

/** Selectors to load into data segments or to ask about: usable ones, and each kind that is refused. */
export const DATA_SELECTORS = [
  0, 3, Flat.DATA, Flat.DATA, Flat.DATA, Flat.DATA, Local.DATA32, Local.DATA16, Flat.CODE32, Flat.CODE64, ...Object.values(Local), Local.NOT_PRESENT + 8, 0x10, 0x18, Flat.DATA & ~3, Flat.DATA & ~2,
]

const CODE_SELECTORS = [
  Flat.CODE32, Flat.CODE64, Flat.CODE32, Flat.CODE64, Flat.CODE32, Flat.CODE64, Flat.CODE32, Flat.CODE64, Local.CODE16, Local.CODE16, Local.EXECUTE_ONLY, Local.READABLE_CODE, Flat.DATA, 0, 3, 0x10,
  Local.DATA32, Local.NOT_PRESENT + 8,
]

/** A selector for a far transfer and an offset that suits it. */
export function farTarget(draft: Draft): { selector: number; offset: bigint } {
  const { random } = draft
  const selector = random.pick(CODE_SELECTORS)
  const local = (selector & 4) !== 0
  const place = BigInt(awayFromInstruction(draft))
  const offset = random.oneIn(16) ? place + 0x4000n : place
  return { selector, offset: local ? offset : offset + 0x10000000n }
}

/** An offset in the code pages that is not inside the instruction itself. */
export function awayFromInstruction(draft: Draft): number {
  const at = draft.random.below(0x1f00)
  return Math.abs(at - draft.offset) < 20 ? at + 0x40 : at
}

/** The address of a near branch target, as the mode counts it; rarely one outside the code pages. */
export function nearTarget(draft: Draft): bigint {
  const place = BigInt(awayFromInstruction(draft)) + (draft.mode === 16 ? 0n : 0x10000000n)
  if (!draft.random.oneIn(16)) return place
  return draft.mode === 64 ? draft.random.pick([place + 0x100000n, 0x8000000000000000n + place, 0x800000000000n]) : place + 0x100000n
}

/** Pushes numbers of `size` bytes, the last one deepest, at the linear address of the stack's top. */
export function frame(draft: Draft, at: number, size: number, values: readonly bigint[]): void {
  values.forEach((value, i) => draft.patchNumber(at + i * size, value, size))
}

/** Flags to be popped: anything but TF, which would trap. */
export function poppedFlags(draft: Draft): bigint {
  return BigInt(draft.random.below(0x400000) & ~0x20100)
}
