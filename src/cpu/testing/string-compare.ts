/**
 * What PCMPESTRI and its like compute (SDM Vol. 2B §4.1), element by element as the manual has it: what the emitted code is compared
 * with.
 */
const Immediate = { WORDS: 1, SIGNED: 2, AGGREGATION: 4, NEGATIVE: 0x10, MASKED: 0x20, SELECTION: 0x40 } as const
const [CF, ZF, SF, OF] = [1, 0x40, 0x80, 0x800]

/** One operand as its elements. */
class Text {
  readonly elements: Int8Array | Uint8Array | Int16Array | Uint16Array
  /** Elements in the register: 8 or 16. */
  readonly capacity: number
  /** Elements before the end. */
  readonly length: number

  constructor(register: Uint8Array, immediate: number, length: number | undefined) {
    const { buffer } = register.slice()
    const signed = (immediate & Immediate.SIGNED) !== 0
    if ((immediate & Immediate.WORDS) !== 0) this.elements = signed ? new Int16Array(buffer) : new Uint16Array(buffer)
    else this.elements = signed ? new Int8Array(buffer) : new Uint8Array(buffer)
    this.capacity = this.elements.length
    this.length = Math.min(length ?? this.end(), this.capacity)
  }

  private end(): number {
    const at = this.elements.indexOf(0)
    return at < 0 ? this.capacity : at
  }
}

/** Bit j for each element j of the second text: what the four aggregations make of its comparisons with the first. */
const AGGREGATIONS: readonly ((first: Text, second: Text, j: number) => boolean)[] = [equalAny, inRanges, equalEach, equalOrdered]

function equalAny(first: Text, second: Text, j: number): boolean {
  return j < second.length && first.elements.subarray(0, first.length).some((element) => element === second.elements[j])
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

export interface ComparedStrings {
  /** IntRes2. */
  readonly bits: number
  readonly flags: number
  /** What the index forms leave in ECX. */
  readonly index: number
  /** What the mask forms leave in XMM0. */
  readonly mask: Uint8Array
}

/** `lengths`: the magnitudes of explicit ones; without them texts end at a null element. */
export function compareStrings(a: Uint8Array, b: Uint8Array, immediate: number, lengths?: readonly [number, number]): ComparedStrings {
  const first = new Text(a, immediate, lengths?.[0])
  const second = new Text(b, immediate, lengths?.[1])
  const aggregate = AGGREGATIONS[(immediate / Immediate.AGGREGATION) & 3]
  let bits = 0
  for (let j = 0; j < second.capacity; j++) if (aggregate(first, second, j)) bits |= 1 << j
  bits = applyPolarity(bits, immediate, second)
  const flags = (bits !== 0 ? CF : 0) | (second.length < second.capacity ? ZF : 0)
    | (first.length < first.capacity ? SF : 0) | ((bits & 1) !== 0 ? OF : 0)
  return { bits, flags, index: indexOf(bits, immediate, second.capacity), mask: maskOf(bits, immediate, second.capacity) }
}

function indexOf(bits: number, immediate: number, capacity: number): number {
  if (bits === 0) return capacity
  return 31 - Math.clz32((immediate & Immediate.SELECTION) !== 0 ? bits : bits & -bits)
}

function maskOf(bits: number, immediate: number, capacity: number): Uint8Array {
  if ((immediate & Immediate.SELECTION) === 0) return Uint8Array.from({ length: 16 }, (_, n) => n < 2 ? bits >> (8 * n) & 0xff : 0)
  const size = 16 / capacity
  return Uint8Array.from({ length: 16 }, (_, n) => (bits >> Math.floor(n / size) & 1) !== 0 ? 0xff : 0)
}
