/** Makes the vectors of a row, before they are executed. */
import type { Row } from '../../src/cpu/isa/row.ts'
import { Random } from '../../test/vectors/random.ts'
import { CODE, CODE_SIZE, segmentBase } from '../../test/vectors/environment.ts'
import { Word } from '../../test/vectors/state.ts'
import type { CodeSize } from '../../test/vectors/state.ts'
import { Draft } from './draft.ts'
import type { MutableChoice } from './draft.ts'
import { encode, encodingOf, immediateSize } from './encode.ts'
import type { Encoding } from './encode.ts'
import { after, before } from './hooks.ts'
import { placeMemory, resolveRip } from './memory.ts'
import { fillIndices, placeGather } from './gather.ts'
import { fillOperands, floatWidth, memoryOperand, operandBytes } from './operands.ts'
import { integer, mxcsr } from './values.ts'
import { randomX87 } from './x87-state.ts'

/** A vector to be executed. */
export interface Candidate {
  readonly draft: Draft
  readonly code: Uint8Array
  /** TF would disturb it: it runs into an INT3. */
  readonly stopByInt3: boolean
}

/** How many vectors a row gets in each mode. */
export function counts(encoding: Encoding): Readonly<Record<CodeSize, number>> {
  const { row, operands, pattern } = encoding
  if (pattern.rex === 'w1' || row.opcode === '63' && row.attributes.only64) return { 64: 80, 32: 0, 16: 0 }
  // Outside 64-bit mode AMD's processors have SYSRET.
  if (row.mnemonic === 'SYSRET') return { 64: 16, 32: 0, 16: 0 }
  if (row.attributes.only64) return { 64: 64, 32: 2, 16: 0 }
  if (row.attributes.invalid64) return { 64: 0, 32: 80, 16: 32 }
  if (pattern.span === 16) return { 64: 192, 32: 32, 16: 16 }
  if (row.attributes.feature?.startsWith('BMI') === true) return { 64: 144, 32: 24, 16: 8 }
  if (pattern.vex !== undefined) return { 64: 48, 32: 2, 16: 1 }
  if (isX87(encoding)) return { 64: 80, 32: 6, 16: 2 }
  if (operands.some((spec) => ['ps', 'pd', 'ss', 'sd'].includes(spec.type)) || row.mnemonic.startsWith('CVT')) return { 64: 120, 32: 3, 16: 1 }
  if (operands.some((spec) => 'VWU'.includes(spec.method))) return { 64: 48, 32: 2, 16: 1 }
  if (operands.some((spec) => 'PQN'.includes(spec.method))) return { 64: 32, 32: 2, 16: 1 }
  return { 64: 80, 32: 24, 16: 12 }
}

export function isX87({ pattern, row }: Encoding): boolean {
  return pattern.map === 0 && pattern.opcode >= 0xd8 && pattern.opcode <= 0xdf || row.mnemonic === 'FWAIT'
}

/** One vector of a row, or undefined where the choices do not go together; `seed` is that of its background state. */
export function candidate(row: Row, mode: CodeSize, turn: number, seed: number): Candidate | undefined {
  const encoding = encodingOf(row)
  const random = new Random(seed ^ 0x5eed)
  const draft = new Draft(encoding, random, choose(encoding, mode, turn, random), seed)
  draft.state[Word.RFLAGS] |= BigInt(random.u32() & 0x8d5)
  if (usesX87(encoding)) randomX87(draft)
  if (floatWidth(draft) !== 0 || draft.mnemonic.startsWith('VCVT')) draft.setWord(Word.MXCSR, BigInt(mxcsr(random)))
  before[row.mnemonic]?.(draft)
  if (wantsMemory(draft, turn)) placeOperand(draft)
  fillOperands(draft)
  after[row.mnemonic]?.(draft)
  fillIndices(draft)
  addPrefixes(draft)
  return draft.discarded ? undefined : finish(draft)
}

