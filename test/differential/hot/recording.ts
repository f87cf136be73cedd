/**
 * Programs with what the processor made of them, as a file: Brotli over little-endian fields.
 *
 * ```
 * file      "TNP1", u32 number of programs, programs
 * program   u32 seed of the background state, u16 offset of the code, u16 offset of the handler, u16 length of the code, code,
 *           for each of its bytes the length of an instruction that is resumed behind, or 0
 *           changes of the words RAX to RFLAGS against the background state
 *           u8 number of events; for each: u8 vector, u16 error code, changes against the words of the event before,
 *           u32 digest of the XMM registers, u32 digest of memory, and u64 address if the vector is 14
 * changes   u32 with a bit for each word that differs, and these words (u64)
 * ```
 */
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib'
import { ByteReader, ByteWriter } from '../../vectors/bytes.ts'
import { backgroundState, CODE_SIZE } from '../../vectors/environment.ts'
import { Word } from '../../vectors/state.ts'
import type { HotProgram } from './assemble.ts'
import { EVENT_WORDS, EventWord } from './outcome.ts'
import type { Event } from './outcome.ts'

const MAGIC = 0x31504e54
const STATE_WORDS = 18

export interface RecordedProgram {
  readonly seed: number
  readonly program: HotProgram
  readonly events: readonly Event[]
}

export function encodeRecording(programs: readonly RecordedProgram[]): Uint8Array {
  const to = new ByteWriter()
  to.u32(MAGIC)
  to.u32(programs.length)
  for (const program of programs) writeProgram(to, program)
  return brotliCompressSync(to.finish(), { params: { [constants.BROTLI_PARAM_LGWIN]: 24 } })
}

export function decodeRecording(file: Uint8Array): RecordedProgram[] {
  const from = new ByteReader(brotliDecompressSync(file))
  if (from.u32() !== MAGIC) throw new Error('not a recording of programs')
  return Array.from({ length: from.u32() }, () => readProgram(from))
}

function writeProgram(to: ByteWriter, { seed, program: { offset, handler, code, lengths, state }, events }: RecordedProgram): void {
  to.u32(seed)
  for (const field of [offset, handler, code.length]) to.u16(field)
  to.bytes(code)
  to.bytes(lengths.subarray(offset, offset + code.length))
  writeChanges(to, backgroundState(seed, 64).subarray(0, STATE_WORDS), state.subarray(0, STATE_WORDS))
  to.u8(events.length)
  let before: BigUint64Array = firstWords(state)
  for (const event of events) {
    writeEvent(to, event, before)
    before = event.words
  }
}

function readProgram(from: ByteReader): RecordedProgram {
  const seed = from.u32(), offset = from.u16(), handler = from.u16(), length = from.u16()
  const code = Uint8Array.from(from.bytes(length))
  const lengths = new Uint8Array(CODE_SIZE)
  lengths.set(from.bytes(length), offset)
  const state = backgroundState(seed, 64)
  state.set(readChanges(from, state.subarray(0, STATE_WORDS)))
  let before = firstWords(state)
  const events = Array.from({ length: from.u8() }, () => {
    const event = readEvent(from, before)
    before = event.words
    return event
  })
  return { seed, program: { offset, handler, code, lengths, state }, events }
}

function firstWords(state: BigUint64Array): BigUint64Array {
  const words = new BigUint64Array(EVENT_WORDS)
  words.set(state.subarray(0, STATE_WORDS))
  words[EventWord.MXCSR] = state[Word.MXCSR]
  return words
}

function writeEvent(to: ByteWriter, event: Event, before: BigUint64Array): void {
  to.u8(event.vector)
  to.u16(event.errorCode)
  writeChanges(to, before, event.words)
  to.u32(event.xmmDigest)
  to.u32(event.memoryDigest)
  if (event.vector === 14) to.u64(event.address)
}

function readEvent(from: ByteReader, before: BigUint64Array): Event {
  const vector = from.u8(), errorCode = from.u16()
  const words = readChanges(from, before)
  const xmmDigest = from.u32(), memoryDigest = from.u32()
  return { vector, errorCode, words, xmmDigest, memoryDigest, address: vector === 14 ? from.u64() : 0n }
}

function writeChanges(to: ByteWriter, before: BigUint64Array, after: BigUint64Array): void {
  to.u32(after.reduce((mask, word, n) => word === before[n] ? mask : mask | 1 << n, 0))
  after.forEach((word, n) => { if (word !== before[n]) to.u64(word) })
}

function readChanges(from: ByteReader, before: BigUint64Array): BigUint64Array {
  const mask = from.u32()
  return before.map((word, n) => (mask >> n & 1) === 0 ? word : from.u64())
}
