import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { reciprocal, reciprocalSquareRoot } from './approximate.ts'
import {
  addSubtract32, addSubtract64, arithmetic32, arithmetic64, compare32, compare64, compareFlags32, compareFlags64, dotProduct32,
  dotProduct64, horizontal32, horizontal64,
} from './sse.ts'
import {
  binary32To64, binary32ToInteger, binary64To32, binary64ToInteger, integerTo32, integerTo64, round32, round64,
} from './sse-convert.ts'
import { fused32, fused64, fusedLanes32, fusedLanes64 } from './sse-fused.ts'
import { binary16To32, binary32To16 } from './sse-half.ts'
import { SseOperation } from './sse-lanes.ts'
import type { SseOperationCode } from './sse-lanes.ts'
import { SseStatus } from './sse-status.ts'
import { parseVectors } from './vector-file.ts'
import type { VectorSection } from './vector-file.ts'

/*
 * Every SSE floating-point instruction against what a processor did (tools/vectors/x87/sse-vectors.c, recorded on an AMD EPYC of
 * family 19h): results, MXCSR, RFLAGS, and whether it trapped. Only the approximations, which processors choose, are compared by
 * their error instead.
 */

/** Word indices of the operands and the result. */
const A = 0, B = 4, C = 8, RAX = 12, TO = 16, RAX_TO = 20
const words = new Uint32Array(24)
const bytes = new Uint8Array(words.buffer)
const status = new SseStatus()

/** Fields of a record, see `struct record` in the generator. */
const Record = {
  MXCSR: 0, IMMEDIATE: 2, OPERANDS: 3, MXCSR_AFTER: 59, FLAGS_AFTER: 61, TRAPPED: 62, RESULT: 63, RAX_AFTER: 79,
} as const

/** What an instruction does: RFLAGS for comparisons, nothing for others. */
type Run = (immediate: number) => number | void

const lanes = (count: number, run: (lane: number) => void): void => { for (let lane = 0; lane < count; lane++) run(lane) }
const runs: { [name: string]: Run } = {}