function choose(encoding: Encoding, mode: CodeSize, turn: number, random: Random): MutableChoice {
  const sizes = operandSizes(encoding, mode)
  const operandSize = sizes[turn % sizes.length]
  const choice: MutableChoice = {
    mode, operandSize, addressSize: mode, reg: 0, rm: 0, vvvv: 0, ignored: 0, condition: turn % 16, immediate: 0n, immediate2: random.below(65536),
    prefixes: [], rex: mode === 64 && random.oneIn(4),
  }
  choice.immediate = integer(random, immediateBits(encoding, choice))
  choice.reg = chooseRegister(encoding, mode, 'GVPSCD', random)
  choice.rm = chooseRm(encoding, mode, random)
  if (encoding.pattern.vex !== undefined) {
    choice.vvvv = random.below(mode === 64 ? 16 : 8)
    choice.ignored = random.below(256)
  }
  return choice
}

/** The operand sizes that a row has in a mode; those that AMD's and Intel's processors treat differently are left out. */
function operandSizes({ row, sizeRule }: Encoding, mode: CodeSize): readonly (16 | 32 | 64)[] {
  const { d64, f64 } = row.attributes
  if (sizeRule === 'b' || sizeRule === 'fixed') return [32]
  if (mode !== 64) return sizeRule === 'y' ? [32] : [32, 16]
  if (f64) return [64]
  if (d64) return [64, 64, 16]
  if (sizeRule === 'z' || /^(JMP_FAR|CALL_FAR|LSS|LFS|LGS)$/.test(row.mnemonic)) return [32, 16]
  return sizeRule === 'y' ? [32, 64] : [32, 64, 16]
}

function immediateBits({ operands }: Encoding, choice: MutableChoice): number {
  const sizes = operands.filter((spec) => 'IJL'.includes(spec.method)).map((spec) => immediateSize(spec, choice))
  return 8 * (sizes[0] ?? 1)
}

function chooseRegister({ pattern, operands }: Encoding, mode: CodeSize, methods: string, random: Random): number {
  if (pattern.reg.length > 0) return random.pick(pattern.reg)
  const method = operands.find((spec) => methods.includes(spec.method))?.method
  if (method === 'C') return random.pick(mode === 64 ? [0, 2, 3, 4, 8] : [0, 2, 3, 4])
  if (method === 'D') return random.pick([0, 1, 2, 3, 6, 7])
  if (method === undefined || method === 'P' || method === 'S') return random.below(8)
  return random.below(mode === 64 ? 16 : 8)
}

function chooseRm({ pattern, operands, row }: Encoding, mode: CodeSize, random: Random): number {
  if (pattern.rm !== undefined || pattern.rex === 'b0') return pattern.rm ?? 0
  const few = mode !== 64 || operands.some((spec) => spec.method === 'ST' || 'QN'.includes(spec.method))
  const rm = random.below(few ? 8 : 16)
  return row.opcode === '90+r' && rm === 0 ? 1 : rm
}

function usesX87(encoding: Encoding): boolean {
  const mmx = encoding.operands.some((spec) => 'PQN'.includes(spec.method))
  return isX87(encoding) || mmx || /^(EMMS|FXSAVE|XSAVE|XSAVEOPT|FXRSTOR|XRSTOR)$/.test(encoding.row.mnemonic)
}

/** Memory or register form: as the row says, otherwise by turns. */
function wantsMemory(draft: Draft, turn: number): boolean {
  const { pattern, modRm } = draft.encoding
  if (draft.encoding.operands.some((spec) => spec.method === 'O')) return true
  if (!modRm || pattern.form === 'reg' || pattern.rm !== undefined) return false
  if (draft.encoding.operands.some((spec) => 'CD'.includes(spec.method))) return false
  return pattern.form === 'mem' || memoryOperand(draft) !== undefined && (turn >> 2) % 2 === 0
}

function placeOperand(draft: Draft): void {
  const { encoding } = draft
  if (encoding.operands.some((spec) => spec.method === 'O')) return placeOffset(draft)
  if (encoding.row.attributes.gathers === true) return placeGather(draft)
  const operand = memoryOperand(draft)!
  const size = operandBytes(draft, operand)
  const area = /^XSAVE|^XRSTOR/.test(draft.mnemonic) ? 576 : size
  placeMemory(draft, Math.max(area, 1), alignmentOf(draft, size))
}

