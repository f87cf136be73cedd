/**
 * Records test/vectors/data from the processor that it runs on: `npx vite-node tools/vectors/record.ts [family ...]`.
 * Needs gcc and Linux on x86-64, with modify_ldt and 32-bit programs enabled in the kernel, and a processor with every feature of the
 * opcode table.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, constants } from 'node:zlib'
import { rows } from '../../src/cpu/isa/rows.ts'
import type { Row } from '../../src/cpu/isa/row.ts'
import { DATA } from '../../test/vectors/environment.ts'
import { reasonWithout } from '../../test/vectors/excluded.ts'
import { encodeVectors } from '../../test/vectors/format.ts'
import type { VectorFileHeader } from '../../test/vectors/format.ts'
import type { CodeSize } from '../../test/vectors/state.ts'
import { rowKey } from '../../test/vectors/vector.ts'
import type { Vector } from '../../test/vectors/vector.ts'
import { encodingOf } from './encode.ts'
import { candidate, counts, isX87 } from './generate.ts'
import { Harness } from './harness.ts'
import type { Experiment, Observation } from './harness.ts'

const SEED = 20000
/** Bits 16 to 23 of MXCSR_MASK in an FXSAVE image. */
const MXCSR_MASK_BYTE = 30
const MODES: readonly CodeSize[] = [64, 32, 16]

interface Planned extends Experiment {
  readonly row: string
  readonly mnemonic: string
  readonly seed: number
  /** Offset of the memory operand in the data pages. */
  readonly area: number
}

/** The file that a row's vectors are in. */
function familyOf(row: Row): string {
  const encoding = encodingOf(row)
  const has = (methods: string) => encoding.operands.some((spec) => methods.includes(spec.method))
  if (isX87(encoding)) return 'x87'
  if (['BMI1', 'BMI2', 'LZCNT', 'ADX'].includes(row.attributes.feature ?? '')) return 'bmi'
  if (encoding.pattern.vex !== undefined) return vexFamilyOf(row)
  if (has('PQN')) return 'mmx'
  if (encoding.operands.some((spec) => ['ps', 'pd', 'ss', 'sd'].includes(spec.type))) return 'sse-float'
  if (has('VWU')) return 'sse-integer'
  if (row.attributes.invalid64) return 'legacy'
  return encoding.pattern.map === 0 ? 'general' : 'general-0f'
}

/** Over floating-point operands; otherwise by the feature. */
function vexFamilyOf(row: Row): string {
  const { feature } = row.attributes
  if (feature === 'FMA' || feature === 'F16C') return 'fma'
  if (/,?[VHWU](ps|pd|ss|sd)/.test(row.operands.join())) return 'avx-float'
  return feature === 'AVX2' ? 'avx2' : 'avx'
}

function plan(family: string): Planned[] {
  const planned: Planned[] = []
  let seed = SEED
  for (const row of rows) {
    if (familyOf(row) !== family || reasonWithout(row) !== undefined) continue
    const wanted = counts(encodingOf(row))
    for (const mode of MODES) {
      for (let turn = 0, made = 0; made < wanted[mode] && turn < wanted[mode] * 4; turn++, seed++) {
        const drafted = candidate(row, mode, turn, seed)
        if (drafted === undefined) continue
        made++
        const { draft, code, stopByInt3 } = drafted
        const area = Number(draft.address ?? 0) - DATA
        planned.push({ row: rowKey(row), mnemonic: row.mnemonic, seed, mode, code, stopByInt3, initial: draft.state, patches: draft.patches(), area })
      }
    }
  }
  return planned
}

/** Why an observation cannot be a vector, or undefined. */
function unusable(first: Observation, second: Observation): string | undefined {
  if (first === undefined || second === undefined) return 'the process did not survive it'
  if (!equal(first, second)) return 'two runs differ'
  // The kernel does not tell user programs whether its own pages are present.
  return first.exception && first.exception.address >> 47n !== 0n ? 'page fault in the kernel\'s half' : undefined
}

function equal(first: Observation, second: Observation): boolean {
  const text = (value: Observation) => JSON.stringify(value, (_key, part: unknown) => typeof part === 'bigint' ? part.toString() : part)
  return text(first) === text(second)
}

/**
 * MXCSR_MASK says what the processor supports: AMD's bit 17 (misaligned exception mask) is taken out, since the vectors are for
 * processors without it.
 */
function normalised(planned: readonly Planned[], observations: readonly Observation[]): Observation[] {
  return observations.map((observation, i) => {
    const { mnemonic, area } = planned[i]
    if (observation === undefined || observation.exception || !/^(FXSAVE|XSAVE|XSAVEOPT)$/.test(mnemonic)) return observation
    const writes = observation.writes.map((patch) => {
      const at = area + MXCSR_MASK_BYTE - patch.offset
      return at >= 0 && at < patch.bytes.length ? { ...patch, bytes: patch.bytes.with(at, 0) } : patch
    })
    return { ...observation, writes }
  })
}

function record(family: string, harness: Harness, header: VectorFileHeader): void {
  const planned = plan(family)
  const first = normalised(planned, harness.run(planned))
  const second = normalised(planned, harness.run(planned))
  const vectors: Vector[] = []
  const dropped = new Map<string, number>()
  planned.forEach((experiment, i) => {
    const reason = unusable(first[i], second[i])
    if (reason === undefined) vectors.push({ ...experiment, ...first[i]! })
    else dropped.set(`${experiment.mnemonic}: ${reason}`, (dropped.get(`${experiment.mnemonic}: ${reason}`) ?? 0) + 1)
  })
  const bytes = encodeVectors(header, vectors)
  const compressed = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 } })
  writeFileSync(join(import.meta.dirname, '../../test/vectors/data', `${family}.bin.br`), compressed)
  console.log(`${family}: ${vectors.length} vectors, ${bytes.length} bytes, ${compressed.length} compressed`)
  for (const [what, count] of dropped) console.log(`  dropped ${count} of ${what}`)
}

/** CPUID's names for the processor, from the kernel. */
function processor(): VectorFileHeader['processor'] {
  const info = readFileSync('/proc/cpuinfo', 'utf8')
  const field = (name: string) => new RegExp(`^${name}\\s*: (.*)$`, 'm').exec(info)?.[1] ?? ''
  return { vendor: field('vendor_id'), family: Number(field('cpu family')), model: Number(field('model')) }
}

const families = process.argv.length > 2 ? process.argv.slice(2) : [...new Set(rows.map(familyOf))]
const harness = new Harness()
try {
  for (const family of families) record(family, harness, { processor: processor(), seed: SEED })
} finally {
  harness.close()
}
