/** Compares what an engine did with what the processor did. */
import { DATA, DATA_SIZE, Flat } from './environment.ts'
import { selector, Word, wordName, WORDS } from './state.ts'
import type { State } from './state.ts'
import type { Outcome } from './target.ts'
import { exemption, toleranceOf, undefinedFlags, undefinedX87 } from './undefined.ts'
import type { Tolerance } from './undefined.ts'
import { dataAfter } from './vector.ts'
import type { Exception, Vector } from './vector.ts'

const CS = 1
const TF_AND_RF = 0x10100n
const expectedData = new Uint8Array(DATA_SIZE)

/** One line for each thing that differs; none if the engine is right. */
export function differences(vector: Vector, mnemonic: string, outcome: Outcome): string[] {
  const lines = allDifferences(vector, mnemonic, outcome)
  return lines.length > 0 && exemption(vector, mnemonic, outcome) !== undefined ? [] : lines
}

function allDifferences(vector: Vector, mnemonic: string, outcome: Outcome): string[] {
  const lines = exceptionDifference(ownException(vector), outcome.exception)
  for (let word = 0; word < WORDS; word++) {
    if (vector.expected[word] === outcome.state[word] || !isCompared(vector, word)) continue
    const mask = ignoredBits(vector, mnemonic, word)
    if (((shown(vector.expected, word) ^ shown(outcome.state, word)) & ~mask) === 0n) continue
    if (withinTolerance(vector.expected, outcome.state, word, toleranceOf(mnemonic))) continue
    lines.push(`${wordName(word)}: expected ${hexWord(vector.expected[word])}, got ${hexWord(outcome.state[word])}${ignored(mask)}`)
  }
  return [...lines, ...memoryDifferences(vector, outcome)]
}

function hexWord(word: bigint): string {
  return word.toString(16).padStart(16, '0')
}

function ignored(mask: bigint): string {
  return mask === 0n ? '' : ` (bits ${mask.toString(16)} ignored)`
}

function exceptionDifference(expected: Exception | undefined, actual: Exception | undefined): string[] {
  const [a, b] = [describe(expected), describe(actual)]
  return a === b ? [] : [`exception: expected ${a}, got ${b}`]
}

/**
 * What the instruction itself raised. Where the recorder could not stop behind it (after loads of segment registers, returns that
 * change the mode), what is recorded is a fault in fetching the next instruction: RIP has moved.
 */
function ownException({ exception, initial, expected }: Vector): Exception | undefined {
  const isFetch = (exception?.vector === 13 || exception?.vector === 14) && expected[Word.RIP] !== initial[Word.RIP]
  return isFetch ? undefined : exception
}

/** A word without what returning from the kernel makes of it: null selectors with an RPL become 0. */
function shown(state: State, word: number): bigint {
  if (word !== Word.SELECTORS && word !== Word.SELECTORS_FS_GS) return state[word]
  let value = state[word]
  for (let shift = 0n; shift < 64n; shift += 16n) if ((value >> shift & 0xfffcn) === 0n) value &= ~(0xffffn << shift)
  return value
}

function describe(exception: Exception | undefined): string {
  if (!exception) return 'none'
  const { vector, errorCode, address } = exception
  return `vector ${vector}, error code ${errorCode.toString(16)}${vector === 14 ? `, address ${address.toString(16)}` : ''}`
}

/** Segment bases are state of their own only in 64-bit mode, and compatibility mode has no R8 to R15. */
function isCompared(vector: Vector, word: number): boolean {
  return vector.mode === 64 || !(word >= 8 && word < 16) && word !== Word.FS_BASE && word !== Word.GS_BASE
}

/** In compatibility mode, or on the way there, the registers' high halves are undefined. */
function isCompatible(vector: Vector): boolean {
  return vector.mode !== 64 || selector(vector.expected, CS) !== Flat.CODE64
}

function ignoredBits(vector: Vector, mnemonic: string, word: number): bigint {
  if (word < 8 && isCompatible(vector)) return 0xffffffff00000000n
  if (word === Word.RFLAGS) return TF_AND_RF | (vector.exception ? 0n : undefinedFlags(vector, mnemonic))
  if (word === Word.X87 && !vector.exception) return undefinedX87(mnemonic)
  return 0n
}

function withinTolerance(expected: State, actual: State, word: number, tolerance: Tolerance | undefined): boolean {
  if (tolerance === undefined) return false
  if (tolerance.kind === 'single') return word >= Word.XMM && [0, 1].every((half) => nearSingle(expected, actual, word * 2 + half, tolerance.amount))
  if (word < Word.STACK || word >= Word.XMM || (word - Word.STACK) % 2 !== 0) return false
  const distance = expected[word] - actual[word]
  return expected[word + 1] === actual[word + 1] && distance <= BigInt(tolerance.amount) && distance >= -BigInt(tolerance.amount)
}

function nearSingle(expected: State, actual: State, index: number, exponent: number): boolean {
  const a = new Float32Array(expected.buffer, expected.byteOffset)[index]
  const b = new Float32Array(actual.buffer, actual.byteOffset)[index]
  // What is next to a denormal may be flushed to zero.
  const smallest = 2 ** -126
  return Object.is(a, b) || Math.abs(a - b) <= Math.max(Math.abs(a) * 2 ** exponent, smallest)
}

function memoryDifferences(vector: Vector, outcome: Outcome): string[] {
  dataAfter(vector, expectedData)
  if (Buffer.compare(expectedData, outcome.data) === 0) return []
  const lines: string[] = []
  for (let at = 0; at < DATA_SIZE; at++) {
    if (expectedData[at] === outcome.data[at]) continue
    const [a, b] = [expectedData, outcome.data].map((bytes) => hexBytes(bytes.subarray(at, at + 16)))
    lines.push(`memory at ${(DATA + at).toString(16)}: expected ${a}, got ${b}`)
    at += 15
  }
  return lines
}

/** Bytes in hexadecimal, with spaces between them. */
export function hexBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
}
