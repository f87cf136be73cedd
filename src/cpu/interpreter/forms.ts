/** Enumerates every form that the opcode table can produce, and names the form of each row and shape. Used when the engine is built. */
import { Instruction } from '../decode/instruction.ts'
import type { OperandSize } from '../decode/instruction.ts'
import { operandBits, operandSizeRule, rowOperands } from '../isa/operands.ts'
import type { OperandSpec } from '../isa/operands.ts'
import type { Row } from '../isa/row.ts'
import { rows } from '../isa/rows.ts'
import { definitionOf } from '../semantics/define.ts'
import type { Definition } from '../semantics/define.ts'
import type { FormSample } from './site.ts'
import { AddressClass, addressesMemory, extraCount, extraKind, mayBeRegister } from './form.ts'
import type { AddressClassCode, ExtraKind, Shape } from './form.ts'

export interface EnumeratedForm {
  readonly key: string
  /** The form whose outlined handler serves this one's records too. */
  readonly outlinedKey: string
  readonly sample: FormSample
  readonly row: number
  readonly shape: Shape
}

/** Every (row, shape) with its form; several may share a key. Rows without a definition are left out: see `undefinedMnemonics`. */
export function enumerateForms(): EnumeratedForm[] {
  return rows.flatMap((row, index) => formsOfRow(row, index))
}

export function undefinedMnemonics(): string[] {
  return [...new Set(rows.map((row) => row.mnemonic))].filter((mnemonic) => definitionOf(mnemonic) === undefined)
}

function formsOfRow(row: Row, index: number): EnumeratedForm[] {
  const operands = rowOperands(row)
  const kind = extraKind(row, operands)
  const found: EnumeratedForm[] = []
  for (const legacy of [false, true]) {
    if (legacy ? row.attributes.only64 : row.attributes.invalid64) continue
    for (const operandSize of operandSizes(row, legacy)) {
      for (const address of addressClasses(row, operands, legacy)) {
        for (const lock of row.attributes.lock && address !== AddressClass.NONE ? [false, true] : [false]) {
          for (let extra = 0; extra < extraCount(kind); extra++) {
            const form = makeForm(row, index, operands, kind, { operandSize, address, legacy, lock, extra })
            if (form !== undefined) found.push(form)
          }
        }
      }
    }
  }
  return found
}

function operandSizes(row: Row, legacy: boolean): OperandSize[] {
  switch (operandSizeRule(row)) {
    case 'b': return [8]
    case 'z': return [16, 32]
    case 'y': return legacy ? [32] : [32, 64]
    case 'v': return legacy ? [16, 32] : [16, 32, 64]
    case 'fixed': return [32]
  }
}

function addressClasses(row: Row, operands: readonly OperandSpec[], legacy: boolean): AddressClassCode[] {
  if (!addressesMemory(row, operands)) return [AddressClass.NONE]
  const viaModRm = operands.some((operand) => 'EMWQ'.includes(operand.method))
  const register = mayBeRegister(row, operands) ? [AddressClass.NONE] : []
  if (legacy) return [...register, AddressClass.LEGACY]
  return [...register, ...(viaModRm ? [AddressClass.BASE, AddressClass.INDEX] : []), AddressClass.GENERAL, AddressClass.ADDRESS32]
}

function makeForm(
  row: Row, index: number, operands: readonly OperandSpec[], kind: ExtraKind, shape: Shape,
): EnumeratedForm | undefined {
  const zeroShift = kind === 'shift' && shape.extra === 1
  const definition = definitionOf(zeroShift ? 'SHIFT_BY_ZERO' : row.mnemonic)
  if (definition === undefined) return undefined
  const instruction = sampleInstruction(index, kind, shape)
  const crossesPage = (kind === 'branch' && shape.extra === 1) || (kind === 'condition-branch' && shape.extra >= 16)
  const sample: FormSample = { instruction, row, operands, definition, shape, crossesPage }
  const key = formKey(sample, kind, shape)
  const narrowed = shape.address === AddressClass.BASE || shape.address === AddressClass.INDEX
  const outlinedKey = narrowed ? formKey(sample, kind, { ...shape, address: AddressClass.GENERAL }) : key
  return { key, outlinedKey, sample, row: index, shape }
}

