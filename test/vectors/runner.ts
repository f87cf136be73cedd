/** Runs vectors on an engine and tells what it got wrong, by row. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { brotliDecompressSync } from 'node:zlib'
import { Decoder } from '../../src/cpu/decode/decoder.ts'
import { formatInstruction } from '../../src/cpu/decode/format.ts'
import { Instruction } from '../../src/cpu/decode/instruction.ts'
import { features } from '../../src/cpu/isa/rows.ts'
import { differences, hexBytes } from './compare.ts'
import { reasonWithout } from './excluded.ts'
import { decodeVectors } from './format.ts'
import type { VectorFile } from './format.ts'
import { Word } from './state.ts'
import type { VectorTarget } from './target.ts'
import { rowKey } from './vector.ts'
import type { Vector } from './vector.ts'

const DATA_FOLDER = join(import.meta.dirname, 'data')

/** The part of a row of src/cpu/isa that matters here. */
export interface NamedRow {
  readonly opcode: string
  readonly mnemonic: string
  readonly operands: readonly string[]
}

/** The files of test/vectors/data, without their suffix: `general`, `x87`. */
export function vectorFamilies(): string[] {
  return readdirSync(DATA_FOLDER).filter((name) => name.endsWith('.bin.br')).map((name) => name.slice(0, -'.bin.br'.length)).sort()
}

export function loadVectors(family: string): VectorFile {
  return decodeVectors(brotliDecompressSync(readFileSync(join(DATA_FOLDER, `${family}.bin.br`))))
}

export interface RowResult {
  readonly row: string
  readonly mnemonic: string
  passed: number
  failed: number
  /** What the first failure looks like, several lines. */
  example: string
}

export interface Report {
  readonly target: string
  readonly results: readonly RowResult[]
  readonly passed: number
  readonly failed: number
}

export interface RunOptions {
  /** Only rows for which this holds, all by default. */
  readonly only?: (row: NamedRow) => boolean
}

/**
 * Runs each vector on the target. Vectors of rows that are no longer in `rows` are failures: the data is to be recorded again.
 * What a target throws counts as a failure of that vector.
 */
export function runVectors(target: VectorTarget, vectors: readonly Vector[], rows: readonly NamedRow[], options: RunOptions = {}): Report {
  const byKey = new Map(rows.map((row) => [rowKey(row), row]))
  const results = new Map<string, RowResult>()
  for (const vector of vectors) {
    const row = byKey.get(vector.row)
    if (row && options.only && !options.only(row)) continue
    const result = results.get(vector.row) ?? { row: vector.row, mnemonic: row?.mnemonic ?? '(no such row)', passed: 0, failed: 0, example: '' }
    results.set(vector.row, result)
    const wrong = row ? check(target, vector, row.mnemonic) : ['no row of the opcode table has this key: record the vectors again']
    if (wrong.length === 0) result.passed++
    else if (result.failed++ === 0) result.example = describeFailure(vector, wrong)
  }
  const all = [...results.values()]
  const sum = (field: 'passed' | 'failed') => all.reduce((total, result) => total + result[field], 0)
  return { target: target.name, results: all, passed: sum('passed'), failed: sum('failed') }
}

function check(target: VectorTarget, vector: Vector, mnemonic: string): string[] {
  try {
    return differences(vector, mnemonic, target.run(vector))
  } catch (error) {
    return [`threw ${error instanceof Error ? error.stack ?? error.message : String(error)}`]
  }
}

function describeFailure(vector: Vector, wrong: readonly string[]): string {
  const rip = vector.initial[Word.RIP]
  const head = `seed ${vector.seed}, ${vector.mode}-bit, at ${rip.toString(16)}: ${hexBytes(vector.code)}  ${disassemble(vector, rip)}`
  return [head, ...wrong.slice(0, 12)].join('\n    ')
}

const decoder = new Decoder(features())
const instruction = new Instruction()

function disassemble({ code, mode }: Vector, rip: bigint): string {
  return decoder.decode(code, 0, code.length, mode, instruction) > 0 ? formatInstruction(instruction, rip) : '(invalid)'
}

/** The rows that failed, worst first, each with its first failure. */
export function formatReport(report: Report, limit = 20): string {
  const failed = report.results.filter((result) => result.failed > 0).sort((a, b) => b.failed - a.failed)
  const lines = [`${report.target}: ${report.passed} vectors right, ${report.failed} wrong, in ${failed.length} of ${report.results.length} rows`]
  for (const { row, mnemonic, passed, failed: wrong, example } of failed.slice(0, limit)) {
    lines.push(`  ${row}  ${mnemonic}: ${wrong} of ${passed + wrong} wrong`, `    ${example}`)
  }
  if (failed.length > limit) lines.push(`  and ${failed.length - limit} more rows: ${failed.slice(limit).map((result) => result.row).join('; ')}`)
  return lines.join('\n')
}

export interface MissingRow {
  readonly row: string
  readonly mnemonic: string
  /** Why there can be none; '' if there should be some. */
  readonly reason: string
}

/** The rows that have no vectors in the given files. */
export function rowsWithoutVectors(rows: readonly NamedRow[], files: Iterable<VectorFile>): MissingRow[] {
  const covered = new Set<string>()
  for (const file of files) for (const vector of file.vectors) covered.add(vector.row)
  return rows
    .filter((row) => !covered.has(rowKey(row)))
    .map((row) => ({ row: rowKey(row), mnemonic: row.mnemonic, reason: reasonWithout(row) ?? '' }))
}

/** One line for each reason, with its rows. */
export function formatMissing(missing: readonly MissingRow[]): string {
  const byReason = new Map<string, string[]>()
  for (const { row, mnemonic, reason } of missing) byReason.set(reason, [...byReason.get(reason) ?? [], `${mnemonic} (${row})`])
  const lines = [...byReason].map(([reason, list]) => `  ${reason || 'no reason known'}: ${list.join(', ')}`)
  return [`${missing.length} rows have no vectors:`, ...lines].join('\n')
}
