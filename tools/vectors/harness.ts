/** Builds the C harness, gives it candidates and reads what they did. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ByteReader, ByteWriter } from '../../test/vectors/bytes.ts'
import { backgroundData, DATA_SIZE, ldt } from '../../test/vectors/environment.ts'
import { WORDS } from '../../test/vectors/state.ts'
import type { CodeSize, State } from '../../test/vectors/state.ts'
import type { Exception, Patch } from '../../test/vectors/vector.ts'

/** One instruction to execute. */
export interface Experiment {
  readonly mode: CodeSize
  readonly code: Uint8Array
  readonly stopByInt3: boolean
  readonly initial: State
  readonly patches: readonly Patch[]
}

/** What it did; undefined if the process did not survive it. */
export type Observation = { readonly expected: State; readonly exception: Exception | undefined; readonly writes: readonly Patch[] } | undefined

const MODES: readonly CodeSize[] = [64, 32, 16]
const EXCEPTION = 1, LOST = 2
const STATE_BYTES = WORDS * 8
const INPUT_SIZE = 24 + STATE_BYTES

/** A compiled harness in a temporary folder; `close` removes it. */
export class Harness {
  private readonly folder = mkdtempSync(join(tmpdir(), 'vectors-'))

  constructor() {
    const flags = ['-O1', '-Wall', '-Wextra', '-Werror', '-fno-stack-protector', '-mno-red-zone', '-Wl,-z,now']
    execFileSync('gcc', [...flags, '-o', this.path('harness'), join(import.meta.dirname, 'harness.c')], { stdio: 'inherit' })
  }

  private path(name: string): string { return join(this.folder, name) }

  run(experiments: readonly Experiment[]): Observation[] {
    writeFileSync(this.path('input'), encodeExperiments(experiments))
    execFileSync(this.path('harness'), [this.path('input'), this.path('output')], { stdio: 'inherit' })
    const from = new ByteReader(readFileSync(this.path('output')))
    return experiments.map((experiment) => readObservation(from, experiment))
  }

  close(): void { rmSync(this.folder, { recursive: true }) }
}

function encodeExperiments(experiments: readonly Experiment[]): Uint8Array {
  const to = new ByteWriter()
  to.u32(experiments.length)
  to.u32(ldt.length)
  for (let i = 0; i < 16; i++) to.u64(ldt[i] ?? 0n)
  to.bytes(backgroundData().subarray(0, DATA_SIZE))
  for (const experiment of experiments) writeExperiment(to, experiment)
  return to.finish()
}

function writeExperiment(to: ByteWriter, experiment: Experiment): void {
  const { code, patches } = experiment
  to.u32(INPUT_SIZE + patches.reduce((sum, patch) => sum + 4 + patch.bytes.length, 0))
  to.u8(MODES.indexOf(experiment.mode))
  to.u8(experiment.stopByInt3 ? 1 : 0)
  to.u8(code.length)
  to.u8(patches.length)
  to.bytes(Uint8Array.from({ length: 16 }, (_, i) => code[i] ?? 0))
  for (const word of experiment.initial) to.u64(word)
  for (const patch of patches) {
    to.u16(patch.offset)
    to.u16(patch.bytes.length)
    to.bytes(patch.bytes)
  }
}

function readObservation(from: ByteReader, { mode }: Experiment): Observation {
  from.u32()
  const status = from.u8()
  const vector = from.u8()
  const patchCount = from.u16()
  const errorCode = Number(from.u64() & 0xffffn)
  const address = from.u64()
  const expected = BigUint64Array.from({ length: WORDS }, () => from.u64())
  const writes = Array.from({ length: patchCount }, () => {
    const offset = from.u16()
    return { offset, bytes: from.bytes(from.u16()).slice() }
  })
  if (status === LOST) return undefined
  if (mode !== 64) cutTo32(expected)
  const exception = status === EXCEPTION ? { vector, errorCode: hasErrorCode(vector) ? errorCode : 0, address: vector === 14 ? address : 0n } : undefined
  return { expected, exception, writes }
}

/** #DF #TS #NP #SS #GP #PF #AC; for the others the kernel leaves what was there before. */
function hasErrorCode(vector: number): boolean {
  return [8, 10, 11, 12, 13, 14, 17].includes(vector)
}

/** What compatibility mode leaves in the high halves is not defined. */
function cutTo32(state: State): void {
  for (let i = 0; i < 8; i++) state[i] &= 0xffffffffn
  for (let i = 8; i < 16; i++) state[i] = 0n
  state[16] &= 0xffffffffn
  state[20] = state[21] = 0n
}