for (const [name, operation] of Object.entries(SseOperation) as [string, SseOperationCode][]) {
  const lower = name.toLowerCase()
  runs[`${lower}ss`] = () => arithmetic32(operation, words, TO, A, B, 1, status)
  runs[`${lower}ps`] = () => arithmetic32(operation, words, TO, A, B, 4, status)
  runs[`${lower}sd`] = () => arithmetic64(operation, words, TO, A, B, 1, status)
  runs[`${lower}pd`] = () => arithmetic64(operation, words, TO, A, B, 2, status)
}
for (const quiet of [false, true]) {
  const u = quiet ? 'u' : ''
  runs[`${u}comiss`] = () => compareFlags32(words[A], words[B], quiet, status)
  runs[`${u}comisd`] = () => compareFlags64(words, A, B, quiet, status)
}
runs.cmpps = immediate => compare32(immediate, words, TO, A, B, 4, status)
runs.cmppd = immediate => compare64(immediate, words, TO, A, B, 2, status)
runs.vcmpss = immediate => compare32(immediate, words, TO, A, B, 1, status)
runs.vcmpsd = immediate => compare64(immediate, words, TO, A, B, 1, status)
runs.cvtss2sd = () => binary32To64(words, TO, words[B], status)
runs.cvtps2pd = () => lanes(2, lane => binary32To64(words, TO + lane * 2, words[B + lane], status))
runs.cvtsd2ss = () => { words[TO] = binary64To32(words, B, status) }
runs.cvtpd2ps = () => lanes(2, lane => { words[TO + lane] = binary64To32(words, B + lane * 2, status) })
const signOf = (word: number): number => (word | 0) >> 31
runs['cvtsi2ss r32'] = () => { words[TO] = integerTo32(words[RAX], signOf(words[RAX]), status) }
runs['cvtsi2ss r64'] = () => { words[TO] = integerTo32(words[RAX], words[RAX + 1], status) }
runs['cvtsi2sd r32'] = () => integerTo64(words, TO, words[RAX], signOf(words[RAX]), status)
runs['cvtsi2sd r64'] = () => integerTo64(words, TO, words[RAX], words[RAX + 1], status)
runs.cvtdq2ps = () => lanes(4, lane => { words[TO + lane] = integerTo32(words[B + lane], signOf(words[B + lane]), status) })
runs.cvtdq2pd = () => lanes(2, lane => integerTo64(words, TO + lane * 2, words[B + lane], signOf(words[B + lane]), status))
for (const truncate of [false, true]) {
  const t = truncate ? 't' : ''
  for (const bits of [32, 64] as const) {
    runs[`cvt${t}ss2si r${bits}`] = () => binary32ToInteger(words, RAX_TO, words[B], bits, truncate, status)
    runs[`cvt${t}sd2si r${bits}`] = () => binary64ToInteger(words, RAX_TO, B, bits, truncate, status)
  }
  runs[`cvt${t}ps2dq`] = () => lanes(4, lane => binary32ToInteger(words, TO + lane, words[B + lane], 32, truncate, status))
  runs[`cvt${t}pd2dq`] = () => lanes(2, lane => binary64ToInteger(words, TO + lane, B + lane * 2, 32, truncate, status))
}
runs.roundss = immediate => { words[TO] = round32(immediate, words[B], status) }
runs.roundps = immediate => lanes(4, lane => { words[TO + lane] = round32(immediate, words[B + lane], status) })
runs.roundsd = immediate => round64(immediate, words, TO, B, status)
runs.roundpd = immediate => lanes(2, lane => round64(immediate, words, TO + lane * 2, B + lane * 2, status))
runs.dpps = immediate => dotProduct32(immediate, words, TO, A, B, 4, status)
runs.dppd = immediate => dotProduct64(immediate, words, TO, A, B, status)
for (const [name, operation] of [['hadd', SseOperation.ADD], ['hsub', SseOperation.SUB]] as const) {
  runs[`${name}ps`] = () => horizontal32(operation, words, TO, A, B, status)
  runs[`${name}pd`] = () => horizontal64(operation, words, TO, A, B, status)
}
runs.addsubps = () => addSubtract32(words, TO, A, B, status)
runs.addsubpd = () => addSubtract64(words, TO, A, B, status)
runs.vfmadd132ss = () => { words[TO] = fused32(0, words[A], words[C], words[B], status) }
runs.vfmadd213ss = () => { words[TO] = fused32(0, words[B], words[A], words[C], status) }
runs.vfmadd231ss = () => { words[TO] = fused32(0, words[B], words[C], words[A], status) }
runs.vfmadd231sd = () => fused64(0, words, TO, B, C, A, status)
runs.vfmsub231sd = () => fused64(1, words, TO, B, C, A, status)
runs.vfnmadd231sd = () => fused64(2, words, TO, B, C, A, status)
runs.vfmadd213ps = () => fusedLanes32([0, 0], words, TO, B, A, C, 4, status)
runs.vfnmsub213pd = () => fusedLanes64([3, 3], words, TO, B, A, C, 2, status)
runs.vfmsub132pd = () => fusedLanes64([1, 1], words, TO, A, C, B, 2, status)
runs.vfnmadd132ps = () => fusedLanes32([2, 2], words, TO, A, C, B, 4, status)
runs.vfmaddsub231ps = () => fusedLanes32([1, 0], words, TO, B, C, A, 4, status)
runs.vfmsubadd213pd = () => fusedLanes64([0, 1], words, TO, B, A, C, 2, status)
const half = (lane: number): number => (words[B + (lane >> 1)] >>> ((lane & 1) * 16)) & 0xffff
runs.vcvtph2ps = () => lanes(4, lane => { words[TO + lane] = binary16To32(half(lane), status) })
runs.vcvtps2ph = immediate => lanes(4, lane => {
  words[TO + (lane >> 1)] |= binary32To16(immediate, words[B + lane], status) << ((lane & 1) * 16)
})
runs.vfnmsub231ss = () => { words[TO] = fused32(3, words[B], words[C], words[A], status) }

