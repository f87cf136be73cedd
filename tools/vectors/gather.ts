/** Operands of gathers: a base in the data pages, small indices in a vector register, three registers that differ. */
import { DATA, DATA_SIZE, WRITABLE_SIZE } from '../../test/vectors/environment.ts'
import { Word } from '../../test/vectors/state.ts'
import type { Draft } from './draft.ts'
import { placeMemory } from './memory.ts'

/** The index register is set after the other operands, which would overwrite it: see `fillIndices`. */
export function placeGather(draft: Draft): void {
  const { choice, random, registers } = draft
  while (choice.vvvv === choice.reg) choice.vvvv = random.below(registers)
  placeMemory(draft, 8, 8, DATA + 0x800 + random.below(0x1000))
  const { memory, addressSize } = choice
  if (memory === undefined || memory.base === 16 || memory.index >= 0 || addressSize === 16) {
    draft.discarded = true
    return
  }
  const free = Array.from({ length: registers }, (_, n) => n).filter((n) => n !== choice.reg && n !== choice.vvvv)
  choice.memory = { ...memory, index: random.pick(free), scale: random.below(4) }
  // Rarely one of the registers twice, which is #UD.
  if (random.oneIn(20)) choice.memory = { ...choice.memory, index: random.pick([choice.reg, choice.vvvv]) }
}

/** Indices that stay within the data pages, but for a few. */
export function fillIndices(draft: Draft): void {
  const { memory } = draft.choice
  if (memory === undefined || memory.index < 0 || draft.encoding.row.attributes.gathers !== true) return
  const bytes = draft.mnemonic.includes('GATHERQ') ? 8 : 4
  const from = Number(draft.address) - DATA
  const words: bigint[] = []
  for (let at = 0; at < 32; at += bytes) {
    const target = draft.random.oneIn(24) ? WRITABLE_SIZE + draft.random.below(DATA_SIZE) : draft.random.below(WRITABLE_SIZE - 16)
    words.push(BigInt.asUintN(bytes * 8, BigInt((target - from) >> memory.scale)))
  }
  const joined = words.reduceRight((all, word) => all << BigInt(bytes * 8) | word, 0n)
  for (let n = 0; n < 4; n++) {
    draft.setWord((n < 2 ? Word.XMM : Word.YMM_HIGH) + memory.index * 2 + (n & 1), BigInt.asUintN(64, joined >> BigInt(64 * n)))
  }
}
