/** Gives the operands of a draft their values, by what its row says that they are. */
import { operandBits } from '../../src/cpu/isa/operands.ts'
import type { OperandSpec } from '../../src/cpu/isa/operands.ts'
import { Instruction } from '../../src/cpu/decode/instruction.ts'
import { Word } from '../../test/vectors/state.ts'
import type { Draft } from './draft.ts'
import { extended, float, fromBytes, integer, packedDecimal, packedFloats, packedIntegers, toBytes } from './values.ts'

const scratch = new Instruction()

/** Bytes of an operand, 0 for an address only. */
export function operandBytes(draft: Draft, spec: OperandSpec): number {
  scratch.operandSize = draft.encoding.sizeRule === 'b' ? 8 : draft.choice.operandSize
  scratch.codeSize = draft.mode
  return operandBits(spec, scratch) / 8
}

/** The operand that is in memory when the draft has a memory form. */
export function memoryOperand(draft: Draft): OperandSpec | undefined {
  return draft.encoding.operands.find((spec) => 'EMQW'.includes(spec.method))
}

/** Values for every register and memory operand that nothing has fixed yet. */
export function fillOperands(draft: Draft): void {
  for (const spec of draft.encoding.operands) fillOperand(draft, spec)
  // BLENDV and SHA256RNDS2 read XMM0 too.
  if (isVector(draft) && draft.encoding.pattern.map === 2 && draft.encoding.pattern.vex === undefined) setVector(draft, 0, operandValue(draft, draft.encoding.operands[0], 16))
}

function isVector(draft: Draft): boolean {
  return draft.encoding.operands.some((spec) => 'VWUH'.includes(spec.method))
}

function fillOperand(draft: Draft, spec: OperandSpec): void {
  const { choice } = draft
  const size = operandBytes(draft, spec)
  const inMemory = choice.memory !== undefined && 'EMQW'.includes(spec.method)
  if (inMemory) {
    if (size > 0 && size <= 32 && draft.address !== undefined) draft.patch(draft.address, operandValue(draft, spec, size))
    return
  }
  switch (spec.method) {
    case 'G': return setGeneral(draft, choice.reg, spec, size)
    case 'B': return setGeneral(draft, choice.vvvv, spec, size)
    case 'E': case 'R': case 'Z': return setGeneral(draft, choice.rm, spec, size)
    case 'register': return setGeneral(draft, spec.register!, spec, size)
    case 'V': return setVector(draft, choice.reg, operandValue(draft, spec, Math.max(size, 16)))
    case 'W': case 'U': return setVector(draft, choice.rm, operandValue(draft, spec, Math.max(size, 16)))
    case 'L': return setVector(draft, Number(choice.immediate >> 4n) & (draft.mode === 64 ? 15 : 7), operandValue(draft, spec, size))
    case 'H': return setVector(draft, choice.vvvv, operandValue(draft, spec, Math.max(size, 16)))
    case 'P': return setMmx(draft, choice.reg, operandValue(draft, spec, 8))
    case 'Q': case 'N': return setMmx(draft, choice.rm, operandValue(draft, spec, 8))
  }
}

/** AH, CH, DH and BH are bits 8 to 15 of the first four registers. */
export function isHighByte(draft: Draft, register: number, size: number): boolean {
  if (size !== 1 || register < 4 || register > 7) return false
  return draft.mode !== 64 || !draft.choice.rex && draft.choice.reg < 8 && draft.choice.rm < 8 && !memoryNeedsRex(draft)
}

function memoryNeedsRex({ choice: { memory } }: Draft): boolean {
  return memory !== undefined && (memory.base > 7 && memory.base < 16 || memory.index > 7)
}

function setGeneral(draft: Draft, register: number, spec: OperandSpec, size: number): void {
  const high = isHighByte(draft, register, size)
  const target = high ? register - 4 : register
  if (draft.fixed.has(target)) return
  const value = fromBytes(operandValue(draft, spec, size))
  if (high) draft.setRegister(target, draft.state[target] & ~0xff00n | value << 8n)
  else draft.setLow(target, value, size)
}

function setVector(draft: Draft, register: number, value: Uint8Array): void {
  draft.setWord(Word.XMM + 2 * register, fromBytes(value.subarray(0, 8)))
  draft.setWord(Word.XMM + 2 * register + 1, fromBytes(value.subarray(8, 16)))
  if (value.length <= 16) return
  draft.setWord(Word.YMM_HIGH + 2 * register, fromBytes(value.subarray(16, 24)))
  draft.setWord(Word.YMM_HIGH + 2 * register + 1, fromBytes(value.subarray(24, 32)))
}

function setMmx(draft: Draft, register: number, value: Uint8Array): void {
  draft.setWord(Word.STACK + 2 * (register & 7), fromBytes(value))
}

/** Width of the floating-point elements that a vector instruction works on, 0 for integers. */
export function floatWidth(draft: Draft): 0 | 16 | 32 | 64 {
  const { mnemonic, encoding } = draft
  const source = /^V?CVTT?(PI|SI|DQ|PS|PD|SS|SD|PH)2/.exec(mnemonic)?.[1]
  if (source !== undefined) return { PS: 32, SS: 32, PD: 64, SD: 64, PH: 16 }[source] as 16 | 32 | 64 | undefined ?? 0
  const types = encoding.operands.map((spec) => spec.type)
  return types.includes('ps') || types.includes('ss') ? 32 : types.includes('pd') || types.includes('sd') ? 64 : 0
}

function operandValue(draft: Draft, spec: OperandSpec, size: number): Uint8Array {
  const { random, encoding, mnemonic } = draft
  if (encoding.pattern.map === 0 && encoding.pattern.opcode >= 0xd8 && encoding.pattern.opcode <= 0xdf) return x87Value(draft, size)
  if ('EGBRZMregister'.includes(spec.method) && !isVector(draft) && !encoding.operands.some((o) => 'PQN'.includes(o.method))) {
    return toBytes(integer(random, size * 8), size)
  }
  const width = floatWidth(draft)
  if (width !== 0 && size * 8 >= width) return packedFloats(random, size, width)
  return /^V?PCMP[EI]STR/.test(mnemonic) ? shortString(draft, size) : packedIntegers(random, size)
}

/** Bytes from a small alphabet with zeros among them, for the string comparisons. */
function shortString(draft: Draft, size: number): Uint8Array {
  return Uint8Array.from({ length: size }, () => draft.random.oneIn(14) ? 0 : 0x61 + draft.random.below(draft.random.pick([2, 4, 24])))
}

function x87Value({ random, mnemonic }: Draft, size: number): Uint8Array {
  if (mnemonic.startsWith('FB')) return toBytes(packedDecimal(random), size)
  if (size === 10) return toBytes(extended(random), size)
  if (mnemonic.startsWith('FI') || size === 2) return toBytes(integer(random, size * 8), size)
  return toBytes(float(random, size * 8 as 32 | 64), size)
}
