/** Encodes an instruction of a row with chosen operands. */
import { parseOpcode } from '../../src/cpu/isa/opcode.ts'
import type { OpcodePattern } from '../../src/cpu/isa/opcode.ts'
import { operandSizeRule, rowOperands } from '../../src/cpu/isa/operands.ts'
import type { OperandSpec, OperandSizeRule } from '../../src/cpu/isa/operands.ts'
import type { Row } from '../../src/cpu/isa/row.ts'
import type { CodeSize } from '../../test/vectors/state.ts'

/** A memory operand. `base` 16 is RIP. In 16-bit addressing base and index are those of the eight fixed combinations. */
export interface Memory {
  readonly base: number
  readonly index: number
  /** Shift count, 0 to 3. */
  readonly scale: number
  readonly displacement: number
  /** Bytes: 0, 1, 2 or 4. */
  readonly displacementSize: number
}

/** Everything that a row leaves open. */
export interface Choice {
  readonly mode: CodeSize
  readonly operandSize: 16 | 32 | 64
  readonly addressSize: 16 | 32 | 64
  readonly memory?: Memory
  /** ModRM.reg, and ModRM.rm or the register in the opcode, 0 to 15; the condition where the row has one. */
  readonly reg: number
  readonly rm: number
  /** The register in VEX.vvvv, where the row has one, and a random byte for what a VEX prefix ignores. */
  readonly vvvv: number
  readonly ignored: number
  readonly condition: number
  readonly immediate: bigint
  readonly immediate2: number
  /** Prefix bytes beyond those that sizes and the row need: LOCK, REP, segment overrides. */
  readonly prefixes: readonly number[]
  /** Force a REX prefix, so that byte registers 4 to 7 are SPL to DIL. */
  readonly rex: boolean
}

/** What a row's notation says, parsed once. */
export interface Encoding {
  readonly row: Row
  readonly pattern: OpcodePattern
  readonly operands: readonly OperandSpec[]
  readonly sizeRule: OperandSizeRule
  readonly modRm: boolean
}

export function encodingOf(row: Row): Encoding {
  const pattern = parseOpcode(row)
  const operands = rowOperands(row)
  const constrained = pattern.reg.length > 0 || pattern.form !== 'any' || pattern.rm !== undefined
  const open = operands.some((o) => 'EGRMVWUHPQNCD'.includes(o.method) || o.method === 'S' && o.register === undefined || row.opcode[0] === 'D' && o.method === 'ST')
  return { row, pattern, operands, sizeRule: operandSizeRule(row), modRm: constrained || open }
}

const ESCAPES = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]]

/** The instruction's bytes. */
export function encode(encoding: Encoding, choice: Choice): number[] {
  const { pattern } = encoding
  const prefixes = [...choice.prefixes, ...sizePrefixes(encoding, choice), ...mandatory(pattern)]
  const low = pattern.span === 8 ? choice.rm & 7 : pattern.span === 16 ? choice.condition : 0
  const opcode = pattern.opcode + low
  const tail = encoding.modRm ? modRmBytes(choice, encoding) : []
  const rest = [opcode, ...tail, ...immediates(encoding, choice)]
  if (pattern.vex !== undefined) return [...choice.prefixes, ...sizePrefixes(encoding, choice), ...vexPrefix(encoding, choice), ...rest]
  return [...prefixes, ...rexPrefix(encoding, choice), ...ESCAPES[pattern.map], ...rest]
}

const VEX_PREFIXES: readonly string[] = ['NP', '66', 'F3', 'F2']