function alignmentOf(draft: Draft, size: number): number {
  if (/^XSAVE|^XRSTOR/.test(draft.mnemonic)) return 64
  if (size === 512) return 16
  return [16, 8, 4, 2].find((alignment) => size % alignment === 0) ?? 1
}

/** MOV with an absolute offset; 16-bit offsets go through a segment with a base. */
function placeOffset(draft: Draft): void {
  placeMemory(draft, draft.size, draft.size)
  const segment = draft.choice.prefixes.find((byte) => byte === 0x64 || byte === 0x65)
  draft.choice.prefixes = draft.choice.prefixes.filter((byte) => byte === segment)
  draft.ripRelative = false
  draft.choice.memory = undefined
  const base = linearBase(draft, segment)
  draft.choice.immediate = BigInt.asUintN(draft.choice.addressSize, BigInt(draft.address!) - base)
}

function linearBase(draft: Draft, prefix: number | undefined): bigint {
  return segmentBase(draft.state, draft.mode, prefix === undefined ? 3 : prefix - 0x60)
}

/** LOCK where it is allowed and, rarely, where it is not; an operand-size prefix that byte instructions ignore. */
function addPrefixes(draft: Draft): void {
  const { choice, random, encoding } = draft
  const lockable = encoding.row.attributes.lock === true && choice.memory !== undefined
  // LOCK MOV CR0 is CR8 on AMD's processors, and they ignore LOCK before VERW.
  const special = encoding.operands.some((spec) => 'CD'.includes(spec.method)) || draft.mnemonic === 'VERW'
  if (lockable ? random.oneIn(4) : !special && random.oneIn(70)) choice.prefixes = [...choice.prefixes, 0xf0]
  if (draft.mode === 64 && !special && random.oneIn(120)) lengthen(draft)
  if (encoding.sizeRule === 'b' && encoding.pattern.prefix === 'any' && random.oneIn(30)) choice.prefixes = [...choice.prefixes, 0x66]
}

/** Ignored prefixes up to the longest instruction, or one byte more, which is #GP. */
function lengthen(draft: Draft): void {
  const { choice, encoding, random } = draft
  const missing = Math.max(0, 15 + random.below(2) - encode(encoding, choice).length)
  choice.prefixes = [...Array.from({ length: missing }, () => 0x2e), ...choice.prefixes]
}

/**
 * The part of an instruction that fits before the end of the code pages: what is beyond them cannot be fetched.
 * (AMD's processors raise #UD for UD0 and UD1 before they fetch ModRM.)
 */
function cut(draft: Draft, code: Uint8Array): Uint8Array {
  if (draft.mnemonic.startsWith('UD') && draft.offset + code.length > CODE_SIZE) draft.discarded = true
  return code.subarray(0, Math.max(0, CODE_SIZE - draft.offset))
}

function finish(draft: Draft): Candidate | undefined {
  const { encoding, choice } = draft
  const length = encode(encoding, choice).length
  resolveRip(draft, length)
  if (encoding.operands.some((spec) => spec.method === 'J' && spec.type === 'z')) {
    const next = BigInt(draft.offset + length + (draft.mode === 16 ? 0 : CODE))
    choice.immediate -= next
  }
  draft.finishRip()
  const bytes = Uint8Array.from(encode(encoding, choice))
  const code = cut(draft, bytes)
  return draft.discarded || bytes.length > 16 ? undefined : { draft, code, stopByInt3: stopsByInt3(encoding.row, code) }
}

/** TF would disturb these: a repeated instruction traps after each iteration, a gather may do so after each element, PUSHF shows TF, loading SS delays the trap. */
export function stopsByInt3(row: Row, code: Uint8Array): boolean {
  const repeated = row.attributes.repeat !== undefined && prefixesOf(code).some((byte) => byte === 0xf2 || byte === 0xf3)
  return repeated || row.attributes.gathers === true || /^(PUSHF|POPF|IRET|INT1|LSS)$/.test(row.mnemonic) || row.mnemonic.endsWith('_SREG')
}

function prefixesOf(code: Uint8Array): Uint8Array {
  const end = code.findIndex((byte) => ![0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65].includes(byte))
  return code.subarray(0, Math.max(end, 0))
}
