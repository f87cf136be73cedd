/** What the decoder needs to know of a row, packed into one number. */
import type { OpcodePattern } from '../isa/opcode.ts'
import type { OperandSpec } from '../isa/operands.ts'
import { rowOperands } from '../isa/operands.ts'
import type { Row } from '../isa/row.ts'
import { sizeClassOf } from './operand-size.ts'

/** What is known of a row, as bits. */
export const RowFlag = {
  MODRM: 1 << 0,
  LOCK: 1 << 1,
  /** F3 and F2 alike repeat. */
  REP: 1 << 2,
  /** F3 repeats while equal, F2 while not equal. */
  REPE: 1 << 3,
  /** The opcode's low three bits are a register; its low four are a condition. */
  OPCODE_REGISTER: 1 << 4,
  CONDITION: 1 << 5,
  /** ModRM.mod is ignored: always a register. */
  IGNORES_MOD: 1 << 6,
  /** ModRM.reg is a control or debug register. */
  CONTROL_REGISTER: 1 << 7,
  DEBUG_REGISTER: 1 << 8,
  /** REX.R or REX.B do not extend ModRM.reg or ModRM.rm: segment, MMX and x87 registers. */
  SHORT_REG: 1 << 9,
  SHORT_RM: 1 << 10,
  /** The only memory operand is ES:rDI. */
  ES_ONLY: 1 << 11,
  /** With REX.W, or REX.B, `alternates` has the row to use. */
  ALTERNATE_W: 1 << 12,
  ALTERNATE_B: 1 << 13,
  /** VEX.vvvv names an operand; where it does not it must be all ones. */
  VVVV: 1 << 14,
  /** The memory operand's index is a vector register. */
  VSIB: 1 << 15,
} as const

/** Bits 16 to 19 of a row's flags: an ImmediateKind. Bits 20 to 22: a SizeClass. */
export const IMMEDIATE_SHIFT = 16
export const SIZE_SHIFT = 20

export const ImmediateKind = {
  NONE: 0, UNSIGNED_8: 1, SIGNED_8: 2, UNSIGNED_16: 3, SIGNED_Z: 4, FULL: 5, FAR: 6, ENTER: 7, OFFSET: 8, ONE: 9,
} as const

const MODRM_METHODS = new Set(['E', 'G', 'R', 'M', 'V', 'W', 'U', 'P', 'Q', 'N', 'C', 'D'])

/** A row's RowFlag bits, ImmediateKind and SizeClass; `pattern` is its parsed opcode. */
export function rowFlags(row: Row, pattern: OpcodePattern): number {
  const specs = rowOperands(row)
  const { lock, repeat } = row.attributes
  const repeats = repeat === 'rep' ? RowFlag.REP : repeat === 'repe' ? RowFlag.REPE : 0
  const gathers = row.attributes.gathers === true ? RowFlag.VSIB : 0
  return (lock ? RowFlag.LOCK : 0) | gathers | repeats | patternFlags(pattern) | registerFlags(specs)
    | immediateKind(specs) << IMMEDIATE_SHIFT | sizeClassOf(row) << SIZE_SHIFT
}

function patternFlags(pattern: OpcodePattern): number {
  const grouped = pattern.reg.length > 0 || pattern.form !== 'any'
  return (grouped ? RowFlag.MODRM : 0)
    | (pattern.span === 8 ? RowFlag.OPCODE_REGISTER : 0)
    | (pattern.span === 16 ? RowFlag.CONDITION : 0)
}

function registerFlags(specs: readonly OperandSpec[]): number {
  const methods = new Set<string>(specs.map((spec) => spec.method))
  const any = (letters: string) => [...letters].some((letter) => methods.has(letter))
  const memory = specs.filter((spec) => spec.method === 'X' || spec.method === 'Y')
  return ([...methods].some((method) => MODRM_METHODS.has(method)) ? RowFlag.MODRM : 0)
    | (any('CD') ? RowFlag.IGNORES_MOD : 0)
    | (any('C') ? RowFlag.CONTROL_REGISTER : 0)
    | (any('D') ? RowFlag.DEBUG_REGISTER : 0)
    | (any('SP') ? RowFlag.SHORT_REG : 0)
    | (any('QN') || methods.has('ST') ? RowFlag.SHORT_RM : 0)
    | (any('HB') ? RowFlag.VVVV : 0)
    | (memory.length === 1 && memory[0].method === 'Y' ? RowFlag.ES_ONLY : 0)
}

function immediateKind(specs: readonly OperandSpec[]): number {
  const immediates = specs.filter((spec) => 'IJAOL'.includes(spec.method) || spec.method === 'constant')
  if (immediates.length === 0) return ImmediateKind.NONE
  if (immediates.length === 2) return ImmediateKind.ENTER
  const [{ method, type, signExtended }] = immediates
  if (method === 'O') return ImmediateKind.OFFSET
  if (method === 'A') return ImmediateKind.FAR
  if (method === 'L') return ImmediateKind.UNSIGNED_8
  if (method === 'constant') return ImmediateKind.ONE
  if (type === 'b') return signExtended || method === 'J' ? ImmediateKind.SIGNED_8 : ImmediateKind.UNSIGNED_8
  return type === 'w' ? ImmediateKind.UNSIGNED_16 : type === 'v' ? ImmediateKind.FULL : ImmediateKind.SIGNED_Z
}
