/**
 * The decoder against iced-x86, on random bytes, on every opcode and on samples of every row. TENON_DECODER_CASES sets how many
 * random candidates each mode gets, TENON_DECODER_SEED which.
 */
import { expect, test } from 'vitest'
import { features, rows } from '../isa/rows.ts'
import { Decoder } from './decoder.ts'
import { Oracle } from './testing/oracle.ts'
import { allSamples, everyOpcode, everyVexOpcode, fillWithCandidates, seededRandom } from './testing/random-code.ts'

const CASES = Number(process.env.TENON_DECODER_CASES ?? 200_000)
const SEED = Number(process.env.TENON_DECODER_SEED ?? 20240)
const STRIDE = 20
const BATCH = 2000
const decoder = new Decoder(features())

test.each([16, 32, 64] as const)('agrees with iced on random bytes in %i-bit mode', (codeSize) => {
  const oracle = new Oracle(decoder, codeSize)
  const random = seededRandom(SEED + codeSize)
  const bytes = new Uint8Array(BATCH * STRIDE)
  const offsets = Array.from({ length: BATCH }, (_, n) => n * STRIDE)
  for (let done = 0; done < CASES; done += BATCH) {
    fillWithCandidates(bytes, STRIDE, random)
    expect(oracle.compare(bytes, offsets)).toEqual([])
  }
  expect(oracle.agreedOn).toBeGreaterThan(CASES / 2)
  oracle.free()
}, 3_600_000)

test.each([16, 32, 64] as const)('agrees with iced on every opcode and ModRM group in %i-bit mode', (codeSize) => {
  const oracle = new Oracle(decoder, codeSize)
  for (const map of [0, 1, 2, 3] as const) {
    const bytes = everyOpcode(map, STRIDE, seededRandom(SEED))
    expect(oracle.compare(bytes, Array.from({ length: bytes.length / STRIDE }, (_, n) => n * STRIDE))).toEqual([])
  }
  for (const map of [1, 2, 3] as const) {
    const bytes = everyVexOpcode(map, STRIDE, seededRandom(SEED))
    expect(oracle.compare(bytes, Array.from({ length: bytes.length / STRIDE }, (_, n) => n * STRIDE))).toEqual([])
  }
  expect(oracle.agreedOn).toBeGreaterThan(80_000)
  oracle.free()
})

test.each([16, 32, 64] as const)('agrees with iced on a sample of every form in %i-bit mode', (codeSize) => {
  const oracle = new Oracle(decoder, codeSize)
  const random = seededRandom(SEED)
  const samples = rows.flatMap((row) => allSamples(row, random)).filter((sample) => sample.codeSize === codeSize)
  const bytes = new Uint8Array(samples.length * STRIDE)
  samples.forEach((sample, n) => bytes.set(sample.bytes, n * STRIDE))
  expect(oracle.compare(bytes, samples.map((_, n) => n * STRIDE))).toEqual([])
  expect(oracle.agreedOn).toBe(samples.length)
  oracle.free()
})
