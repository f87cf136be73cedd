/**
 * The opcode table compiled for one kind of mode and one set of features: arrays that take the decoder from opcode bytes to a row and
 * from a row to what it needs to know about it.
 */
import { unreachable } from '../../base/errors.ts'
import type { OpcodePattern } from '../isa/opcode.ts'
import { parseOpcode } from '../isa/opcode.ts'
import type { OperandSpec } from '../isa/operands.ts'
import { operandSizeRule, rowOperands } from '../isa/operands.ts'
import type { Row } from '../isa/row.ts'

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
} as const

/** Bits 16 to 19 of a row's flags: an ImmediateKind. Bits 20 to 22: a SizeClass. */
export const IMMEDIATE_SHIFT = 16
export const SIZE_SHIFT = 20

export const ImmediateKind = {
  NONE: 0, UNSIGNED_8: 1, SIGNED_8: 2, UNSIGNED_16: 3, SIGNED_Z: 4, FULL: 5, FAR: 6, ENTER: 7, OFFSET: 8, ONE: 9,
} as const

/** Operand size rules with the defaults of 64-bit mode. */
export const SizeClass = { FIXED: 0, B: 1, Z: 2, Y: 3, Y_F64: 4, V: 5, V_D64: 6, V_F64: 7 } as const

/** Columns of the opcode maps. */
export const Column = { NONE: 0, OPERAND_SIZE: 1, F3: 2, F2: 3 } as const

/** Cells of a group: by ModRM.reg for memory forms, then by the six low bits of ModRM for register forms. */
export const GROUP_CELLS = 8 + 64
export const INVALID_ROW = -1

export interface OpcodeTable {
  /**
   * Indexed by map * 1024 + column * 256 + opcode: a row; or INVALID_ROW; or, below that, -2 - g, where group g's cells in `groups`
   * (from g * GROUP_CELLS) hold a row or INVALID_ROW.
   */
  readonly opcodes: Int16Array
  readonly groups: Int16Array
  readonly flags: Int32Array
  readonly alternates: Int16Array
}

/** One candidate for a cell: higher weights win. */
interface Candidate {
  readonly row: number
  readonly weight: number
  readonly rex?: OpcodePattern['rex']
}

type Cells = (readonly Candidate[])[]

/** Compiles `rows` for 64-bit mode or for the other modes. Rows whose feature is missing do not exist. */
export function compileOpcodeTable(rows: readonly Row[], features: ReadonlySet<string>, mode64: boolean): OpcodeTable {
  const flags = Int32Array.from(rows, (row) => rowFlags(row))
  const alternates = new Int16Array(rows.length).fill(INVALID_ROW)
  const slots = new Map<number, Cells>()
  rows.forEach((row, index) => {
    if (exists(row, features, mode64)) place(row, index, slots)
  })
  const opcodes = new Int16Array(4 * 4 * 256).fill(INVALID_ROW)
  const groups: number[][] = []
  for (const [slot, cells] of slots) {
    const chosen = cells.map((candidates) => choose(candidates, rows, flags, alternates))
    opcodes[slot] = chosen.every((row) => row === chosen[0]) ? chosen[0] : -1 - groups.push(chosen)
  }
  return { opcodes, groups: Int16Array.from(groups.flat()), flags, alternates }
}

function exists(row: Row, features: ReadonlySet<string>, mode64: boolean): boolean {
  const { feature, only64, invalid64 } = row.attributes
  return (feature === undefined || features.has(feature)) && !(mode64 ? invalid64 : only64)
}

/** Enters a row in every slot and cell that its pattern matches. */
function place(row: Row, index: number, slots: Map<number, Cells>): void {
  const pattern = parseOpcode(row)
  const matching = [...Array(GROUP_CELLS).keys()].filter((cell) => matches(pattern, cell))
  const claimed = pattern.prefix === '66' || pattern.prefix === 'F3' || pattern.prefix === 'F2'
  const weight = (claimed ? 1000 : 0) + GROUP_CELLS - matching.length
  for (const column of columns(pattern)) {
    for (let opcode = pattern.opcode; opcode < pattern.opcode + pattern.span; opcode++) {
      const slot = pattern.map * 1024 + column * 256 + opcode
      const cells: Cells = slots.get(slot) ?? Array.from({ length: GROUP_CELLS }, () => [])
      slots.set(slot, cells)
      for (const cell of matching) cells[cell] = [...cells[cell], { row: index, weight, rex: pattern.rex }]
    }
  }
}

