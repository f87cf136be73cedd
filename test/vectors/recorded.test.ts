/** What is in test/vectors/data, checked without an engine: that it covers the opcode table, decodes, and agrees with arithmetic. */
import { describe, expect, it } from 'vitest'
import { Decoder } from '../../src/cpu/decode/decoder.ts'
import { DecodeFailure, Instruction } from '../../src/cpu/decode/instruction.ts'
import { features, rows } from '../../src/cpu/isa/rows.ts'
import { hexBytes } from './compare.ts'
import { CODE_SIZE } from './environment.ts'
import { formatMissing, formatReport, loadVectors, rowsWithoutVectors, runVectors, vectorFamilies } from './runner.ts'
import { Rflags, Word } from './state.ts'
import type { VectorTarget } from './target.ts'
import { codeOffset, dataAfter, rowKey } from './vector.ts'
import type { Vector } from './vector.ts'

const INVALID_OPCODE = 6
const GENERAL_PROTECTION = 13
const PAGE_FAULT = 14

const families = new Map(vectorFamilies().map((family) => [family, loadVectors(family)]))
const decoder = new Decoder(features())
const instruction = new Instruction()
const keys = rows.map(rowKey)

/** The instruction goes on past the code pages: #PF there, #GP where CS ends with them. */
function isFetchFault(vector: Vector): boolean {
  const fault = vector.mode === 16 ? GENERAL_PROTECTION : PAGE_FAULT
  return codeOffset(vector) + vector.code.length === CODE_SIZE && vector.exception?.vector === fault
}

/** What is wrong with the decoder's idea of a vector's bytes, '' if nothing. */
function misdecoded(vector: Vector): string {
  const { code, mode, row, exception } = vector
  const length = decoder.decode(code, 0, code.length, mode, instruction)
  if (exception?.vector === INVALID_OPCODE && length === DecodeFailure.INVALID) return ''
  if (exception?.vector === GENERAL_PROTECTION && length === DecodeFailure.TOO_LONG) return ''
  if (length === DecodeFailure.TRUNCATED && isFetchFault(vector)) return ''
  if (length === code.length && keys[instruction.row] === row) return ''
  return `${mode}-bit ${hexBytes(code)} of ${row}: length ${length}, row ${length > 0 ? keys[instruction.row] : 'none'}`
}

/** Executes CMC, CLC and BSWAP of 64 bits, and nothing else right. */
const threeInstructions: VectorTarget = {
  name: 'three instructions',
  run(vector) {
    const state = vector.initial.slice()
    state[Word.RIP] += BigInt(vector.code.length)
    if (vector.row === 'F5') state[Word.RFLAGS] ^= Rflags.CF
    if (vector.row === 'F8') state[Word.RFLAGS] &= ~Rflags.CF
    if (vector.row === '0F C8+r Zv') {
      decoder.decode(vector.code, 0, vector.code.length, vector.mode, instruction)
      const swapped = new DataView(new ArrayBuffer(8))
      swapped.setBigUint64(0, state[instruction.rm])
      state[instruction.rm] = swapped.getBigUint64(0, true)
    }
    return { state, exception: undefined, data: dataAfter({ ...vector, writes: [] }) }
  },
}

/** Vectors of a row in 64-bit mode that complete. */
function completed(family: string, row: string): Vector[] {
  return families.get(family)!.vectors.filter((vector) => vector.row === row && vector.mode === 64 && !vector.exception)
}

describe('the recorded vectors', () => {
  it('cover every row of the opcode table, or there is a reason', () => {
    const missing = rowsWithoutVectors(rows, families.values())
    process.stdout.write(`${formatMissing(missing)}\n`)
    expect(missing.filter(({ reason }) => reason === '')).toEqual([])
  })

  it('are of rows that exist', () => {
    const known = new Set(keys)
    const strange = [...families.values()].flatMap((file) => file.vectors).filter((vector) => !known.has(vector.row))
    expect([...new Set(strange.map((vector) => vector.row))]).toEqual([])
  })

  it.each([...families.keys()])('decode to the row and length that they were recorded for: %s', (family) => {
    const wrong = families.get(family)!.vectors.map(misdecoded).filter((message) => message !== '')
    expect(wrong.slice(0, 10)).toEqual([])
  })

  it('agree with simple arithmetic', () => {
    const swaps = completed('general-0f', '0F C8+r Zv').filter((vector) => vector.code.some((byte) => (byte & 0xf8) === 0x48))
    const vectors = [...completed('general', 'F5'), ...completed('general', 'F8'), ...swaps]
    expect(vectors.length).toBeGreaterThan(150)
    expect(formatReport(runVectors(threeInstructions, vectors, rows))).toMatch(/ 0 wrong/)
  })

  it('show which row an engine gets wrong', () => {
    const report = runVectors(threeInstructions, [...completed('general', 'F5'), ...completed('general', 'F9')], rows)
    const failed = report.results.filter((result) => result.failed > 0)
    expect(failed.map((result) => result.mnemonic)).toEqual(['STC'])
    expect(formatReport(report)).toMatch(/F9 {2}STC: \d+ of \d+ wrong\n {4}seed \d+, 64-bit, at [0-9a-f]+: .*stc\n {4}RFLAGS: expected/)
  })

  it('report vectors of rows that are gone, and engines that throw', () => {
    const [vector] = completed('general', 'F5')
    const gone = runVectors(threeInstructions, [vector], [])
    expect(formatReport(gone)).toMatch(/record the vectors again/)
    const throwing = { name: 'throwing', run: () => { throw new Error('not today') } }
    expect(formatReport(runVectors(throwing, [vector], rows))).toMatch(/threw Error: not today/)
  })
})
