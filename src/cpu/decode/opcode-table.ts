/**
 * The opcode table compiled for one kind of mode and one set of features: arrays that take the decoder from opcode bytes to a row
 * and from a row to what it needs to know about it.
 */
import { unreachable } from '../../base/errors.ts'
import type { OpcodePattern } from '../isa/opcode.ts'
import { parseOpcode } from '../isa/opcode.ts'
import type { Row } from '../isa/row.ts'
import { RowFlag, rowFlags } from './row-flags.ts'

/** Columns of the opcode maps. */
export const Column = { NONE: 0, OPERAND_SIZE: 1, F3: 2, F2: 3 } as const

/** Cells of a group: by ModRM.reg for memory forms, then by the six low bits of ModRM for register forms. */
export const GROUP_CELLS = 8 + 64
export const INVALID_ROW = -1

export interface OpcodeTable {
  /**
   * Indexed by block * 4096 + map * 1024 + column * 256 + opcode (block 0 without VEX, then vexBlock): a row; or INVALID_ROW; or, below that, -2 - g, where group g's cells in `groups`
   * (from g * GROUP_CELLS) hold a row or INVALID_ROW.
   */
  readonly opcodes: Int16Array
  readonly groups: Int16Array
  readonly flags: Int32Array
  readonly alternates: Int16Array
}

const BLOCK_SLOTS = 4 * 4 * 256
const BLOCKS = 5
const SLOTS = BLOCKS * BLOCK_SLOTS

/** The block of slots of VEX encodings, by VEX.L and VEX.W (0 or 1). */
export const vexBlock = (l: number, w: number): number => 1 + l * 2 + w

/** A slot while the table is built, as if it had a group: for each cell a row, and whether it claims the slot's prefix. */
interface DraftSlot { readonly cells: Int16Array; readonly claimed: Uint8Array }

interface Draft {
  /** Slots with any row. */
  readonly slots: (DraftSlot | undefined)[]
  readonly flags: Int32Array
  readonly alternates: Int16Array
}

/** Compiles `rows` for 64-bit mode (`long`) and for the other modes (`legacy`). Rows whose feature is missing do not exist. */
export function compileOpcodeTables(rows: readonly Row[], features: ReadonlySet<string>): Record<'long' | 'legacy', OpcodeTable> {
  const patterns = rows.map(parseOpcode)
  const flags = Int32Array.from(rows, (row, n) => rowFlags(row, patterns[n]))
  const present = [...rows.keys()].filter((n) => isEnabled(rows[n], features))
  const long = present.filter((n) => !rows[n].attributes.invalid64)
  const legacy = present.filter((n) => !rows[n].attributes.only64)
  return { long: compileTable(rows, patterns, flags, long), legacy: compileTable(rows, patterns, flags, legacy) }
}

function isEnabled(row: Row, features: ReadonlySet<string>): boolean {
  const { feature } = row.attributes
  return feature === undefined || features.has(feature)
}

function compileTable(
  rows: readonly Row[], patterns: readonly OpcodePattern[], flags: Int32Array, present: readonly number[],
): OpcodeTable {
  const draft: Draft = {
    slots: Array.from({ length: SLOTS }),
    flags: flags.slice(),
    alternates: new Int16Array(rows.length).fill(INVALID_ROW),
  }
  for (const row of present) if (patterns[row].rex === undefined) place(row, patterns[row], draft, rows)
  // Those that need a REX bit share their cells with those that do not.
  for (const row of present) if (patterns[row].rex !== undefined) placeAlternate(row, patterns[row], draft)
  return { ...compressSlots(draft), flags: draft.flags, alternates: draft.alternates }
}

/** Enters a row in every cell that its pattern matches. */
function place(row: number, pattern: OpcodePattern, draft: Draft, rows: readonly Row[]): void {
  const claims = claimsPrefix(pattern)
  const matching = matchingCells(pattern)
  for (const slot of matchingSlots(pattern)) {
    const known = draft.slots[slot]
    if (known === undefined && matching === CELLS) draft.slots[slot] = newSlot(row, claims)
    else {
      const there = draft.slots[slot] = known ?? newSlot(INVALID_ROW, 0)
      for (const cell of matching) placeCell(row, cell, claims, there, rows)
    }
  }
}

