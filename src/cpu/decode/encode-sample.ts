/**
 * The decoder's inverse, for enumerating instruction forms and for test vectors: one encoding of a row with a given operand size
 * and operand shape, and with random registers, displacements and immediates.
 */
import { unreachable } from '../../base/errors.ts'
import type { OpcodePattern } from '../isa/opcode.ts'
import { parseOpcode } from '../isa/opcode.ts'
import type { Row } from '../isa/row.ts'
import type { CodeSize, OperandSize } from './instruction.ts'
import { SizeClass, operandSize, sizeClassOf } from './operand-size.ts'
import { IMMEDIATE_SHIFT, ImmediateKind, RowFlag, rowFlags, SIZE_SHIFT } from './row-flags.ts'

/**
 * What the ModRM operand is: a register (also for rows without one), or memory at a base register, at a base and an index, at a
 * fixed address (the only shape of moffs operands besides) or relative to the instruction pointer (64-bit mode).
 */
export type SampleShape = 'register' | 'base' | 'index' | 'absolute' | 'relative'

export const SAMPLE_SHAPES: readonly SampleShape[] = ['register', 'base', 'index', 'absolute', 'relative']

export interface SampleRequest {
  readonly codeSize: CodeSize
  /** As the decoder reports it: 8 for byte operands, 32 where none is used. */
  readonly operandSize: OperandSize
  readonly shape: SampleShape
  /** Default: the code size. */
  readonly addressSize?: 16 | 32 | 64
  /** Other prefixes, put first: LOCK, REP, a segment override. */
  readonly prefixes?: readonly number[]
  /** A uniform unsigned 32-bit number. */
  readonly random: () => number
}

/** An encoding as it is built up: REX's low four bits, and the bytes after the opcode. */
interface Draft {
  readonly request: SampleRequest
  readonly pattern: OpcodePattern
  readonly flags: number
  readonly addressSize: 16 | 32 | 64
  rex: number
  readonly tail: number[]
  /** Vector registers that a gather's other operands must not be. */
  readonly taken: number[]
}

const REX_R = 4
const REX_X = 2
const REX_B = 1
const BASE_AND_INDEX_16 = [0, 1, 2, 3]
const BASE_16 = [4, 5, 6, 7]
const CONTROL_REGISTERS = [0, 2, 3, 4]
const CONTROL_REGISTERS_64 = [0, 2, 3, 4, 8]
const INDEX_REGISTERS = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
const INDEX_REGISTERS_32 = INDEX_REGISTERS.slice(0, 7)

/** One encoding of `row`, or null if it has none like that. */
export function encodeSample(row: Row, request: SampleRequest): Uint8Array | null {
  const pattern = parseOpcode(row)
  const addressSize = request.addressSize ?? request.codeSize
  const size = sizePrefixes(row, pattern, request)
  if (size === null || !isAddressSize(request.codeSize, addressSize)) return null
  const draft: Draft = { request, pattern, flags: rowFlags(row, pattern), addressSize, rex: size.wide ? 8 : 0, tail: [], taken: [] }
  const opcode = pattern.opcode + encodeOpcodeBits(draft)
  if (!encodeOperand(draft)) return null
  encodeImmediate(draft)
  const addressPrefix = addressSize === request.codeSize ? [] : [0x67]
  if (pattern.vex !== undefined) {
    return Uint8Array.from([...request.prefixes ?? [], ...addressPrefix, ...vexBytes(draft), opcode, ...draft.tail])
  }
  const rexBytes = request.codeSize === 64 && (draft.rex !== 0 || request.random() % 8 === 0) ? [0x40 | draft.rex] : []
  return Uint8Array.from([
    ...request.prefixes ?? [],
    ...addressPrefix,
    ...size.toggled ? [0x66] : [],
    ...mandatoryPrefix(pattern),
    ...rexBytes,
    ...[[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]][pattern.map],
    opcode,
    ...draft.tail,
  ])
}

const VEX_PREFIXES: readonly string[] = ['NP', '66', 'F3', 'F2']

