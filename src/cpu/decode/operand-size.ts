/** The effective operand size: SDM Vol. 1 §3.6 and Vol. 2D §A.2.5. */
import { operandSizeRule } from '../isa/operands.ts'
import type { Row } from '../isa/row.ts'
import type { CodeSize, OperandSize } from './instruction.ts'

/** Operand size rules with the defaults of 64-bit mode. */
export const SizeClass = { FIXED: 0, B: 1, Z: 2, Y: 3, Y_F64: 4, V: 5, V_D64: 6, V_F64: 7 } as const

/** The SizeClass of a row. */
export function sizeClassOf(row: Row): number {
  const { d64, f64 } = row.attributes
  switch (operandSizeRule(row)) {
    case 'fixed': return SizeClass.FIXED
    case 'b': return SizeClass.B
    case 'z': return SizeClass.Z
    case 'y': return f64 ? SizeClass.Y_F64 : SizeClass.Y
    case 'v': return f64 ? SizeClass.V_F64 : d64 ? SizeClass.V_D64 : SizeClass.V
  }
}

/** Operand sizes for the decoder, by mode (0, 32 or 64 for the code sizes) | SizeClass * 4 | REX.W * 2 | 66. */
export function operandSizes(): Uint8Array {
  const sizes = new Uint8Array(128)
  for (const codeSize of [16, 32, 64] as const) {
    const mode = codeSize === 16 ? 0 : codeSize
    for (let index = 0; index < 32; index++) {
      sizes[mode | index] = operandSize(codeSize, index >> 2, (index & 2) !== 0, (index & 1) !== 0)
    }
  }
  return sizes
}

/** The operand size of a SizeClass: `wide` with REX.W, `toggled` with 66. */
export function operandSize(codeSize: CodeSize, sizeClass: number, wide: boolean, toggled: boolean): OperandSize {
  const small = (codeSize === 16) !== toggled ? 16 : 32
  switch (sizeClass) {
    case SizeClass.B: return 8
    case SizeClass.FIXED: return 32
    case SizeClass.Z: return wide ? 32 : small
    case SizeClass.Y: return wide ? 64 : 32
    case SizeClass.Y_F64: return codeSize === 64 ? 64 : 32
    case SizeClass.V_F64: return codeSize === 64 ? 64 : small
    case SizeClass.V_D64: return wide ? 64 : codeSize === 64 && !toggled ? 64 : small
    default: return wide ? 64 : small
  }
}