function columns(pattern: OpcodePattern): number[] {
  switch (pattern.prefix) {
    case 'any': return [Column.NONE, Column.OPERAND_SIZE, Column.F3, Column.F2]
    case 'NFx': return [Column.NONE, Column.OPERAND_SIZE]
    case 'NP': return [Column.NONE]
    case '66': return [Column.OPERAND_SIZE]
    case 'F3': return [Column.F3]
    case 'F2': return [Column.F2]
  }
}

function matches(pattern: OpcodePattern, cell: number): boolean {
  const memory = cell < 8
  const reg = memory ? cell : (cell - 8) >> 3
  if (pattern.reg.length > 0 && !pattern.reg.includes(reg)) return false
  if (pattern.form !== 'any' && (pattern.form === 'mem') !== memory) return false
  return pattern.rm === undefined || (!memory && (cell & 7) === pattern.rm)
}

/** The row of a cell. A row that needs a REX bit set or clear shares the cell with the heaviest one that does not. */
function choose(candidates: readonly Candidate[], rows: readonly Row[], flags: Int32Array, alternates: Int16Array): number {
  const special = heaviest(candidates.filter((candidate) => candidate.rex !== undefined), rows)
  const plain = heaviest(candidates.filter((candidate) => candidate.rex === undefined), rows)?.row ?? INVALID_ROW
  if (special === undefined) return plain
  const [primary, alternate] = special.rex === 'w1' ? [plain, special.row] : [special.row, plain]
  flags[primary] |= special.rex === 'w1' ? RowFlag.ALTERNATE_W : RowFlag.ALTERNATE_B
  alternates[primary] = alternate
  return primary
}

function heaviest(candidates: readonly Candidate[], rows: readonly Row[]): Candidate | undefined {
  const [first, second] = candidates.toSorted((a, b) => b.weight - a.weight)
  if (second !== undefined && second.weight === first.weight) {
    unreachable(`opcodes ${rows[first.row].opcode} and ${rows[second.row].opcode} overlap in the opcode table`)
  }
  return first
}

const MODRM_METHODS = new Set(['E', 'G', 'R', 'M', 'V', 'W', 'U', 'P', 'Q', 'N', 'C', 'D'])

function rowFlags(row: Row): number {
  const specs = rowOperands(row)
  const { lock, repeat } = row.attributes
  const repeats = repeat === 'rep' ? RowFlag.REP : repeat === 'repe' ? RowFlag.REPE : 0
  return (lock ? RowFlag.LOCK : 0) | repeats | patternFlags(parseOpcode(row)) | registerFlags(specs)
    | immediateKind(specs) << IMMEDIATE_SHIFT | sizeClass(row) << SIZE_SHIFT
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
    | (memory.length === 1 && memory[0].method === 'Y' ? RowFlag.ES_ONLY : 0)
}

function immediateKind(specs: readonly OperandSpec[]): number {
  const immediates = specs.filter((spec) => 'IJAO'.includes(spec.method) || spec.method === 'constant')
  if (immediates.length === 0) return ImmediateKind.NONE
  if (immediates.length === 2) return ImmediateKind.ENTER
  const [{ method, type, signExtended }] = immediates
  if (method === 'O') return ImmediateKind.OFFSET
  if (method === 'A') return ImmediateKind.FAR
  if (method === 'constant') return ImmediateKind.ONE
  if (type === 'b') return signExtended || method === 'J' ? ImmediateKind.SIGNED_8 : ImmediateKind.UNSIGNED_8
  return type === 'w' ? ImmediateKind.UNSIGNED_16 : type === 'v' ? ImmediateKind.FULL : ImmediateKind.SIGNED_Z
}

function sizeClass(row: Row): number {
  const { d64, f64 } = row.attributes
  switch (operandSizeRule(row)) {
    case 'fixed': return SizeClass.FIXED
    case 'b': return SizeClass.B
    case 'z': return SizeClass.Z
    case 'y': return f64 ? SizeClass.Y_F64 : SizeClass.Y
    case 'v': return f64 ? SizeClass.V_F64 : d64 ? SizeClass.V_D64 : SizeClass.V
  }
}
