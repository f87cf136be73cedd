import type { VcpuState } from '../state/vcpu-state.ts'
import { Block } from '../state/layout.ts'
import { HelperOutcome } from '../system/outcome.ts'
import type { Helper } from './helper.ts'
import { argumentWord } from './helper.ts'

/**
 * The comparison behind PCMPESTRI and its like (SDM Vol. 2B §4.1): arguments are the two operands, the immediate, and the lengths in
 * a byte each (0xffff: up to a null element). The result has IntRes2 in bits 0 to 15 and the flags from bit 16.
 */
const Immediate = { WORDS: 1, SIGNED: 2, AGGREGATION: 4, NEGATIVE: 0x10, MASKED: 0x20 } as const
const IMPLICIT = 0xffff
const [CF, ZF, SF, OF] = [1, 0x40, 0x80, 0x800]

/** One operand as its elements. One object for each serves all calls: nothing lives in it between them. */
class Text {
  readonly elements = new Int32Array(16)
  /** Elements in the register: 8 or 16. */
  capacity = 16
  /** Elements before the end. */
  length = 16

  read(state: VcpuState, n: number, immediate: number, lengths: number): void {
    const words = immediate & Immediate.WORDS
    const at = state.block + Block.ARGUMENTS + n * 16
    this.capacity = words === 0 ? 16 : 8
    for (let i = 0; i < this.capacity; i++) this.elements[i] = words === 0 ? state.u8[at + i] : state.u16[(at >> 1) + i]
    this.length = lengths === IMPLICIT ? this.findEnd() : Math.min((lengths >> (8 * n)) & 0xff, this.capacity)
    if ((immediate & Immediate.SIGNED) !== 0) this.extendSigns(words === 0 ? 24 : 16)
  }

  private findEnd(): number {
    for (let i = 0; i < this.capacity; i++) if (this.elements[i] === 0) return i
    return this.capacity
  }

  private extendSigns(shift: number): void {
    for (let i = 0; i < this.capacity; i++) this.elements[i] = this.elements[i] << shift >> shift
  }
}

/** Bit j for each element j of the second text: what the four aggregations make of its comparisons with the first. */
const AGGREGATIONS: readonly ((first: Text, second: Text, j: number) => boolean)[] = [equalAny, inRanges, equalEach, equalOrdered]

function equalAny(first: Text, second: Text, j: number): boolean {
  if (j >= second.length) return false
  for (let i = 0; i < first.length; i++) if (first.elements[i] === second.elements[j]) return true
  return false
}

/** The first text holds pairs of bounds; one without its upper bound counts for nothing. */
function inRanges(first: Text, second: Text, j: number): boolean {
  if (j >= second.length) return false
  const element = second.elements[j]
  for (let i = 0; i + 1 < first.length; i += 2) if (first.elements[i] <= element && element <= first.elements[i + 1]) return true
  return false
}

/** Beyond both ends elements are equal, beyond one end they are not. */
function equalEach(first: Text, second: Text, j: number): boolean {
  const firstEnded = j >= first.length
  const secondEnded = j >= second.length
  return firstEnded || secondEnded ? firstEnded && secondEnded : first.elements[j] === second.elements[j]
}

/** The first text begins here in the second, or runs to the end of the register. */
function equalOrdered(first: Text, second: Text, j: number): boolean {
  for (let i = 0; i < first.length && i + j < second.capacity; i++) {
    if (i + j >= second.length || first.elements[i] !== second.elements[i + j]) return false
  }
  return true
}

/** Inverts IntRes1: not at all, everywhere, or within the second text only. */
function applyPolarity(bits: number, immediate: number, second: Text): number {
  if ((immediate & Immediate.NEGATIVE) === 0) return bits
  const limit = (immediate & Immediate.MASKED) !== 0 ? second.length : second.capacity
  return bits ^ ((1 << limit) - 1)
}

const first = new Text()
const second = new Text()

export const compareStrings: Helper = ({ state }) => {
  const immediate = state.u32[argumentWord(state, 2)]
  const lengths = state.u32[argumentWord(state, 3)]
  first.read(state, 0, immediate, lengths)
  second.read(state, 1, immediate, lengths)
  const aggregate = AGGREGATIONS[(immediate / Immediate.AGGREGATION) & 3]
  let bits = 0
  for (let j = 0; j < second.capacity; j++) if (aggregate(first, second, j)) bits |= 1 << j
  bits = applyPolarity(bits, immediate, second)
  const flags = (bits !== 0 ? CF : 0) | (second.length < second.capacity ? ZF : 0)
    | (first.length < first.capacity ? SF : 0) | ((bits & 1) !== 0 ? OF : 0)
  state.setBlockU32(Block.RESULT, bits | flags << 16)
  return HelperOutcome.OK
}