/** A VEX prefix, of two bytes where that is enough and the dice say so; what the row does not care about is random. */
function vexPrefix({ pattern, operands, sizeRule }: Encoding, choice: Choice): number[] {
  const { length, w } = pattern.vex ?? {}
  const l = length === undefined ? choice.ignored & 1 : Number(length === 256)
  const wide = w ?? (sizeRule === 'y' ? Number(choice.operandSize === 64) : choice.ignored >> 1 & 1)
  const register = operands.some((spec) => 'HB'.includes(spec.method)) ? choice.vvvv : 0
  const last = (~register & 15) << 3 | l << 2 | VEX_PREFIXES.indexOf(pattern.prefix)
  const low = choice.memory ? choice.memory.base : choice.rm
  const [r, x, b] = [choice.reg > 7, choice.memory !== undefined && choice.memory.index > 7, low > 7 && low < 16].map(Number)
  const canBeShort = pattern.map === 1 && x === 0 && b === 0 && w !== 1 && !(sizeRule === 'y' && wide === 1)
  if (canBeShort && (choice.ignored & 4) !== 0) return [0xc5, (r ^ 1) << 7 | last]
  return [0xc4, (r ^ 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | pattern.map, wide << 7 | last]
}

function mandatory(pattern: OpcodePattern): number[] {
  return pattern.prefix === '66' ? [0x66] : pattern.prefix === 'F3' ? [0xf3] : pattern.prefix === 'F2' ? [0xf2] : []
}

function sizePrefixes({ row, pattern, sizeRule }: Encoding, choice: Choice): number[] {
  const bytes: number[] = []
  if (choice.addressSize !== choice.mode) bytes.push(0x67)
  if (!'vzy'.includes(sizeRule) || pattern.prefix === '66' || pattern.vex !== undefined) return bytes
  const usual = choice.mode === 16 ? 16 : 32
  const wide = choice.operandSize === 64 || row.attributes.d64 === true && choice.mode === 64 && choice.operandSize !== 16
  if (!wide && choice.operandSize !== usual && sizeRule !== 'y') bytes.push(0x66)
  return bytes
}

function rexPrefix({ row, pattern, sizeRule }: Encoding, choice: Choice): number[] {
  if (choice.mode !== 64) return []
  const implied = row.attributes.d64 === true || row.attributes.f64 === true
  let bits = 0
  if (pattern.rex === 'w1' || choice.operandSize === 64 && 'vzy'.includes(sizeRule) && !implied) bits |= 8
  if (choice.reg > 7) bits |= 4
  if (choice.memory && choice.memory.index > 7) bits |= 2
  const low = choice.memory ? choice.memory.base : choice.rm
  if (low > 7 && low < 16) bits |= 1
  return bits !== 0 || choice.rex ? [0x40 | bits] : []
}

function modRmBytes(choice: Choice, { pattern }: Encoding): number[] {
  const reg = (choice.reg & 7) << 3
  if (!choice.memory) return [0xc0 | reg | (pattern.rm ?? choice.rm & 7)]
  const bytes = choice.addressSize === 16 ? memory16(choice.memory) : memory32(choice.memory, choice.mode)
  bytes[0] |= reg
  for (let i = 0; i < choice.memory.displacementSize; i++) bytes.push(choice.memory.displacement >> (8 * i) & 0xff)
  return bytes
}

/** BX+SI BX+DI BP+SI BP+DI SI DI BP BX, as base and index. */
export const PAIRS16: readonly (readonly [number, number])[] = [[3, 6], [3, 7], [5, 6], [5, 7], [6, -1], [7, -1], [5, -1], [3, -1]]

function memory16(memory: Memory): number[] {
  if (memory.base < 0) return [6]
  const rm = PAIRS16.findIndex(([base, index]) => base === memory.base && index === memory.index)
  return [(memory.displacementSize === 0 ? 0 : memory.displacementSize === 1 ? 0x40 : 0x80) | rm]
}

function memory32({ base, index, scale, displacementSize }: Memory, mode: CodeSize): number[] {
  if (base === 16) return [5]
  const mod = base < 0 || displacementSize === 0 ? 0 : displacementSize === 1 ? 0x40 : 0x80
  if (base < 0 && index < 0 && mode !== 64) return [5]
  if (index < 0 && base >= 0 && (base & 7) !== 4) return [mod | base & 7]
  return [mod | 4, scale << 6 | (index < 0 ? 4 : index & 7) << 3 | (base < 0 ? 5 : base & 7)]
}

/** Bytes of an immediate, 0 for other operands. */
export function immediateSize(spec: OperandSpec, choice: Pick<Choice, 'operandSize' | 'addressSize'>): number {
  const z = choice.operandSize === 16 ? 2 : 4
  if (spec.method === 'O') return choice.addressSize / 8
  if (spec.method === 'A') return z
  if (spec.method === 'L') return 1
  if (spec.method !== 'I' && spec.method !== 'J') return 0
  return { b: 1, w: 2, v: choice.operandSize / 8 }[spec.type as string] ?? z
}

function immediates({ operands }: Encoding, choice: Choice): number[] {
  const bytes: number[] = []
  let value = choice.immediate
  for (const spec of operands) {
    const size = immediateSize(spec, choice)
    for (let i = 0; i < size; i++) bytes.push(Number(value >> BigInt(8 * i) & 0xffn))
    if (size > 0) value = BigInt(choice.immediate2)
    if (spec.method === 'A') bytes.push(choice.immediate2 & 0xff, choice.immediate2 >> 8)
  }
  return bytes
}
