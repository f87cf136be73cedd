/** Turns decoded instructions into records: chooses the handler and lays out what it reads. */
import { immediateRegister } from '../decode/instruction.ts'
import type { Instruction } from '../decode/instruction.ts'
import { rowOperands } from '../isa/operands.ts'
import type { OperandSpec } from '../isa/operands.ts'
import { isVex } from '../isa/row.ts'
import type { Row } from '../isa/row.ts'
import { rows } from '../isa/rows.ts'
import { Gpr, Segment, Slot } from '../state/layout.ts'
import type { CodeContext } from './code-context.ts'
import type { FormTables } from './engine-image.ts'
import { rowBases } from './engine-image.ts'
import { AddressClass, addressClass, addressesMemory, extraKind } from './form.ts'
import type { AddressClassCode, ExtraKind } from './form.ts'
import { Record } from './record.ts'

/** How a register field of the record is filled. */
const Fill = { NONE: 0, GPR: 1, GPR8: 2, XMM: 3, MMX: 4, NUMBER: 5 } as const
type FillCode = (typeof Fill)[keyof typeof Fill]

/** What an instruction does to the straight line. */
export const Flow = {
  /** Goes on. */
  NEXT: 0,
  /** May branch to its J operand, else goes on. */
  CONDITIONAL: 1,
  /** Always goes elsewhere. */
  AWAY: 2,
  /** Goes on, but what follows must not be decoded before it has run. */
  BARRIER: 3,
} as const

/** Which part of the FPU state the row needs: see CodeContext. */
const Unit = { NONE: 0, X87: 1, WAIT: 2, MMX: 3, SSE: 4, AVX: 5 } as const

interface RowPlan {
  readonly base: number
  readonly extra: ExtraKind
  readonly addresses: boolean
  readonly viaModRm: boolean
  readonly reg: FillCode
  readonly rm: FillCode
  readonly vvvv: FillCode
  readonly branches: boolean
  readonly offsetInCode: boolean
  readonly shifts: boolean
  readonly pops: boolean
  readonly gathers: boolean
  readonly flow: number
  readonly unit: number
  readonly protectedOnly: boolean
}

const CALLS = new Set(['CALL', 'CALL_INDIRECT'])
const COMPUTED = new Set(['JMP_INDIRECT', 'CALL_INDIRECT'])
const AWAY = new Set(['JMP', 'JMP_INDIRECT', 'CALL', 'CALL_INDIRECT', 'RET'])

export class RecordWriter {
  private readonly plans: readonly RowPlan[]
  private readonly handlers: Uint16Array
  private readonly u8: Uint8Array
  private readonly u16: Uint16Array
  private readonly i32: Int32Array
  private readonly slot: number

  constructor(buffer: ArrayBuffer | SharedArrayBuffer, slot: number, tables: FormTables) {
    const bases = rowBases()
    this.plans = rows.map((row, index) => planRow(row, bases[index]))
    this.handlers = tables.handlers
    this.u8 = new Uint8Array(buffer)
    this.u16 = new Uint16Array(buffer)
    this.i32 = new Int32Array(buffer)
    this.slot = slot
  }

  flow(instruction: Instruction): number { return this.plans[instruction.row].flow }
  branches(instruction: Instruction): boolean { return this.plans[instruction.row].branches }
  isComputed(instruction: Instruction): boolean { return COMPUTED.has(rows[instruction.row].mnemonic) }
  isReturn(instruction: Instruction): boolean { return rows[instruction.row].mnemonic === 'RET' }
  isCall(instruction: Instruction): boolean { return CALLS.has(rows[instruction.row].mnemonic) }

  /** Vector of the exception that stands in for the instruction in this context, or 0. */
  refusal(instruction: Instruction, context: CodeContext): number {
    const plan = this.plans[instruction.row]
    if (plan.protectedOnly && context.real) return 6
    switch (plan.unit) {
      case Unit.X87: return context.x87
      case Unit.WAIT: return context.wait
      case Unit.MMX: return context.mmx
      case Unit.SSE: return context.sse
      case Unit.AVX: return context.avx
      default: return 0
    }
  }