/** A VEX prefix of two bytes where that is enough, half of the time. */
function vexBytes({ pattern, flags, rex, taken, request: { codeSize, random } }: Draft): number[] {
  const { length, w } = pattern.vex ?? unreachable('no VEX')
  const free = INDEX_REGISTERS.filter((one) => one < (codeSize === 64 ? 16 : 8) && !taken.includes(one))
  const register = (flags & RowFlag.VVVV) === 0 ? 0 : pick(free, random)
  const l = length === undefined ? random() % 2 : Number(length === 256)
  const last = (~register & 15) << 3 | l << 2 | VEX_PREFIXES.indexOf(pattern.prefix)
  if (pattern.map === 1 && (rex & 11) === 0 && w !== 1 && random() % 2 === 0) return [0xc5, (~rex & 4) << 5 | last]
  const wide = w ?? ((flags >> SIZE_SHIFT & 7) === SizeClass.FIXED ? random() & 1 : rex >> 3)
  return [0xc4, (~rex & 7) << 5 | pattern.map, wide << 7 | last]
}

/** The operand size prefixes that give the size asked for; null if none do. */
function sizePrefixes(row: Row, pattern: OpcodePattern, request: SampleRequest): { wide: boolean, toggled: boolean } | null {
  const { codeSize } = request
  const { only64, invalid64 } = row.attributes
  if (codeSize === 64 ? invalid64 : only64) return null
  const fixedPrefix = pattern.prefix === '66' || pattern.prefix === 'NP'
  for (const [wide, toggled] of [[false, false], [false, true], [true, false]]) {
    if ((wide && codeSize !== 64) || (toggled && fixedPrefix) || (pattern.rex === 'w1' && !wide)) continue
    if (operandSize(codeSize, sizeClassOf(row), wide, toggled) === request.operandSize) return { wide, toggled }
  }
  return null
}

function isAddressSize(codeSize: CodeSize, addressSize: 16 | 32 | 64): boolean {
  return codeSize === 64 ? addressSize !== 16 : addressSize !== 64
}

function mandatoryPrefix(pattern: OpcodePattern): number[] {
  return pattern.prefix === '66' || pattern.prefix === 'F3' || pattern.prefix === 'F2' ? [parseInt(pattern.prefix, 16)] : []
}

/** A random register or condition for the opcode's low bits. */
function encodeOpcodeBits(draft: Draft): number {
  const { pattern, request: { random } } = draft
  if (pattern.span === 8 && pattern.map === 0 && pattern.opcode === 0x90) return 1 + random() % 7
  if (pattern.span === 8) return extended(draft, REX_B, random() % 16)
  return random() % pattern.span
}

/** The low three bits of a register number; the fourth goes to REX, or is dropped outside 64-bit mode. */
function extended(draft: Draft, rexBit: number, register: number): number {
  if (register >= 8 && draft.request.codeSize === 64) draft.rex |= rexBit
  return register & 7
}

/** ModRM and what follows it, or a moffs operand; false if the row has no such shape. */
function encodeOperand(draft: Draft): boolean {
  const { flags, request: { shape } } = draft
  if ((flags & RowFlag.MODRM) === 0) {
    return shape === (immediateKind(draft) === ImmediateKind.OFFSET ? 'absolute' : 'register')
  }
  const { form } = draft.pattern
  if ((flags & RowFlag.VSIB) !== 0 && (shape !== 'index' || draft.addressSize === 16)) return false
  if (shape === 'register' ? form === 'mem' : form === 'reg' || (flags & RowFlag.IGNORES_MOD) !== 0) return false
  const reg = encodeReg(draft)
  if ((flags & RowFlag.VSIB) !== 0) draft.taken.push(reg | draft.rex << 1 & 8)
  if (shape === 'register') draft.tail.push(0xc0 | reg << 3 | encodeRm(draft))
  else if (draft.addressSize === 16) return encodeMemory16(draft, reg)
  else return encodeMemory(draft, reg)
  return true
}

