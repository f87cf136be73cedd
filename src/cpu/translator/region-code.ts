/** The instructions of a planned region, decoded, and where each of its blocks can go. */
import '../semantics/index.ts'
import { unreachable } from '../../base/errors.ts'
import { Instruction } from '../decode/instruction.ts'
import type { Decoder } from '../decode/decoder.ts'
import { extraKind } from '../interpreter/form.ts'
import { rowOperands } from '../isa/operands.ts'
import type { OperandSpec } from '../isa/operands.ts'
import { rows } from '../isa/rows.ts'
import { definitionOf } from '../semantics/define.ts'
import type { Definition } from '../semantics/define.ts'
import { Gpr } from '../state/layout.ts'
import type { PlacedInstruction } from './operations-base.ts'
import type { PlannedBlock, RegionPlan } from './plan.ts'

const PAGE_SIZE = 4096
const MAXIMUM_LENGTH = 15

export interface CodeBlock {
  readonly at: number
  readonly instructions: readonly PlacedInstruction[]
  /** First byte after the block. */
  readonly end: number
  /** Where its last instruction branches to, if that is a direct branch. */
  readonly target: number | undefined
  readonly plan: PlannedBlock
}

export class RegionCode {
  readonly blocks: readonly CodeBlock[]
  private readonly pages: ReadonlyMap<number, { index: number; bytes: Uint8Array }>
  private readonly decoder: Decoder
  private readonly bytes = new Uint8Array(MAXIMUM_LENGTH)

  constructor(plan: RegionPlan, decoder: Decoder) {
    this.decoder = decoder
    this.pages = new Map(plan.pages.map(({ delta, bytes }, index) => [delta, { index, bytes }]))
    this.blocks = plan.blocks.map((block) => this.decodeBlock(block))
  }

  /** Position in the plan of the page that holds an address, -1 for none. */
  pageOf(at: number): number { return this.pages.get(at >> 12)?.index ?? -1 }

  private decodeBlock(plan: PlannedBlock): CodeBlock {
    const { at, count } = plan
    const instructions: PlacedInstruction[] = []
    let next = at
    for (let n = 0; n < count; n++) {
      const placed = this.decodeAt(next)
      instructions.push(placed)
      next += placed.instruction.length
    }
    const last = instructions[count - 1]
    const branches = last.operands[0]?.method === 'J'
    return { at, instructions, end: next, target: branches ? next + last.instruction.immediate : undefined, plan }
  }

  private decodeAt(at: number): PlacedInstruction {
    const { bytes } = this
    let available = 0
    for (; available < MAXIMUM_LENGTH; available++) {
      const page = this.pages.get((at + available) >> 12)
      if (page === undefined) break
      bytes[available] = page.bytes[(at + available) & (PAGE_SIZE - 1)]
    }
    const instruction = new Instruction()
    if (this.decoder.decode(bytes, 0, available, 64, instruction) <= 0) unreachable('a planned instruction cannot be decoded')
    return place(instruction, at)
  }
}

/** An instruction with its row and definition, and with what is the same for every engine folded into its operands. */
export function place(instruction: Instruction, at: number): PlacedInstruction {
  const shape = shapeOf(instruction.row)
  const { row, operands } = shape
  if (shape.shifts) instruction.immediate &= instruction.operandSize === 64 ? 63 : 31
  // POP computes a destination address after the stack pointer has moved.
  if (row.mnemonic === 'POP' && instruction.mod !== 3 && instruction.base === Gpr.RSP) instruction.displacement += instruction.operandSize / 8
  const definition = shape.shifts && instruction.immediate === 0 ? shape.shiftByZero : shape.definition
  return { at, instruction, row, operands, definition }
}

interface RowShape {
  readonly row: PlacedInstruction['row']
  readonly operands: readonly OperandSpec[]
  readonly definition: Definition
  readonly shiftByZero: Definition
  readonly shifts: boolean
}
const shapes: (RowShape | undefined)[] = []

function shapeOf(index: number): RowShape {
  const known = shapes[index]
  if (known !== undefined) return known
  const row = rows[index]
  const operands = rowOperands(row)
  const named = (mnemonic: string): Definition => definitionOf(mnemonic) ?? unreachable(`${mnemonic} has no semantics`)
  const shape = { row, operands, definition: named(row.mnemonic), shiftByZero: named('SHIFT_BY_ZERO'), shifts: extraKind(row, operands) === 'shift' }
  shapes[index] = shape
  return shape
}
