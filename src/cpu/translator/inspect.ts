/** One piece of guest code, and what the translator makes of it: for people who want to see it. */
import { formatInstruction } from '../decode/format.ts'
import { Decoder } from '../decode/decoder.ts'
import { Instruction } from '../decode/instruction.ts'
import { rowOperands } from '../isa/operands.ts'
import { rows } from '../isa/rows.ts'
import { disassembleFunction } from '../wasm/disassembler.ts'
import { EXIT_KIND_MASK, EXIT_WORDS, ExitKind, RegionExit } from './exits.ts'
import type { PlannedBlock, RegionPlan } from './plan.ts'
import { RegionTranslator } from './translate.ts'

const PAGE_SIZE = 4096
/** Functions with a body that stand before the first region's in a module: the one that staggers, and `materialise`. */
const FUNCTIONS_BEFORE = 2
/** What ends a straight line for good. */
const AWAY = new Set(['JMP', 'JMP_INDIRECT', 'RET', 'CALL_INDIRECT', 'UD2', 'HLT'])

export interface Inspection {
  /** Address (from 0), bytes and text of each instruction. */
  readonly instructions: readonly { readonly at: number; readonly bytes: string; readonly text: string }[]
  /** Blocks of the region, and where they go: another block, or out (-1). */
  readonly blocks: readonly PlannedBlock[]
  readonly exits: readonly { readonly at: number; readonly kind: string }[]
  readonly wasm: readonly string[]
}

/**
 * Translates code (64-bit mode, at most a page, entered at its first byte) as one region, with every branch inside it followed.
 * Undefined if it cannot be decoded, or an instruction is left to the interpreter: `reason` is told which.
 */
export function inspectRegion(code: Uint8Array, features: ReadonlySet<string>): Inspection | { readonly reason: string } {
  const instructions = decodeAll(code, new Decoder(features))
  if ('reason' in instructions) return instructions
  const page = new Uint8Array(PAGE_SIZE)
  page.set(code)
  const blocks = planBlocks(instructions)
  try {
    const plan: RegionPlan = { id: 1, tier: 'quick', stores: 'early', pages: [{ delta: 0, bytes: page }], blocks, entries: [0] }
    const { bytes, regions: [region] } = new RegionTranslator(features).translate([plan])
    return { instructions: instructions.map(({ at, bytes: own, text }) => ({ at, bytes: own, text })), blocks, exits: exitsOf(region.exits), wasm: disassembleFunction(bytes, FUNCTIONS_BEFORE) }
  } catch {
    return { reason: 'an instruction in it is always left to the interpreter' }
  }
}

interface Decoded { readonly at: number; readonly end: number; readonly bytes: string; readonly text: string; readonly target: number; readonly goesOn: boolean }

function decodeAll(code: Uint8Array, decoder: Decoder): Decoded[] | { readonly reason: string } {
  const found: Decoded[] = []
  const instruction = new Instruction()
  for (let at = 0; at < code.length;) {
    const length = decoder.decode(code, at, code.length, 64, instruction)
    if (length <= 0) return { reason: `the bytes at ${at} are no instruction` }
    const row = rows[instruction.row]
    const branches = rowOperands(row)[0]?.method === 'J'
    found.push({
      at, end: at + length, text: formatInstruction(instruction, BigInt(at)),
      bytes: Array.from(code.subarray(at, at + length), (byte) => byte.toString(16).padStart(2, '0')).join(' '),
      target: branches ? at + length + instruction.immediate : -1,
      goesOn: !AWAY.has(row.mnemonic),
    })
    at += length
  }
  return found
}

function planBlocks(instructions: readonly Decoded[]): PlannedBlock[] {
  const leaders = new Set([0])
  for (const { end, target, goesOn } of instructions) {
    if (target >= 0) leaders.add(target)
    if (target >= 0 || !goesOn) leaders.add(end)
  }
  const starts = instructions.map(({ at }) => at).filter((at) => leaders.has(at))
  return starts.map((start, number) => {
    const own = instructions.filter(({ at }) => at >= start && at < (starts[number + 1] ?? Infinity))
    const last = own[own.length - 1]
    return { at: start, count: own.length, next: last.goesOn ? starts.indexOf(last.end) : -1, target: starts.indexOf(last.target), expected: [] }
  })
}

function exitsOf(words: Int32Array): { at: number; kind: string }[] {
  const names = new Map<number, string>(Object.entries(ExitKind).map(([name, kind]) => [kind, name]))
  return Array.from({ length: words.length / EXIT_WORDS }, (_, exit) => ({
    at: words[exit * EXIT_WORDS + RegionExit.AT],
    kind: names.get(words[exit * EXIT_WORDS + RegionExit.KIND] & EXIT_KIND_MASK) ?? '?',
  }))
}
