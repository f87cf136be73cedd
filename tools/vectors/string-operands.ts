/** The pointers, counts and contents of the string instructions. */
import { DATA, Local, segmentBase, WRITABLE_SIZE } from '../../test/vectors/environment.ts'
import { Rflags, setSelector, Word } from '../../test/vectors/state.ts'
import type { Draft } from './draft.ts'
import { RCX, RDI, RSI } from './draft.ts'

const ES = 0, DS = 3, FS = 4

/** Sets up RSI, RDI and RCX, DF, and a repeat prefix most of the time. */
export function stringOperands(draft: Draft): void {
  const { random, choice, mode } = draft
  choice.addressSize = random.oneIn(6) ? (mode === 32 ? 16 : 32) : mode
  if (choice.addressSize === 16 && mode === 32) for (const segment of [ES, DS]) setSelector(draft.state, segment, Local.DATA32)
  if (random.oneIn(3)) draft.state[Word.RFLAGS] |= Rflags.DF
  const source = pointer(draft, RSI, sourceSegment(draft))
  const destination = pointer(draft, RDI, ES)
  if (random.oneIn(2)) makeEqual(draft, source, destination)
  repeat(draft)
}

function sourceSegment(draft: Draft): number {
  if (!draft.random.oneIn(8)) return DS
  draft.choice.prefixes = [...draft.choice.prefixes, 0x64]
  if (draft.mode === 64) draft.state[Word.FS_BASE] = 0x1000n
  return FS
}

function pointer(draft: Draft, register: number, segment: number): number {
  const { random, choice } = draft
  let at = DATA + 0x200 + random.below(0xc00)
  if (random.oneIn(16)) at = random.pick([DATA, DATA + 3, DATA + WRITABLE_SIZE - 5, DATA + WRITABLE_SIZE + 0xffd, DATA + WRITABLE_SIZE - 0x10])
  const offset = BigInt(at) - segmentBase(draft.state, draft.mode, segment)
  draft.setLow(register, BigInt.asUintN(choice.addressSize, offset), choice.addressSize / 8)
  return at
}

/** The comparisons are to run for a while: what they compare is equal but for one byte. */
function makeEqual(draft: Draft, source: number, destination: number): void {
  const backwards = (draft.state[Word.RFLAGS] & Rflags.DF) !== 0n
  const bytes = Uint8Array.from({ length: 64 }, () => 0x55)
  const other = bytes.slice()
  other[draft.random.below(64)] = 0x56
  const back = backwards ? 56 : 0
  draft.patch(source - back, bytes)
  draft.patch(destination - back, other)
  if (draft.mnemonic === 'SCAS') draft.setLow(0, 0x5555555555555555n, 8)
}

function repeat(draft: Draft): void {
  const { random, choice } = draft
  if (random.oneIn(3)) return draft.setLow(RCX, random.u64(), choice.addressSize / 8)
  const twoKinds = draft.encoding.row.attributes.repeat === 'repe'
  choice.prefixes = [...choice.prefixes, twoKinds || random.oneIn(8) ? random.pick([0xf3, 0xf2]) : 0xf3]
  const least = /^(INS|OUTS)$/.test(draft.mnemonic) ? 1 : 0
  draft.setLow(RCX, BigInt(least + random.pick([0, 1, 2, random.below(20)])), choice.addressSize / 8)
}
