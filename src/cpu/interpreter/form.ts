/**
 * A form is an instruction with its operands left open: one handler serves all records of a form. What distinguishes forms is what
 * their code depends on: mnemonic, sizes, where the operands are, how addresses are made, prefixes that matter.
 */
import type { Instruction, OperandSize } from '../decode/instruction.ts'
import type { OperandSpec } from '../isa/operands.ts'
import type { Row } from '../isa/row.ts'
import { Segment } from '../state/layout.ts'

/**
 * How a memory operand's (or string's) address is made, cheapest first: base; base and index; base, index and FS or GS; the same in
 * 32 bits; any addressing outside 64-bit mode. `none`: the instruction addresses no memory by itself.
 */
export const AddressClass = { NONE: 0, BASE: 1, INDEX: 2, GENERAL: 3, ADDRESS32: 4, LEGACY: 5 } as const
export type AddressClassCode = (typeof AddressClass)[keyof typeof AddressClass]

/** The part of an instruction that chooses its form, for a given row. */
export interface Shape {
  readonly operandSize: OperandSize
  readonly address: AddressClassCode
  /** Outside 64-bit mode. */
  readonly legacy: boolean
  readonly lock: boolean
  /** Condition, repeat prefix, zero shift count, target in another page: what the row's `extra` kind says. */
  readonly extra: number
}

/** What the `extra` dimension of a row means, and how many values it has. */
export type ExtraKind = 'none' | 'condition' | 'condition-branch' | 'branch' | 'repeat' | 'shift'
const EXTRA_COUNT: Record<ExtraKind, number> = { none: 1, condition: 16, 'condition-branch': 32, branch: 2, repeat: 3, shift: 2 }

const SHIFTS = new Set(['SHL', 'SHR', 'SAR', 'ROL', 'ROR', 'RCL', 'RCR', 'SHLD', 'SHRD'])
/** Instructions that use the address size without a memory operand. */
const IMPLICIT_ADDRESS = new Set(['XLAT', 'LOOP', 'LOOPE', 'LOOPNE', 'JCXZ', 'MASKMOVQ', 'MASKMOVDQU'])

export function extraKind(row: Row, operands: readonly OperandSpec[]): ExtraKind {
  const branches = operands[0]?.method === 'J'
  if (row.opcode.endsWith('+cc')) return branches ? 'condition-branch' : 'condition'
  if (branches) return 'branch'
  if (row.attributes.repeat !== undefined) return 'repeat'
  if (SHIFTS.has(row.mnemonic) && operands.at(-1)?.method === 'I') return 'shift'
  return 'none'
}

export const extraCount = (kind: ExtraKind): number => EXTRA_COUNT[kind]

/** Whether the row addresses memory in some encoding, so that its address class matters. */
export function addressesMemory(row: Row, operands: readonly OperandSpec[]): boolean {
  return IMPLICIT_ADDRESS.has(row.mnemonic) || operands.some((operand) => 'EMOXYWQ'.includes(operand.method) && operand.method.length === 1)
}

/** Whether the address class can be NONE although the row may address memory: a register in ModRM. */
export function mayBeRegister(row: Row, operands: readonly OperandSpec[]): boolean {
  return operands.some((operand) => operand.method === 'E' || operand.method === 'W' || operand.method === 'Q') && !IMPLICIT_ADDRESS.has(row.mnemonic)
}

/** The address class of a decoded instruction whose row addresses memory. */
export function addressClass(instruction: Instruction, viaModRm: boolean): AddressClassCode {
  if (viaModRm && instruction.mod === 3) return AddressClass.NONE
  if (instruction.codeSize !== 64) return AddressClass.LEGACY
  if (instruction.addressSize !== 64) return AddressClass.ADDRESS32
  if (instruction.segment === Segment.FS || instruction.segment === Segment.GS || !viaModRm) return AddressClass.GENERAL
  return instruction.index >= 0 ? AddressClass.INDEX : AddressClass.BASE
}

/** Dense index of a shape within its row's table. */
export function shapeIndex(shape: Shape): number {
  const size = shape.operandSize === 8 ? 0 : shape.operandSize === 16 ? 1 : shape.operandSize === 32 ? 2 : 3
  return (((shape.extra * 6 + shape.address) * 4 + size) * 2 + Number(shape.legacy)) * 2 + Number(shape.lock)
}

export const shapeCount = (kind: ExtraKind): number => EXTRA_COUNT[kind] * 96