  /** A number for the instruction's form, below `formCount`; the same for branches inside and out of their page. */
  formOf(instruction: Instruction): number {
    const plan = this.plans[instruction.row]
    const address = plan.addresses ? addressClass(instruction, plan.viaModRm) : AddressClass.NONE
    return plan.base + this.shape(instruction, plan, address, false)
  }
  get formCount(): number { return this.handlers.length }

  /**
   * Writes the record at `at`. `offset` is the instruction's place in its page, `target` where its branch goes, relative to the page.
   * A branch that is not `far` still needs its LINK.
   */
  write(at: number, instruction: Instruction, offset: number, target: number, far: boolean): void {
    const plan = this.plans[instruction.row]
    const { u16, i32 } = this
    const half = at >>> 1
    const word = at >>> 2
    const address = plan.addresses ? addressClass(instruction, plan.viaModRm) : AddressClass.NONE
    normalise(instruction, plan)
    u16[half + (Record.HANDLER >> 1)] = this.handlers[plan.base + this.shape(instruction, plan, address, far)]
    this.u8[at + Record.LENGTH] = instruction.length
    this.u8[at + Record.SCALE] = instruction.scale | (instruction.addressSize === 16 ? 0x80 : 0)
    u16[half + (Record.REG >> 1)] = this.register(plan.reg, instruction.reg, instruction.rex)
    u16[half + (Record.RM >> 1)] = this.register(plan.rm, instruction.rm, instruction.rex)
    this.writeAddress(half, word, instruction, offset)
    if (plan.vvvv !== Fill.NONE) {
      u16[half + (Record.VVVV >> 1)] = this.register(plan.vvvv, instruction.vvvv, true)
      u16[half + (Record.IMMEDIATE_REGISTER >> 1)] = this.register(Fill.XMM, immediateRegister(instruction), true)
    } else i32[word + (Record.LINK >> 2)] = instruction.immediate2
    u16[half + (Record.PAGE_OFFSET >> 1)] = offset
    if (plan.branches) this.writeImmediate(word, target, target >> 31)
    else if (plan.offsetInCode) this.writeImmediate(word, instruction.displacement, instruction.displacementHigh)
    else this.writeImmediate(word, instruction.immediate, instruction.immediateHigh)
  }

  private writeImmediate(word: number, low: number, high: number): void {
    this.i32[word + (Record.IMMEDIATE >> 2)] = low
    this.i32[word + (Record.IMMEDIATE >> 2) + 1] = high
  }

  private writeAddress(half: number, word: number, instruction: Instruction, offset: number): void {
    const { u16, slot } = this
    const gpr = (register: number): number => (register < 0 ? slot + Slot.ZERO : slot + Slot.GPR + register * 8)
    const relative = instruction.base === 16
    u16[half + (Record.BASE >> 1)] = relative ? slot + Slot.RIP_PAGE : gpr(instruction.base)
    u16[half + (Record.INDEX >> 1)] = gpr(instruction.index)
    this.i32[word + (Record.DISPLACEMENT >> 2)] = instruction.displacement + (relative ? offset + instruction.length : 0)
    u16[half + (Record.SEGMENT >> 1)] = slot + segmentPlace(instruction)
  }

  private register(fill: FillCode, number: number, rex: boolean): number {
    switch (fill) {
      case Fill.GPR: return this.slot + Slot.GPR + number * 8
      case Fill.GPR8: return number >= 4 && number < 8 && !rex
        ? this.slot + Slot.GPR + (number - 4) * 8 + 1
        : this.slot + Slot.GPR + number * 8
      case Fill.XMM: return this.slot + Slot.YMM + number * 32
      case Fill.MMX: return this.slot + Slot.X87 + (number & 7) * 16
      case Fill.NUMBER: return number
      default: return 0
    }
  }

  /** The same as `shapeIndex` of form.ts, without an object. */
  private shape(instruction: Instruction, plan: RowPlan, address: AddressClassCode, far: boolean): number {
    const size = instruction.operandSize
    const sizeIndex = size === 8 ? 0 : size === 16 ? 1 : size === 32 ? 2 : 3
    const legacy = instruction.codeSize === 64 ? 0 : 2
    const lock = instruction.lock ? 1 : 0
    return ((extraOf(instruction, plan, far) * 6 + address) * 4 + sizeIndex) * 4 + legacy + lock
  }
}

