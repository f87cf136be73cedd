import { HelperOutcome } from '../system/outcome.ts'
import type { Helper, HelperTable } from './helper.ts'
import { argumentWord, resultWord } from './helper.ts'

/**
 * The AES rounds (FIPS 197 §5; SDM Vol. 2, AESENC and its like). The state is four little-endian words, a column each. One table
 * combines the substitution with a column's mixing for the first row; the other rows' are its rotations.
 */
const sbox = new Uint8Array(256)
const inverseSbox = new Uint8Array(256)
const mixed = new Uint32Array(256)
const inverseMixed = new Uint32Array(256)
/** InvMixColumns alone. */
const inverseMix = new Uint32Array(256)

/** Multiplication by x in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197 §4.2). */
const double = (a: number): number => ((a << 1) ^ (a >> 7) * 0x11b) & 0xff
function multiply(a: number, b: number): number {
  let product = 0
  for (let power = a, rest = b; rest !== 0; power = double(power), rest >>= 1) if ((rest & 1) !== 0) product ^= power
  return product
}

/** FIPS 197 §5.1.1: the inverse, then an affine map. 3 generates the field, so a walk by 3 meets each inverse walking by 1/3. */
function fillSboxes(): void {
  let value = 1
  let inverse = 1
  do {
    value = multiply(value, 3)
    inverse = multiply(inverse, 0xf6)
    setSbox(value, inverse)
  } while (value !== 1)
  setSbox(0, 0)
}

function setSbox(value: number, inverse: number): void {
  let bits = 0x63
  for (let turn = 0; turn < 5; turn++) bits ^= ((inverse << turn) | (inverse >> (8 - turn))) & 0xff
  sbox[value] = bits
  inverseSbox[bits] = value
}

const column = (a: number, factors: readonly number[]): number => factors.reduce((word, factor, row) => word | multiply(a, factor) << (8 * row), 0)

fillSboxes()
for (let n = 0; n < 256; n++) {
  inverseMix[n] = column(n, [14, 9, 13, 11])
  mixed[n] = column(sbox[n], [2, 1, 1, 3])
}
for (let n = 0; n < 256; n++) inverseMixed[n] = inverseMix[inverseSbox[n]]

const rotate = (word: number, bits: number): number => (word << bits) | (word >>> (32 - bits))

/** Byte `row` of the word at `at` + `column`, columns counted modulo four. */
const byteOf = (words: Uint32Array, at: number, column: number, row: number): number => (words[at + (column & 3)] >>> (8 * row)) & 0xff

/** A round: rows shifted by `step` columns each (1, or -1 for the inverse), substitution and mixing by table, round key. */
function round(table: Uint32Array, step: number): Helper {
  return ({ state }) => {
    const words = state.u32
    const [from, key, to] = [argumentWord(state, 0), argumentWord(state, 1), resultWord(state)]
    for (let column = 0; column < 4; column++) {
      words[to + column] = words[key + column] ^ table[byteOf(words, from, column, 0)]
        ^ rotate(table[byteOf(words, from, column + step, 1)], 8)
        ^ rotate(table[byteOf(words, from, column + 2 * step, 2)], 16)
        ^ rotate(table[byteOf(words, from, column + 3 * step, 3)], 24)
    }
    return HelperOutcome.OK
  }
}

/** The last round: without mixing. */
function lastRound(box: Uint8Array, step: number): Helper {
  return ({ state }) => {
    const words = state.u32
    const [from, key, to] = [argumentWord(state, 0), argumentWord(state, 1), resultWord(state)]
    for (let column = 0; column < 4; column++) {
      let word = words[key + column]
      for (let row = 0; row < 4; row++) word ^= box[byteOf(words, from, column + row * step, row)] << (8 * row)
      words[to + column] = word
    }
    return HelperOutcome.OK
  }
}

const inverseMixColumns: Helper = ({ state }) => {
  const words = state.u32
  const [from, to] = [argumentWord(state, 0), resultWord(state)]
  for (let column = 0; column < 4; column++) {
    let word = 0
    for (let row = 0; row < 4; row++) word ^= rotate(inverseMix[byteOf(words, from, column, row)], 8 * row)
    words[to + column] = word
  }
  return HelperOutcome.OK
}

function substituteWord(word: number): number {
  return sbox[word & 255] | sbox[word >>> 8 & 255] << 8 | sbox[word >>> 16 & 255] << 16 | sbox[word >>> 24] << 24
}

/** Columns 1 and 3 of the key substituted, each also rotated and with the round constant added. */
const keyGenerationAssist: Helper = ({ state }) => {
  const words = state.u32
  const [from, to] = [argumentWord(state, 0), resultWord(state)]
  const constant = words[argumentWord(state, 1)] & 0xff
  for (const half of [0, 2]) {
    const substituted = substituteWord(words[from + half + 1])
    words[to + half] = substituted
    words[to + half + 1] = rotate(substituted, 24) ^ constant
  }
  return HelperOutcome.OK
}

export const aesHelpers: Readonly<HelperTable> = {
  AESENC: round(mixed, 1),
  AESENCLAST: lastRound(sbox, 1),
  AESDEC: round(inverseMixed, -1),
  AESDECLAST: lastRound(inverseSbox, -1),
  AESIMC: inverseMixColumns,
  AESKEYGENASSIST: keyGenerationAssist,
}
