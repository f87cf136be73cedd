/**
 * Finds where two machines that ran in lockstep began to differ, and says so in a way that can be pasted into a bug report. Fresh pairs go
 * from the last checkpoint through the same steps (replay.ts): first the step is found, then the piece of it, a line of the interpreter's
 * or one run of a region (pieces.ts), and then the instruction in that region (culprit.ts).
 */
import { gpa } from '../../base/addresses.ts'
import { Decoder } from '../../cpu/decode/decoder.ts'
import { formatInstruction } from '../../cpu/decode/format.ts'
import { Instruction } from '../../cpu/decode/instruction.ts'
import { rows } from '../../cpu/isa/rows.ts'
import { FEATURE_NAMES } from '../../cpu/system/cpuid.ts'
import { is64Bit } from '../../cpu/system/mode.ts'
import type { RegionView } from '../../cpu/translator/translator.ts'
import type { Machine } from '../machine.ts'
import { findCulprit } from './culprit.ts'
import type { Culprit } from './culprit.ts'
import type { PairConfig, PairSnapshot, PairStep } from './pair.ts'
import { findPiece } from './pieces.ts'
import type { Piece } from './pieces.ts'
import { Replay } from './replay.ts'

/** Executions before pairs that search translate: what was hot in the first one has to be so here, and soon. */
const THRESHOLD = 20
/** A step that differs is tried again from within, in so many parts. */
const PARTS = 16
/** Instructions of a piece: what a region does without going back in a loop; or, where it is only wrong after many rounds, longer. */
const PIECE_SIZES = [1, 200, 5000]
/** Instructions of a region's run, and blocks of it, that are shown. */
const SHOWN = 40
const MAXIMUM_LENGTH = 15

/** What can be said, as lines of text. The last of `steps` is the one after which the machines differed. */
export function diagnose(config: PairConfig, checkpoint: PairSnapshot, steps: readonly PairStep[]): string[] {
  const { translationThreshold } = config
  for (const threshold of new Set([Math.min(translationThreshold ?? THRESHOLD, THRESHOLD), translationThreshold])) {
    const replay = new Replay({ ...config, translationThreshold: threshold }, checkpoint, steps).toDifference()
    if (replay !== undefined) return describe(nearest(replay))
  }
  return ['run again from the last checkpoint, the machines did not differ']
}

/** The shortest way to the difference that still leads there: fewer instructions are searched, and run again, sooner. */
function nearest(replay: Replay): Replay {
  const step = replay.lastStep(1).toDifference() ?? replay
  return step.lastStep(PARTS).toDifference() ?? step
}

function describe(replay: Replay): string[] {
  for (const size of PIECE_SIZES) {
    const piece = findPiece(replay, size)
    if (piece !== undefined) return [...describePiece(piece, findCulprit(replay, piece))]
  }
  return ['run again from the last checkpoint, the machines differed, but not region by region']
}

function* describePiece(piece: Piece, culprit: Culprit | undefined): Iterable<string> {
  const { after, from, pointers, entered } = piece
  const { interpreted } = after
  if (culprit !== undefined) yield* describeCulprit(interpreted, piece, culprit)
  const what = entered.length > 0 ? 'in translated code' : 'in interpreted code'
  yield `first different ${what}, in the ${pointers.length} instructions after instruction ${from}; after them:`
  yield* after.differences().map((line) => `  ${line}`)
  for (const region of culprit === undefined ? entered : [culprit.region]) yield* describeRegion(region)
  yield 'what the interpreter executed there:'
  const hidden = Math.max(0, Math.min(pointers.length - SHOWN, (culprit?.position ?? Infinity) - SHOWN / 2))
  if (hidden > 0) yield `  ... ${hidden} instructions`
  const mark = (position: number): string => (position === culprit?.position ? '>' : ' ')
  yield* pointers.slice(hidden, hidden + SHOWN).map((rip, n) => `${mark(hidden + n)} ${textAt(interpreted, rip)}`)
}

function* describeCulprit(machine: Machine, { from, pointers }: Piece, { position, differences }: Culprit): Iterable<string> {
  const rip = pointers[position]
  yield `instruction ${from + position + 1} goes wrong in translated code:`
  yield `  ${textAt(machine, rip)}`
  const { length, instruction } = decodeAt(machine, rip)
  const { opcode, mnemonic, operands } = rows[instruction.row]
  const { operandSize, addressSize } = instruction
  const sizes = `operand size ${operandSize}, address size ${addressSize}`
  if (length > 0) yield `  its row: ${opcode}  ${mnemonic} ${operands.join(',')}  (${sizes})`
  yield 'behind it there differ:'
  yield* differences.map((line) => `  ${line}`)
}

function* describeRegion({ plan, anchor, entries }: RegionView): Iterable<string> {
  const { id, tier, stores, blocks, pages } = plan
  const place = (at: number): string => `0x${BigInt.asUintN(64, anchor + BigInt(at)).toString(16)}`
  const instructions = blocks.reduce((sum, { count }) => sum + count, 0)
  yield `region ${id}: begins at ${place(blocks[0].at)}, has ${instructions} instructions in ${pages.length} pages, `
    + `${tier}, stores ${stores}, was entered ${entries} times; its blocks, and where they go on, branch to, or are expected to go:`
  for (const [number, { at, count, next, target, expected }] of blocks.slice(0, SHOWN).entries()) {
    yield `  ${number} at ${place(at)}: ${count} instructions; ${[next, target, ...expected].map((to) => (to < 0 ? '-' : to)).join(' ')}`
  }
  if (blocks.length > SHOWN) yield `  ... ${blocks.length - SHOWN} blocks`
}

/** An instruction pointer, the bytes there and what they mean, as far as the memory shows it now. */
function textAt(machine: Machine, rip: bigint): string {
  const { bytes, length, instruction } = decodeAt(machine, rip)
  const place = `0x${rip.toString(16)}`
  if (length <= 0) return place
  const hex = [...bytes.subarray(0, length)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return `${place}  ${hex.padEnd(2 * MAXIMUM_LENGTH)}  ${formatInstruction(instruction, rip)}`
}

interface Decoded { readonly bytes: Uint8Array, readonly length: number, readonly instruction: Instruction }

function decodeAt(machine: Machine, rip: bigint): Decoded {
  const bytes = codeAt(machine, rip)
  const instruction = new Instruction()
  const length = new Decoder(FEATURE_NAMES).decode(bytes, 0, bytes.length, is64Bit(machine.vcpu.processor.state) ? 64 : 32, instruction)
  return { bytes, length, instruction }
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
