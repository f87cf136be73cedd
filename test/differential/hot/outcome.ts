/** What a hot program did: the state at each fault, and how outcomes are compared. */
import { wordName } from '../../vectors/state.ts'

/** Words of an event's state: RAX to R15, RIP, RFLAGS (without RF), MXCSR. */
export const EventWord = { RIP: 16, RFLAGS: 17, MXCSR: 18 } as const
export const EVENT_WORDS = 19
export const XMM_WORDS = 32

/** A fault: what it was, and what was to be seen then. */
export interface Event {
  readonly vector: number
  readonly errorCode: number
  /** Of #PF, else 0. */
  readonly address: bigint
  readonly words: BigUint64Array
  /** XMM0 to XMM15; recordings only have the digest. */
  readonly xmm?: BigUint64Array
  readonly xmmDigest: number
  /** Of code, data and stack. */
  readonly memoryDigest: number
}

/** The events, the last of which ended the program; undefined if it did not end. */
export type Outcome = readonly Event[] | undefined

/** After so many faults a program ends. */
export const MAXIMUM_EVENTS = 48
/** An instruction that faults this often is overwritten by NOPs. */
export const FAULTS_OF_ONE = 3

/** All flags, or without AF, which logical instructions leave undefined. */
export const ALL_FLAGS = 0xffff_ffffn
export const DEFINED_FLAGS = ALL_FLAGS & ~0x10n

/** #TS #NP #SS #GP #PF #AC; what is recorded for the others says nothing. */
export const hasErrorCode = (vector: number): boolean => [10, 11, 12, 13, 14, 17].includes(vector)

/** A digest of 32-bit words; tools/differential/harness.c has the same. */
export function digest(words: Uint32Array, start = 0): number {
  let sum = start | 0
  for (let n = 0; n < words.length; n++) sum = Math.imul((sum << 5 | sum >>> 27) ^ words[n], 0x9e3779b1)
  return sum >>> 0
}

/** What differs in the first event that does, a line each; none if the outcomes are the same. */
export function compareOutcomes(expected: Outcome, actual: Outcome, flags: bigint): string[] {
  if (expected === undefined || actual === undefined) return expected === actual ? [] : [`${expected === undefined ? 'only the second' : 'only the first'} ends`]
  for (let n = 0; n < Math.max(expected.length, actual.length); n++) {
    if (n >= expected.length || n >= actual.length) return [`${expected.length} events, not ${actual.length}`]
    const lines = compareEvents(expected[n], actual[n], flags)
    if (lines.length > 0) return [`event ${n} at ${expected[n].words[EventWord.RIP].toString(16)}`, ...lines]
  }
  return []
}

function compareEvents(expected: Event, actual: Event, flags: bigint): string[] {
  const lines: string[] = []
  const note = (name: string, a: bigint | number, b: bigint | number): void => { if (a !== b) lines.push(`${name}: ${a.toString(16)}, not ${b.toString(16)}`) }
  note('vector', expected.vector, actual.vector)
  note('error code', expected.errorCode, actual.errorCode)
  note('address', expected.address, actual.address)
  for (let n = 0; n < EVENT_WORDS; n++) {
    const mask = n === EventWord.RFLAGS ? flags : 2n ** 64n - 1n
    note(n === EventWord.MXCSR ? 'MXCSR' : wordName(n), expected.words[n] & mask, actual.words[n] & mask)
  }
  if (expected.xmm !== undefined && actual.xmm !== undefined) expected.xmm.forEach((word, n) => note(`XMM${n >> 1} ${n & 1}`, word, actual.xmm![n]))
  note('XMM registers', expected.xmmDigest, actual.xmmDigest)
  note('memory', expected.memoryDigest, actual.memoryDigest)
  return lines
}