function encodeReg(draft: Draft): number {
  const { flags, pattern, request: { codeSize, random } } = draft
  if (pattern.reg.length > 0) return pattern.reg[random() % pattern.reg.length]
  if ((flags & RowFlag.CONTROL_REGISTER) !== 0) {
    return extended(draft, REX_R, pick(codeSize === 64 ? CONTROL_REGISTERS_64 : CONTROL_REGISTERS, random))
  }
  if ((flags & (RowFlag.SHORT_REG | RowFlag.DEBUG_REGISTER)) !== 0) return random() % 8
  return extended(draft, REX_R, random() % 16)
}

function encodeRm(draft: Draft): number {
  const { flags, pattern, request: { random } } = draft
  if (pattern.rm !== undefined) return pattern.rm
  return (flags & RowFlag.SHORT_RM) !== 0 ? random() % 8 : extended(draft, REX_B, random() % 16)
}

function encodeMemory(draft: Draft, reg: number): boolean {
  const { tail, request: { codeSize, shape, random } } = draft
  if (shape === 'relative') {
    if (codeSize !== 64) return false
    tail.push(reg << 3 | 5, ...randomBytes(random, 4))
  } else if (shape === 'absolute') {
    // Without base or index: in 64-bit mode by way of SIB, since the short form is relative there.
    tail.push(...codeSize === 64 ? [reg << 3 | 4, 0x25] : [reg << 3 | 5], ...randomBytes(random, 4))
  } else encodeBased(draft, reg)
  return true
}

/** A base, with an index if the shape says so, and a displacement of 0, 1 or 4 bytes. */
function encodeBased(draft: Draft, reg: number): void {
  const { tail, request: { codeSize, shape, random } } = draft
  const base = extended(draft, REX_B, random() % 16)
  // RBP and R13 as a base need a displacement.
  const mod = base === 5 ? 1 + random() % 2 : random() % 3
  if (shape === 'base' && base !== 4) tail.push(mod << 6 | reg << 3 | base)
  else {
    const indexes = codeSize === 64 ? INDEX_REGISTERS : INDEX_REGISTERS_32
    const number = pick(indexes.filter((one) => !draft.taken.includes(one)), random)
    const index = shape === 'base' ? 4 : extended(draft, REX_X, number)
    if ((draft.flags & RowFlag.VSIB) !== 0) draft.taken.push(number)
    tail.push(mod << 6 | reg << 3 | 4, random() % 4 << 6 | index << 3 | base)
  }
  tail.push(...randomBytes(random, [0, 1, 4][mod]))
}

function encodeMemory16(draft: Draft, reg: number): boolean {
  const { tail, request: { shape, random } } = draft
  if (shape === 'relative') return false
  if (shape === 'absolute') {
    tail.push(reg << 3 | 6, ...randomBytes(random, 2))
    return true
  }
  const rm = pick(shape === 'base' ? BASE_16 : BASE_AND_INDEX_16, random)
  const mod = rm === 6 ? 1 + random() % 2 : random() % 3
  tail.push(mod << 6 | reg << 3 | rm, ...randomBytes(random, mod))
  return true
}

function immediateKind(draft: Draft): number {
  return draft.flags >> IMMEDIATE_SHIFT & 15
}

function encodeImmediate(draft: Draft): void {
  draft.tail.push(...randomBytes(draft.request.random, immediateBytes(draft)))
}

function immediateBytes(draft: Draft): number {
  const bytes = draft.request.operandSize / 8
  switch (immediateKind(draft)) {
    case ImmediateKind.UNSIGNED_8: case ImmediateKind.SIGNED_8: return 1
    case ImmediateKind.UNSIGNED_16: return 2
    case ImmediateKind.SIGNED_Z: return Math.min(bytes, 4)
    case ImmediateKind.FULL: return bytes
    case ImmediateKind.FAR: return bytes + 2
    case ImmediateKind.ENTER: return 3
    case ImmediateKind.OFFSET: return draft.addressSize / 8
    default: return 0
  }
}

function randomBytes(random: () => number, count: number): number[] {
  return Array.from({ length: count }, () => random() >>> 8 & 255)
}

function pick(values: readonly number[], random: () => number): number {
  return values[random() % values.length]
}
