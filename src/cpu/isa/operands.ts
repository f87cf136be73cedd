/** The operand codes of rows, parsed: addressing methods and operand types of SDM Vol. 2D section A.2. */
import { unreachable } from '../../base/errors.ts'
import type { Instruction } from '../decode/instruction.ts'
import type { Row } from './row.ts'

/**
 * Where an operand is:
 *   - general registers: `E` ModRM.rm or memory, `G` ModRM.reg, `B` VEX.vvvv, `R` ModRM.rm (register only), `Z` opcode, `register` fixed;
 *   - memory: `M` ModRM (memory only), `O` offset in the instruction, `X` DS:rSI, `Y` ES:rDI;
 *   - vector registers: `V` ModRM.reg, `W` ModRM.rm or memory, `U` ModRM.rm (register only), `H` VEX.vvvv, `L` bits 4 to 7 of the
 *     immediate; MMX: `P`, `Q`, `N` in the order of the first three;
 *   - segment (`S`), control (`C`) and debug (`D`) registers: ModRM.reg; a fixed segment register has `register`;
 *   - x87 stack: `ST`, ModRM.rm or fixed in `register`;
 *   - in the instruction: `I` immediate, `J` relative to the next instruction, `A` far pointer, `constant`.
 */
export type OperandMethod =
  | 'E' | 'G' | 'B' | 'R' | 'Z' | 'register' | 'M' | 'O' | 'X' | 'Y' | 'V' | 'W' | 'U' | 'H' | 'L' | 'P' | 'Q' | 'N'
  | 'S' | 'C' | 'D' | 'ST' | 'I' | 'J' | 'A' | 'constant'

/**
 * What it holds: `b` `w` `d` `q` `dq` 8 to 128 bits; `v` operand size; `z` operand size but at most 32; `y` 32, or 64 when the
 * operand size is 64; `p` far pointer; `a` pair for BOUND; `s` pseudo-descriptor; `ps` `pd` packed (128, or the vector length) and `ss`
 * `sd` scalar floating point; `qq` 256 bits, `x` the vector length; `t` 80 bits; `env` and `fsave` x87 environment and state; `fx`
 * FXSAVE area; `none` an address only, or an area of varying size.
 */
export type OperandType =
  | 'b' | 'w' | 'd' | 'q' | 'dq' | 'v' | 'z' | 'y' | 'p' | 'a' | 's'
  | 'ps' | 'pd' | 'x' | 'qq' | 'ss' | 'sd' | 't' | 'env' | 'fsave' | 'fx' | 'none'

export interface OperandSpec {
  readonly method: OperandMethod
  readonly type: OperandType
  /** A register that the encoding fixes: a GPR (`register`), a segment register (`S`) or a stack position (`ST`). */
  readonly register?: number
  readonly constant?: number
  /** An immediate that is sign-extended to the operand size. */
  readonly signExtended?: boolean
  /** The row's vector length is 256 bits, and this operand has it. */
  readonly wide?: boolean
}

const fixedOperands: Readonly<Record<string, OperandSpec>> = {
  AL: { method: 'register', type: 'b', register: 0 },
  CL: { method: 'register', type: 'b', register: 1 },
  AX: { method: 'register', type: 'w', register: 0 },
  DX: { method: 'register', type: 'w', register: 2 },
  eAX: { method: 'register', type: 'z', register: 0 },
  rAX: { method: 'register', type: 'v', register: 0 },
  ES: { method: 'S', type: 'w', register: 0 },
  CS: { method: 'S', type: 'w', register: 1 },
  SS: { method: 'S', type: 'w', register: 2 },
  DS: { method: 'S', type: 'w', register: 3 },
  FS: { method: 'S', type: 'w', register: 4 },
  GS: { method: 'S', type: 'w', register: 5 },
  ST0: { method: 'ST', type: 't', register: 0 },
  STi: { method: 'ST', type: 't' },
  M: { method: 'M', type: 'none' },
}

const METHODS = 'EGBRZMOXYVWUHLPQNSCDIJA'
const TYPES = new Set<string>(
  ['b', 'w', 'd', 'q', 'dq', 'v', 'z', 'y', 'p', 'a', 's', 'ps', 'pd', 'x', 'qq', 'ss', 'sd', 't', 'env', 'fsave', 'fx'],
)

/** The operands of a row, in its order. */
export function rowOperands(row: Row): readonly OperandSpec[] {
  const wide = row.opcode.startsWith('VEX.256.')
  return row.operands.map((code) => {
    const spec = parseOperand(code)
    return wide && ['x', 'ps', 'pd'].includes(spec.type) ? { ...spec, wide } : spec
  })
}

function parseOperand(code: string): OperandSpec {
  const fixed = fixedOperands[code]
  if (fixed !== undefined) return fixed
  if (/^\d$/.test(code)) return { method: 'constant', type: 'b', constant: Number(code) }
  if (code.startsWith('s')) return { ...parseOperand(code.slice(1)), signExtended: true }
  const method = code.slice(0, 1)
  const type = code.slice(1)
  if (!METHODS.includes(method) || !TYPES.has(type)) return unreachable(`operand code ${code} in the opcode table`)
  return { method: method as OperandMethod, type: type as OperandType }
}

/** Size of an operand in bits; 0 for `none`. */
export function operandBits(spec: OperandSpec, instruction: Instruction): number {
  const size = instruction.operandSize
  switch (spec.type) {
    case 'b': return 8
    case 'w': return 16
    case 'd': case 'ss': return 32
    case 'q': case 'sd': return 64
    case 'dq': return 128
    case 'ps': case 'pd': case 'x': return spec.wide === true ? 256 : 128
    case 'qq': return 256
    case 'v': return size
    case 'z': return Math.min(size, 32)
    case 'y': return size === 64 ? 64 : 32
    case 'p': return size + 16
    case 'a': return size * 2
    case 's': return instruction.codeSize === 64 ? 80 : 48
    case 't': return 80
    case 'env': return size === 16 ? 14 * 8 : 28 * 8
    case 'fsave': return size === 16 ? 94 * 8 : 108 * 8
    case 'fx': return 512 * 8
    case 'none': return 0
  }
}

/**
 * How an instruction's operand size follows from its prefixes: `v` 16, 32 or 64; `z` 16 or 32; `y` 32 or 64; `b` always 8; `fixed`
 * not used: the decoder then always says 32, so that equal instructions decode alike.
 */
export type OperandSizeRule = 'v' | 'z' | 'y' | 'b' | 'fixed'

/** The rule that a row's attributes and operands imply. */
export function operandSizeRule(row: Row): OperandSizeRule {
  if (row.attributes.size !== undefined) return row.attributes.size
  const specs = rowOperands(row)
  const has = (...types: OperandType[]) => specs.some((spec) => types.includes(spec.type))
  if (has('v', 'p', 'a')) return 'v'
  if (has('z')) return 'z'
  if (has('y')) return 'y'
  return specs.some(isByteOperand) && !specs.some(isVectorOperand) ? 'b' : 'fixed'
}

function isByteOperand(spec: OperandSpec): boolean {
  return spec.type === 'b' && spec.method !== 'I' && spec.method !== 'constant'
}

function isVectorOperand(spec: OperandSpec): boolean {
  return 'VWUHLPQN'.includes(spec.method)
}
