/** Initial states of the x87 unit. */
import { Word } from '../../test/vectors/state.ts'
import type { Draft } from './draft.ts'
import { controlWord, extended } from './values.ts'

const ERROR_SUMMARY = 0x80
const BUSY = 0x8000
const CONDITIONS = 0x4700

/** A status word that goes with a control word: ES and B are set just when an unmasked exception is pending. */
export function consistentStatus(control: number, status: number): number {
  const pending = (status & ~control & 0x3f) !== 0
  return status & ~(ERROR_SUMMARY | BUSY) | (pending ? ERROR_SUMMARY | BUSY : 0)
}

/** Random registers, TOP, tags, control and status words. One in ten has an exception pending. */
export function randomX87(draft: Draft): void {
  const { random } = draft
  for (let i = 0; i < 8; i++) setStackRegister(draft, i, extended(random))
  const control = controlWord(random)
  let status = random.below(8) << 11 | random.below(0x10000) & (random.oneIn(2) ? CONDITIONS : 0)
  if (random.oneIn(3)) status |= random.below(128) & (random.oneIn(3) ? 0x7f : control & 0x3f)
  const tags = random.pick([0xff, 0xff, 0xff, 0, random.below(256), random.below(256)])
  draft.setWord(Word.X87, BigInt(control) | BigInt(consistentStatus(control, status)) << 16n | BigInt(tags) << 32n)
}

export function setStackRegister(draft: Draft, physical: number, value: bigint): void {
  draft.setWord(Word.STACK + 2 * physical, value & 0xffffffffffffffffn)
  draft.setWord(Word.STACK + 2 * physical + 1, value >> 64n)
}

/** An x87 environment as FLDENV reads it, 14 or 28 bytes, with an arbitrary tag word. */
export function environment(draft: Draft, wide: boolean): Uint8Array {
  const { random } = draft
  const control = controlWord(random) | 0x40
  const status = consistentStatus(control, random.below(0x10000) & 0x7f7f)
  const words = [control, status, random.below(0x10000)]
  const bytes = Uint8Array.from({ length: wide ? 28 : 14 }, () => random.below(256))
  words.forEach((word, i) => bytes.set([word & 0xff, word >> 8], i * (wide ? 4 : 2)))
  return bytes
}