/** Offset in the slot of the effective segment's base. */
function segmentPlace({ codeSize, segment }: Instruction): number {
  if (codeSize !== 64 || segment >= Segment.FS) return Slot.SEGMENT_BASE + segment * 8
  return segment === Segment.SS ? Slot.STACK_ZERO : Slot.ZERO
}

function extraOf(instruction: Instruction, plan: RowPlan, far: boolean): number {
  switch (plan.extra) {
    case 'none': return 0
    case 'condition': return instruction.condition
    case 'condition-branch': return instruction.condition + (far ? 16 : 0)
    case 'branch': return Number(far)
    case 'repeat': return instruction.repeat
    case 'shift': return instruction.immediate === 0 ? 1 : 0
  }
}

/** Folds what is the same for every engine into the operands. */
function normalise(instruction: Instruction, plan: RowPlan): void {
  if (plan.shifts) instruction.immediate &= instruction.operandSize === 64 ? 63 : 31
  if (plan.gathers) {
    instruction.immediate = instruction.index | instruction.scale << 4
    instruction.index = -1
    instruction.scale = 0
  }
  // POP computes a destination address after the stack pointer has moved.
  if (plan.pops && instruction.mod !== 3 && instruction.base === Gpr.RSP) {
    instruction.displacement = (instruction.displacement + instruction.operandSize / 8) | 0
  }
}

function planRow(row: Row, base: number): RowPlan {
  const operands = rowOperands(row)
  const byMethod = (methods: string): OperandSpec | undefined =>
    operands.find((operand) => methods.includes(operand.method) && operand.method.length === 1)
  const rmOperand = byMethod('ERZWUQN') ?? operands.find((operand) => operand.method === 'ST' && operand.register === undefined)
  const extra = extraKind(row, operands)
  return {
    base, extra,
    addresses: addressesMemory(row, operands),
    viaModRm: byMethod('EMWQ') !== undefined,
    reg: fillOf(byMethod('GVPSCD')),
    rm: fillOf(rmOperand),
    vvvv: fillOf(byMethod('HB')),
    branches: operands[0]?.method === 'J',
    offsetInCode: byMethod('O') !== undefined,
    shifts: extra === 'shift',
    pops: row.mnemonic === 'POP',
    gathers: row.attributes.gathers === true,
    flow: flowOf(row, operands),
    unit: unitOf(row, operands),
    protectedOnly: row.attributes.protectedOnly === true,
  }
}

function fillOf(operand: OperandSpec | undefined): FillCode {
  if (operand === undefined) return Fill.NONE
  if ('GBERZ'.includes(operand.method)) return operand.type === 'b' ? Fill.GPR8 : Fill.GPR
  if ('VWUHL'.includes(operand.method)) return Fill.XMM
  return 'PQN'.includes(operand.method) ? Fill.MMX : Fill.NUMBER
}

function flowOf(row: Row, operands: readonly OperandSpec[]): number {
  if (AWAY.has(row.mnemonic)) return Flow.AWAY
  if (operands[0]?.method === 'J') return Flow.CONDITIONAL
  return row.attributes.ends === true ? Flow.BARRIER : Flow.NEXT
}

function unitOf(row: Row, operands: readonly OperandSpec[]): number {
  if (isVex(row)) return row.attributes.feature?.startsWith('BMI') === true ? Unit.NONE : Unit.AVX
  if (operands.some((operand) => 'VWU'.includes(operand.method)) || row.mnemonic === 'LDMXCSR' || row.mnemonic === 'STMXCSR') return Unit.SSE
  if (operands.some((operand) => 'PQN'.includes(operand.method)) || row.mnemonic === 'EMMS') return Unit.MMX
  if (row.mnemonic === 'FWAIT') return Unit.WAIT
  return /^D[89A-F]\b/.test(row.opcode.replace(/^(NP|66|F3|F2|NFx) /, '')) ? Unit.X87 : Unit.NONE
}