const newSlot = (row: number, claims: number): DraftSlot =>
  ({ cells: new Int16Array(GROUP_CELLS).fill(row), claimed: new Uint8Array(GROUP_CELLS).fill(claims) })

/** A row that claims the prefix displaces one that only accepts it; two of a kind are a mistake in the table. */
function placeCell(row: number, index: number, claims: number, { cells, claimed }: DraftSlot, rows: readonly Row[]): void {
  const other = cells[index]
  if (other !== INVALID_ROW && claimed[index] === claims) overlap(rows[other], rows[row])
  if (other !== INVALID_ROW && claimed[index] > claims) return
  cells[index] = row
  claimed[index] = claims
}

function overlap(first: Row, second: Row): never {
  return unreachable(`opcodes ${first.opcode} and ${second.opcode} overlap in the opcode table`)
}

/** Enters a row that needs REX.W set, beside the one there, or one that needs REX.B clear, in front of it. */
function placeAlternate(row: number, pattern: OpcodePattern, { slots, flags, alternates }: Draft): void {
  const matching = matchingCells(pattern)
  for (const slot of matchingSlots(pattern)) {
    const { cells } = slots[slot] ??= newSlot(INVALID_ROW, 0)
    for (const cell of matching) {
      const other = cells[cell]
      if (pattern.rex === 'w1') {
        flags[other] |= RowFlag.ALTERNATE_W
        alternates[other] = row
      } else {
        flags[row] |= RowFlag.ALTERNATE_B
        alternates[row] = (flags[other] & RowFlag.ALTERNATE_B) !== 0 ? alternates[other] : other
        cells[cell] = row
      }
    }
  }
}

/** Slots whose cells are all alike need no group. */
function compressSlots({ slots }: Draft): Pick<OpcodeTable, 'opcodes' | 'groups'> {
  const opcodes = new Int16Array(SLOTS).fill(INVALID_ROW)
  const groups: Int16Array[] = []
  slots.forEach((slot, n) => {
    if (slot === undefined) return
    opcodes[n] = isUniform(slot.cells) ? slot.cells[0] : -2 - groups.length
    if (opcodes[n] < INVALID_ROW) groups.push(slot.cells)
  })
  const joined = new Int16Array(groups.length * GROUP_CELLS)
  groups.forEach((group, n) => joined.set(group, n * GROUP_CELLS))
  return { opcodes, groups: joined }
}

function isUniform(group: Int16Array): boolean {
  let cell = 1
  while (cell < GROUP_CELLS && group[cell] === group[0]) cell++
  return cell === GROUP_CELLS
}

function claimsPrefix(pattern: OpcodePattern): 0 | 1 {
  return pattern.prefix === '66' || pattern.prefix === 'F3' || pattern.prefix === 'F2' ? 1 : 0
}

function matchingSlots(pattern: OpcodePattern): number[] {
  const slots: number[] = []
  for (const block of blocks(pattern)) {
    for (const column of columns(pattern)) {
      const first = block * BLOCK_SLOTS + pattern.map * 1024 + column * 256 + pattern.opcode
      for (let slot = first; slot < first + pattern.span; slot++) slots.push(slot)
    }
  }
  return slots
}

function blocks({ vex }: OpcodePattern): number[] {
  if (vex === undefined) return [0]
  const lengths = vex.length === undefined ? [0, 1] : [vex.length === 256 ? 1 : 0]
  return lengths.flatMap((l) => (vex.w === undefined ? [0, 1] : [vex.w]).map((w) => vexBlock(l, w)))
}

const CELLS = [...Array(GROUP_CELLS).keys()]

function matchingCells(pattern: OpcodePattern): readonly number[] {
  if (pattern.reg.length === 0 && pattern.form === 'any') return CELLS
  return CELLS.filter((cell) => matches(pattern, cell))
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
