/**
 * Finds where two machines that ran in lockstep began to differ: takes a fresh pair from the last checkpoint through the same steps, and
 * in the last of them has the interpreter check what each region did, at its exit.
 */
import { gpa } from '../../base/addresses.ts'
import { Decoder } from '../../cpu/decode/decoder.ts'
import { formatInstruction } from '../../cpu/decode/format.ts'
import { Instruction } from '../../cpu/decode/instruction.ts'
import { FEATURE_NAMES } from '../../cpu/system/cpuid.ts'
import { is64Bit } from '../../cpu/system/mode.ts'
import { Slot } from '../../cpu/state/layout.ts'
import type { Machine } from '../machine.ts'
import { compareMemory, compareParts } from './compare.ts'
import { Pair } from './pair.ts'
import type { PairConfig, PairSnapshot, PairStep } from './pair.ts'

/** Executions before the second pair translates: what was hot in the first one has to be so here, and soon. */
const THRESHOLD = 20
/** Instructions shown of a region's run. */
const SHOWN = 40
const MAXIMUM_LENGTH = 15
/** Registers in the slot, as words: general ones, and YMM registers. */
const REGISTERS = [[Slot.GPR / 4, 32], [Slot.RIP / 4, 2], [Slot.YMM / 4, 128]] as const

/** A run of the translating machine, and the interpreter's way through it. */
interface Piece { readonly from: number, readonly pointers: readonly bigint[], readonly isTranslated: boolean }

/** What can be said, as lines of text. The last of `steps` is the one after which the machines differed. */
export function diagnose(config: PairConfig, checkpoint: PairSnapshot, steps: readonly PairStep[]): string[] {
  const again = (): Pair => {
    const pair = new Pair({ ...config, translationThreshold: Math.min(config.translationThreshold ?? THRESHOLD, THRESHOLD) })
    pair.restore(checkpoint)
    return pair
  }
  const found = findStep(again, steps)
  if (found === undefined) return ['run again from the last checkpoint, the machines did not differ']
  const pair = again()
  const piece = findPiece(pair, steps.slice(0, found.step + 1), found.watch)
  if (piece === undefined) return [`run again from the last checkpoint, they differed in step ${found.step}, but not region by region`]
  return describePiece(pair, piece)
}

/** The first step after which registers differ; or, where only memory does in the end, the address and when it first did. */
function findStep(again: () => Pair, steps: readonly PairStep[]): { readonly step: number, readonly watch?: number } | undefined {
  const pair = again()
  const step = firstDifferent(pair, steps)
  if (step >= 0) return { step }
  const [memory] = compareMemory(pair.interpreted, pair.translated)
  if (memory === undefined) return undefined
  const watch = Number(/0x[0-9a-f]+/.exec(memory)?.[0])
  return { step: firstDifferent(again(), steps, watch), watch }
}

function firstDifferent(pair: Pair, steps: readonly PairStep[], watch?: number): number {
  return steps.findIndex((step) => {
    runStep(pair, step)
    return differ(pair, watch)
  })
}

function runStep(pair: Pair, step: PairStep): void {
  pair.begin(step)
  pair.interpreted.runExactly(step.instructions)
  pair.translated.runExactly(step.instructions)
}

/** In the last step the machines go on region by region. */
function findPiece(pair: Pair, steps: readonly PairStep[], watch: number | undefined): Piece | undefined {
  const last = steps[steps.length - 1]
  for (const step of steps.slice(0, -1)) runStep(pair, step)
  pair.begin(last)
  const end = pair.interpreted.retired + last.instructions
  while (pair.interpreted.retired < end) {
    const piece = runPiece(pair)
    if (differ(pair, watch)) return piece
    if (piece.pointers.length === 0) break
  }
  return undefined
}

function runPiece({ interpreted, translated }: Pair): Piece {
  const from = translated.retired
  const before = translated.figures.translated
  // A repeated instruction may take several: it retires, and can be compared, at its end.
  do translated.runPiece()
  while (translated.vcpu.engine.repeats)
  const pointers: bigint[] = []
  while (interpreted.retired < translated.retired) {
    const { retired } = interpreted
    pointers.push(interpreted.vcpu.processor.state.rip)
    interpreted.runExactly(1)
    if (interpreted.retired === retired) break
  }
  return { from, pointers, isTranslated: translated.figures.translated > before }
}

function differ({ interpreted, translated }: Pair, watch: number | undefined): boolean {
  const [a, b] = [interpreted, translated].map(({ vcpu }) => vcpu.processor)
  if (interpreted.retired !== translated.retired || a.flags !== b.flags) return true
  if (watch !== undefined && interpreted.memory.readU32(gpa(watch)) !== translated.memory.readU32(gpa(watch))) return true
  return REGISTERS.some(([first, count]) => {
    const [atA, atB] = [a.state.slot / 4 + first, b.state.slot / 4 + first]
    for (let word = 0; word < count; word++) if (a.state.u32[atA + word] !== b.state.u32[atB + word]) return true
    return false
  })
}

function describePiece({ interpreted, translated }: Pair, { from, pointers, isTranslated }: Piece): string[] {
  const hidden = Math.max(0, pointers.length - SHOWN)
  const what = isTranslated ? 'in translated code' : 'in interpreted code'
  return [
    `first different ${what}, in the ${interpreted.retired - from} instructions after instruction ${from}:`,
    ...compareParts(interpreted, translated).map((line) => `  ${line}`),
    ...compareMemory(interpreted, translated).map((line) => `  ${line}`),
    'what the interpreter executed there:',
    ...(hidden > 0 ? [`  ... ${hidden} instructions`] : []),
    ...pointers.slice(hidden).map((rip) => `  ${textAt(interpreted, rip)}`),
  ]
}

/** An instruction pointer, the bytes there and what they mean, as far as the memory shows it now. */
function textAt(machine: Machine, rip: bigint): string {
  const bytes = codeAt(machine, rip)
  const instruction = new Instruction()
  const length = new Decoder(FEATURE_NAMES).decode(bytes, 0, bytes.length, is64Bit(machine.vcpu.processor.state) ? 64 : 32, instruction)
  const place = `0x${rip.toString(16)}`
  if (length <= 0) return place
  const hex = [...bytes.subarray(0, length)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return `${place}  ${hex.padEnd(2 * MAXIMUM_LENGTH)}  ${formatInstruction(instruction, rip)}`
}

function codeAt({ vcpu, memory }: Machine, rip: bigint): Uint8Array {
  const bytes = new Uint8Array(MAXIMUM_LENGTH)
  for (let n = 0; n < bytes.length; n++) {
    const at = rip + BigInt(n)
    const page = vcpu.processor.mmu.translateFetch(Number(BigInt.asIntN(32, at)), Number(BigInt.asIntN(32, at >> 32n)))
    if (page < 0) return bytes.subarray(0, n)
    bytes[n] = memory.readU8(gpa(page * 4096 + Number(at & 0xfffn)))
  }
  return bytes
}
