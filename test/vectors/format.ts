/** Vectors to bytes and back; README.md describes the format. */
import { ByteReader, ByteWriter } from './bytes.ts'
import { backgroundState } from './environment.ts'
import { Word, WORDS, WORDS_BEFORE_AVX } from './state.ts'
import type { CodeSize, State } from './state.ts'
import type { Exception, Patch, Vector } from './vector.ts'

const MAGIC = 0x32564e54 // "TNV2"
const MAGIC_BEFORE_AVX = 0x31564e54 // "TNV1"
const MODES: readonly CodeSize[] = [64, 32, 16]
const MODE_BITS = 3
const HAS_EXCEPTION = 4
const PAGE_FAULT = 14

export interface VectorFileHeader {
  /** What recorded it: CPUID's vendor, family and model. */
  readonly processor: { readonly vendor: string; readonly family: number; readonly model: number }
  /** The first vector's seed. */
  readonly seed: number
}

export interface VectorFile {
  readonly header: VectorFileHeader
  readonly vectors: readonly Vector[]
}

/** Writes vectors, which must be ordered so that those of a row are together. */
export function encodeVectors(header: VectorFileHeader, vectors: readonly Vector[]): Uint8Array {
  const to = new ByteWriter()
  to.u32(MAGIC)
  text(to, JSON.stringify(header))
  let seed = header.seed - 1
  for (let first = 0; first < vectors.length;) {
    let end = first
    while (end < vectors.length && vectors[end].row === vectors[first].row) end++
    text(to, vectors[first].row)
    to.u32(end - first)
    for (; first < end; seed = vectors[first++].seed) writeVector(to, vectors[first], seed)
  }
  return to.finish()
}

/** Reads a (decompressed) file. Throws RangeError where it is cut short and Error where it is another format. */
export function decodeVectors(bytes: Uint8Array): VectorFile {
  const from = new ByteReader(bytes)
  const magic = from.u32()
  if (magic !== MAGIC && magic !== MAGIC_BEFORE_AVX) throw new Error('not a file of instruction vectors: it does not begin with TNV2 or TNV1')
  const words = magic === MAGIC ? WORDS : WORDS_BEFORE_AVX
  const header = JSON.parse(readText(from)) as VectorFileHeader
  const vectors: Vector[] = []
  while (!from.ended) {
    const row = readText(from)
    for (let left = from.u32(); left > 0; left--) vectors.push(readVector(from, row, vectors.at(-1)?.seed ?? header.seed - 1, words))
  }
  return { header, vectors }
}

function writeVector(to: ByteWriter, vector: Vector, previousSeed: number): void {
  to.u16(vector.seed - previousSeed - 1)
  to.u8(MODES.indexOf(vector.mode) | (vector.exception ? HAS_EXCEPTION : 0))
  to.u8(vector.code.length)
  to.bytes(vector.code)
  writeDelta(to, backgroundState(vector.seed, vector.mode), vector.initial)
  writePatches(to, vector.patches)
  if (vector.exception) writeException(to, vector.exception)
  writeDelta(to, predicted(vector), vector.expected)
  writePatches(to, vector.writes)
}

function readVector(from: ByteReader, row: string, previousSeed: number, words: number): Vector {
  const seed = previousSeed + 1 + from.u16()
  const flags = from.u8()
  const mode = MODES[flags & MODE_BITS]
  const code = from.bytes(from.u8())
  const initial = readDelta(from, backgroundState(seed, mode), words)
  const patches = readPatches(from)
  const exception = (flags & HAS_EXCEPTION) === 0 ? undefined : readException(from)
  const expected = readDelta(from, predicted({ code, initial, exception }), words)
  return { row, seed, mode, code, initial, patches, exception, expected, writes: readPatches(from) }
}

/** The state after an instruction that changes nothing: RIP moves past it unless it faults. */
function predicted({ code, initial, exception }: Pick<Vector, 'code' | 'initial' | 'exception'>): State {
  const state = initial.slice()
  if (!exception) state[Word.RIP] += BigInt(code.length)
  return state
}

function writeException(to: ByteWriter, exception: Exception): void {
  to.u8(exception.vector)
  to.u16(exception.errorCode)
  if (exception.vector === PAGE_FAULT) to.u64(exception.address)
}

function readException(from: ByteReader): Exception {
  const vector = from.u8()
  const errorCode = from.u16()
  return { vector, errorCode, address: vector === PAGE_FAULT ? from.u64() : 0n }
}

/** A bit for each word that changed, then those words, exclusive-ored, without their zero bytes. */
function writeDelta(to: ByteWriter, base: State, state: State): void {
  for (let word = 0; word < WORDS; word += 8) {
    let mask = 0
    for (let i = 0; i < 8; i++) if (base[word + i] !== state[word + i]) mask |= 1 << i
    to.u8(mask)
  }
  for (let word = 0; word < WORDS; word++) if (base[word] !== state[word]) writeWord(to, base[word] ^ state[word])
}

function readDelta(from: ByteReader, state: State, words: number): State {
  const mask = from.bytes(words / 8)
  for (let word = 0; word < words; word++) if (mask[word >> 3] >> (word & 7) & 1) state[word] ^= readWord(from)
  return state
}

/** A byte with a bit for each byte that is not zero, then those bytes. */
function writeWord(to: ByteWriter, word: bigint): void {
  const bytes: number[] = []
  let mask = 0
  for (let i = 0; i < 8; i++) {
    const byte = Number(word >> BigInt(i * 8) & 0xffn)
    if (byte === 0) continue
    mask |= 1 << i
    bytes.push(byte)
  }
  to.u8(mask)
  to.bytes(Uint8Array.from(bytes))
}

function readWord(from: ByteReader): bigint {
  const mask = from.u8()
  let word = 0n
  for (let i = 0; i < 8; i++) if (mask >> i & 1) word |= BigInt(from.u8()) << BigInt(i * 8)
  return word
}

function writePatches(to: ByteWriter, patches: readonly Patch[]): void {
  to.u8(patches.length)
  for (const patch of patches) {
    to.u16(patch.offset)
    to.u16(patch.bytes.length)
    to.bytes(patch.bytes)
  }
}

function readPatches(from: ByteReader): Patch[] {
  return Array.from({ length: from.u8() }, () => {
    const offset = from.u16()
    return { offset, bytes: from.bytes(from.u16()) }
  })
}

function text(to: ByteWriter, value: string): void {
  const bytes = new TextEncoder().encode(value)
  to.u16(bytes.length)
  to.bytes(bytes)
}

function readText(from: ByteReader): string {
  return new TextDecoder().decode(from.bytes(from.u16()))
}
