/** Runs vectors on an engine and tells what it got wrong, by row. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { brotliDecompressSync } from 'node:zlib'
import { differences, hexBytes } from './compare.ts'
import { excluded } from './excluded.ts'
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
  /** Only rows for which this holds. */
  readonly only?: (row: NamedRow) => boolean
  /** The instruction in words, for messages. */
  readonly disassemble?: (vector: Vector) => string
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
    else if (result.failed++ === 0) result.example = describeFailure(vector, wrong, options)
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

function describeFailure(vector: Vector, wrong: readonly string[], { disassemble }: RunOptions): string {
  const text = disassemble ? `  ${disassemble(vector)}` : ''
  const head = `seed ${vector.seed}, ${vector.mode}-bit, at ${vector.initial[Word.RIP].toString(16)}: ${hexBytes(vector.code)}${text}`
  return [head, ...wrong.slice(0, 12)].join('\n    ')
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

/** Rows that have no vectors, each with the reason; '' where none is known. */
export function rowsWithoutVectors(rows: readonly NamedRow[], families = vectorFamilies()): { row: string; mnemonic: string; reason: string }[] {
  const covered = new Set(families.flatMap((family) => loadVectors(family).vectors.map((vector) => vector.row)))
  return rows
    .filter((row) => !covered.has(rowKey(row)))
    .map((row) => ({ row: rowKey(row), mnemonic: row.mnemonic, reason: excluded[row.mnemonic] ?? '' }))
}