/** Loads a record's operands; results start as XMM0 does, or as zero for the part that a record leaves out. */
function loadOperands(section: VectorSection, record: Uint8Array): void {
  bytes.set(record.subarray(Record.OPERANDS, Record.OPERANDS + 56))
  words.fill(0, TO, RAX_TO)
  const keepsDestination = /^cvt.*(2ss|2sd|2si)/.test(section.name)
  if (keepsDestination) words.copyWithin(TO, A, B)
  words.copyWithin(RAX_TO, RAX, RAX + 2)
}

function hex(data: Uint8Array): string { return Array.from(data, byte => byte.toString(16).padStart(2, '0')).reverse().join('') }

function differences(section: VectorSection, record: Uint8Array): string[] {
  const view = new DataView(record.buffer, record.byteOffset, section.size)
  const mxcsr = view.getUint16(Record.MXCSR, true)
  loadOperands(section, record)
  status.load(mxcsr)
  const flags = runs[section.name](view.getUint8(Record.IMMEDIATE))
  const found: string[] = []
  const check = (what: string, got: string, wanted: string): void => {
    if (got !== wanted) found.push(`${what} ${got}, processor ${wanted}`)
  }
  check('MXCSR', (mxcsr | status.raised).toString(16), view.getUint16(Record.MXCSR_AFTER, true).toString(16))
  check('trapped', String(status.faults), String(view.getUint8(Record.TRAPPED) !== 0))
  if (status.faults) return found
  if (typeof flags === 'number') check('flags', flags.toString(16), (view.getUint8(Record.FLAGS_AFTER) & 0xd5).toString(16))
  else check('result', hex(bytes.subarray(TO * 4, TO * 4 + 16)), hex(record.subarray(Record.RESULT, Record.RESULT + 16)))
  if (section.name.includes('2si')) check('integer', hex(bytes.subarray(80, 88)), hex(record.subarray(Record.RAX_AFTER)))
  return found
}

function runSection(section: VectorSection): string[] {
  const failures: string[] = []
  for (let n = 0; n < section.count; n++) {
    const record = section.records.subarray(n * section.size, (n + 1) * section.size)
    const found = differences(section, record)
    if (found.length === 0) continue
    const [a, b, c] = [3, 19, 35].map(at => hex(record.subarray(at, at + 16)))
    const input = `MXCSR ${hex(record.subarray(0, 2))} imm ${record[2].toString(16)} a ${a} b ${b} c ${c}`
    failures.push(`#${n} ${input}: ${found.join('; ')}`)
  }
  return failures
}

function asFloat(bits: number): number {
  words[0] = bits
  return new Float32Array(words.buffer)[0]
}

/** Approximations: special cases alike, and ordinary ones nearer to the processor's than the sum of both errors. */
function runApproximation(section: VectorSection, run: (bits: number) => number): string[] {
  const failures: string[] = []
  const view = new DataView(section.records.buffer)
  for (let n = 0; n < section.count; n++) {
    const operand = view.getUint32(n * section.size + Record.OPERANDS + 16, true)
    const wanted = view.getUint32(n * section.size + Record.RESULT, true)
    const got = run(operand)
    const ratio = asFloat(got) / asFloat(wanted)
    const borderline = (got & 0x7f800000) === 0 || (wanted & 0x7f800000) === 0
    if (got !== wanted && !(Math.abs(ratio - 1) < 3 * 2 ** -12) && !(borderline && (got ^ wanted) >>> 23 < 2)) {
      failures.push(`${operand.toString(16)}: ${got.toString(16)}, processor ${wanted.toString(16)}`)
    }
  }
  return failures
}

describe('SSE instructions do what the processor did', () => {
  const file = gunzipSync(readFileSync(new URL('../../../test/vectors/float/sse.bin.gz', import.meta.url)))
  for (const section of parseVectors(file)) {
    const approximation = { rcpss: reciprocal, rsqrtss: reciprocalSquareRoot }[section.name]
    test(section.name, () => {
      const failures = approximation === undefined ? runSection(section) : runApproximation(section, approximation)
      expect(failures.slice(0, 4)).toEqual([])
    })
  }
})