function sampleInstruction(row: number, kind: ExtraKind, shape: Shape): Instruction {
  const instruction = new Instruction()
  instruction.row = row
  instruction.codeSize = shape.legacy ? 32 : 64
  instruction.operandSize = shape.operandSize
  instruction.addressSize = shape.legacy || shape.address === AddressClass.ADDRESS32 ? 32 : 64
  instruction.mod = shape.address === AddressClass.NONE ? 3 : 0
  instruction.lock = shape.lock
  if (kind === 'condition' || kind === 'condition-branch') instruction.condition = shape.extra & 15
  if (kind === 'repeat') instruction.repeat = shape.extra as 0 | 1 | 2
  return instruction
}

const ADDRESS_NAMES = ['', 'base', 'index', 'general', 'address32', 'legacy']

/** A readable name: `ADD.32.rm,reg`, `MOV.64.reg,mem:index`, `Jcc.64.rel.e`. Equal names have equal code. */
function formKey(sample: FormSample, kind: ExtraKind, shape: Shape): string {
  const { definition, instruction, operands } = sample
  const places = operands.map((operand) => placeName(operand, sample, shape))
  const parts = [definition.mnemonic, String(shape.operandSize), places.join(',')]
  const usesAddress = shape.address !== AddressClass.NONE && !places.some((place) => place.includes(':'))
  if (usesAddress) parts.push(ADDRESS_NAMES[shape.address])
  if (kind === 'condition' || kind === 'condition-branch') parts.push(`cc${instruction.condition}`)
  if (kind === 'repeat' && shape.extra !== 0) parts.push(shape.extra === 1 ? 'rep' : 'repne')
  if (sample.crossesPage) parts.push('far')
  if (shape.lock) parts.push('lock')
  if (shape.legacy) parts.push('legacy')
  if (sample.row.attributes.unaligned === true) parts.push('unaligned')
  return parts.join('.')
}

function placeName(operand: OperandSpec, sample: FormSample, shape: Shape): string {
  const bits = operandBits(operand, sample.instruction)
  const memory = `mem${bits}:${ADDRESS_NAMES[shape.address]}`
  switch (operand.method) {
    case 'register': return `r${operand.register}:${bits}`.replace(':', '_')
    case 'constant': return `${operand.constant}`
    case 'M': return memory
    case 'O': return `moffs${bits}:${ADDRESS_NAMES[shape.address]}`
    case 'E': case 'W': case 'Q':
      return shape.address === AddressClass.NONE ? `${operand.method === 'E' ? 'rm' : operand.method === 'W' ? 'xm' : 'mm'}${bits}` : memory
    case 'R': case 'Z': return `rm${bits}`
    case 'B': return `rv${bits}`
    case 'G': return `reg${bits}`
    case 'V': return `x${bits}`
    case 'U': return `xm${bits}`
    case 'H': return `xv${bits}`
    case 'L': return `xi${bits}`
    case 'P': return `mmreg${bits}`
    case 'N': return `mm${bits}`
    case 'X': case 'Y': return `${operand.method}${bits}`
    case 'I': return `imm${operand.signExtended === true ? shape.operandSize : bits}`
    case 'J': return 'rel'
    case 'A': return `far${bits}`
    default: return `${operand.method}${operand.register ?? ''}`
  }
}

/** Definitions that no row uses. */
export function unusedDefinitions(definitions: readonly Definition[]): string[] {
  const used = new Set(rows.map((row) => row.mnemonic))
  return definitions.map((definition) => definition.mnemonic).filter((name) => !used.has(name) && name !== 'SHIFT_BY_ZERO')
}
