/**
 * What individual mnemonics need beyond operands of the right kind: pointers that are not in ModRM, stack contents, small counts,
 * dividends that fit. `before` runs before the memory operand is placed, `after` when all operands have their values.
 */
import { DATA, Local, segmentBase, WRITABLE_SIZE } from '../../test/vectors/environment.ts'
import { setSelector } from '../../test/vectors/state.ts'
import { DATA_SELECTORS, farTarget, frame, nearTarget, poppedFlags } from './control-transfer.ts'
import type { Draft } from './draft.ts'
import { RAX, RBP, RBX, RCX, RDI, RDX } from './draft.ts'
import { isHighByte } from './operands.ts'
import { stringOperands } from './string-operands.ts'
import { controlWord, extended, integer, mxcsr } from './values.ts'
import { consistentStatus, environment } from './x87-state.ts'

type Hook = (draft: Draft) => void

const DS = 3
const unsigned = (bits: number, value: bigint) => BigInt.asUintN(bits, value)

/** A shift count: around zero, one, the operand size and the mask of 31 or 63. */
function shiftCount(draft: Draft): number {
  const bits = draft.size * 8
  return draft.random.pick([0, 1, 1, 2, bits - 1, bits, bits + 1, 31, 32, 33, 63, 64, 65, 128, draft.random.below(256), draft.random.below(bits)])
}

function shift(draft: Draft): void {
  const count = shiftCount(draft)
  if (draft.encoding.row.operands.includes('CL')) draft.setLow(RCX, BigInt(count), 1)
  draft.choice.immediate = BigInt(count)
}

/** Beyond 16, a double shift of 16 bits is undefined. */
function doubleShift(draft: Draft): void {
  shift(draft)
  const count = Number(draft.encoding.row.operands.includes('CL') ? draft.state[RCX] : draft.choice.immediate) & 31
  if (draft.choice.operandSize === 16 && count > 16) draft.discarded = true
}

/** A dividend whose high half is mostly small, so that the quotient fits about as often as it does not. */
function dividend(draft: Draft): void {
  const { random, size } = draft
  const bits = size * 8
  const low = integer(random, bits)
  const extension = draft.mnemonic === 'IDIV' && low >> BigInt(bits - 1) !== 0n ? -1n : 0n
  const high = unsigned(bits, random.pick([extension, extension, BigInt(random.below(100)), -BigInt(random.below(100)), integer(random, bits)]))
  if (size === 1) return draft.setLow(RAX, high << 8n | low, 2)
  draft.setLow(RAX, low, size)
  draft.setLow(RDX, high, size)
}

/** A bit offset that stays in the data pages. */
function bitOffset(draft: Draft): void {
  const { random, choice, size } = draft
  if (!choice.memory || !draft.encoding.row.operands.includes('Gv') || draft.fixed.has(choice.reg)) return
  draft.setLow(choice.reg, BigInt(random.below(0x2000) - 0x1000) >> BigInt(random.below(12)), size)
}

/** Half of the time the accumulator equals the destination. */
function compareExchange(draft: Draft): void {
  const { random, choice, size, state } = draft
  if (random.oneIn(2)) return
  const high = isHighByte(draft, choice.rm, size)
  const register = high ? state[choice.rm - 4] >> 8n : state[choice.rm]
  const value = choice.memory ? memoryValue(draft, size) : register
  if (!draft.fixed.has(RAX) && value !== undefined) draft.setLow(RAX, value, size)
}

function memoryValue(draft: Draft, size: number): bigint | undefined {
  const at = Number(draft.address)
  return at >= DATA && at + size <= DATA + WRITABLE_SIZE ? draft.read(at, size) : undefined
}

function compareExchangePair(draft: Draft): void {
  const half = draft.mnemonic === 'CMPXCHG16B' ? 8 : 4
  const value = memoryValue(draft, half * 2)
  if (draft.random.oneIn(2) || value === undefined || draft.fixed.has(RAX) || draft.fixed.has(RDX)) return
  draft.setLow(RAX, value, half)
  draft.setLow(RDX, value >> BigInt(half * 8), half)
}

function loopCount(draft: Draft): void {
  const { random, choice, mode } = draft
  choice.addressSize = random.oneIn(4) ? (mode === 32 ? 16 : 32) : mode
  draft.setLow(RCX, BigInt(random.pick([0, 1, 2, random.u32()])), choice.addressSize / 8)
  relative(draft)
}

/** The offset is relative to the next instruction, whose place `generate` knows: it subtracts that. */
function relative(draft: Draft): void {
  const short = draft.encoding.row.operands.includes('Jb')
  const distance = draft.random.below(200) - 120
  draft.choice.immediate = short ? BigInt(distance > -20 && distance < 0 ? distance - 20 : distance) : nearTarget(draft)
}

function xlat(draft: Draft): void {
  const { random, choice, mode } = draft
  choice.addressSize = random.oneIn(4) ? (mode === 32 ? 16 : 32) : mode
  if (choice.addressSize === 16 && mode === 32) setSelector(draft.state, DS, Local.DATA32)
  const offset = BigInt(DATA + 0x100 + random.below(0xe00)) - segmentBase(draft.state, mode, DS)
  draft.setLow(RBX, unsigned(choice.addressSize, offset), choice.addressSize / 8)
}

function maskedStore(draft: Draft): void {
  const base = segmentBase(draft.state, draft.mode, DS)
  draft.setRegister(RDI, BigInt(DATA + draft.random.below(0x1000)) - base)
}

/** Points the stack at values of `size` bytes each, the first one on top. */
function pushed(draft: Draft, values: (at: number) => readonly bigint[], size = draft.size): void {
  const at = draft.pointStack()
  frame(draft, at, size, values(at))
}

function popFlags(draft: Draft): void {
  pushed(draft, () => [poppedFlags(draft)])
}

function returnFar(draft: Draft): void {
  const { selector, offset } = farTarget(draft)
  pushed(draft, () => [offset, BigInt(selector), 0n, 0n])
}

/** In 64-bit mode IRET always pops a stack pointer and SS. */
function interruptReturn(draft: Draft): void {
  const { selector, offset } = farTarget(draft)
  const stack = draft.random.pick([0x2b, 0x2b, 0x2b, 0x2b, 0x2b, 0x07, 0x0f, 0, 0x23])
  pushed(draft, (at) => [offset, BigInt(selector), poppedFlags(draft), BigInt(at), BigInt(stack)])
}

function farPointer(draft: Draft): void {
  const { selector, offset } = farTarget(draft)
  draft.choice.immediate = offset
  draft.choice.immediate2 = selector
  if (draft.address === undefined) return
  draft.patchNumber(draft.address, offset, draft.size)
  draft.patchNumber(Number(draft.address) + draft.size, BigInt(selector), 2)
}

function frameRegisters(draft: Draft): void {
  const at = draft.pointStack()
  const base = segmentBase(draft.state, draft.mode, 2)
  draft.setRegister(RBP, BigInt(at) - base - BigInt(draft.random.below(0x20) * 8 - 0x80))
  draft.choice.immediate = BigInt(draft.random.below(0x60))
  draft.choice.immediate2 = draft.random.pick([0, 0, 1, 2, 3, draft.random.below(40)])
}

/** A selector in whatever the instruction reads it from. */
function selectorOperand(draft: Draft): void {
  const { random, choice } = draft
  const selector = BigInt(random.pick(DATA_SELECTORS))
  if (choice.memory) draft.patchNumber(draft.address!, selector, 2)
  else draft.setLow(choice.rm, selector, 2)
}

function loadFarPointer(draft: Draft): void {
  draft.patchNumber(Number(draft.address) + draft.size, BigInt(draft.random.pick(DATA_SELECTORS)), 2)
}

function popSelector(draft: Draft): void {
  pushed(draft, () => [BigInt(draft.random.pick(DATA_SELECTORS))])
}

function returnNear(draft: Draft): void {
  draft.choice.immediate = BigInt(draft.random.below(0x40))
  pushed(draft, () => [nearTarget(draft)])
}

function indirect(draft: Draft): void {
  if (draft.choice.memory) draft.patchNumber(draft.address!, nearTarget(draft), draft.size)
  else draft.setLow(draft.choice.rm, nearTarget(draft), draft.size)
}

/** Bounds around the index, which is inside them more often than not. */
function bounds(draft: Draft): void {
  const { random, choice, size } = draft
  const value = BigInt.asIntN(size * 8, draft.state[choice.reg])
  const distance = () => BigInt(random.below(5)) * BigInt(random.pick([1, 1000])) - BigInt(random.oneIn(4) ? 2 : 0)
  draft.patchNumber(draft.address!, value - distance(), size)
  draft.patchNumber(Number(draft.address) + size, value + distance(), size)
}

function stringLengths(draft: Draft): void {
  for (const register of [RAX, RDX]) {
    if (!draft.fixed.has(register)) draft.setLow(register, BigInt(draft.random.below(44) - 22), draft.choice.operandSize / 8)
  }
}

function loadMxcsr(draft: Draft): void {
  draft.patchNumber(draft.address!, BigInt(draft.random.oneIn(8) ? draft.random.u32() : mxcsr(draft.random)), 4)
}

function loadControlWord(draft: Draft): void {
  draft.patchNumber(draft.address!, BigInt(controlWord(draft.random)), 2)
}

function loadEnvironment(draft: Draft): void {
  const wide = draft.choice.operandSize !== 16
  draft.patch(draft.address!, environment(draft, wide))
  if (draft.mnemonic !== 'FRSTOR') return
  for (let i = 0; i < 8; i++) draft.patchNumber(Number(draft.address) + (wide ? 28 : 14) + 10 * i, extended(draft.random), 10)
}

/** The control fields of an FXSAVE image; the registers in it are the background's. */
function loadFxImage(draft: Draft): void {
  const { random } = draft
  const control = controlWord(random) | 0x40
  const status = consistentStatus(control, random.below(0x10000) & 0x7f7f)
  const mask = random.oneIn(10) ? random.u32() : mxcsr(random)
  draft.patch(draft.address!, Uint8Array.from([control, control >> 8, status, status >> 8, random.below(256), 0, ...Array.from({ length: 18 }, () => 0)]))
  draft.patchNumber(Number(draft.address) + 24, BigInt(mask), 4)
}

/** XSAVE and XRSTOR of x87 and SSE state only: EDX:EAX asks for no more, and the header offers no more. */
function extendedSave(draft: Draft): void {
  draft.setLow(RAX, BigInt(draft.random.below(4)), 4)
  draft.setLow(RDX, 0n, 4)
}

function extendedImage(draft: Draft): void {
  loadFxImage(draft)
  const header = new Uint8Array(64)
  header[0] = draft.random.below(4)
  if (draft.random.oneIn(8)) header[draft.random.below(64)] = 0x80
  draft.patch(Number(draft.address) + 512, header)
}

/** A base to be written: canonical or not. */
function newBase(draft: Draft): void {
  const value = draft.random.pick([draft.random.u64(), draft.random.u64() >> 17n, 0x800000000000n, 0n])
  draft.setLow(draft.choice.rm, value, draft.choice.operandSize / 8)
}

function enough(draft: Draft): void {
  draft.pointStack()
}

/** BSWAP of 16 bits is undefined. */
function wideOnly(draft: Draft): void {
  if (draft.choice.operandSize === 16) draft.discarded = true
}

const strings = Object.fromEntries('MOVS CMPS STOS LODS SCAS INS OUTS'.split(' ').map((m) => [m, stringOperands]))
const shifts = Object.fromEntries('ROL ROR RCL RCR SHL SHR SAR'.split(' ').map((m) => [m, shift]))

export const before: Readonly<Record<string, Hook>> = {
  ...strings, ...shifts,
  SHLD: doubleShift, SHRD: doubleShift, DIV: dividend, IDIV: dividend, LOOP: loopCount, LOOPE: loopCount, LOOPNE: loopCount,
  JCXZ: loopCount, Jcc: relative, JMP: relative, XLAT: xlat, MASKMOVQ: maskedStore, MASKMOVDQU: maskedStore, VMASKMOVDQU: maskedStore,
  PUSH: enough, PUSH_SREG: enough, PUSHF: enough, PUSHA: enough, CALL_INDIRECT: enough, CALL_FAR: enough,
  CALL: (draft) => { enough(draft); relative(draft) },
  POP: (draft) => pushed(draft, () => [integer(draft.random, draft.size * 8)]), POPA: enough, POPF: popFlags, POP_SREG: popSelector,
  RET: returnNear, RET_FAR: returnFar, IRET: interruptReturn, ENTER: frameRegisters, LEAVE: frameRegisters,
  XSAVE: extendedSave, XSAVEOPT: extendedSave, XRSTOR: extendedSave, BSWAP: wideOnly,
}

export const after: Readonly<Record<string, Hook>> = {
  BT: bitOffset, BTS: bitOffset, BTR: bitOffset, BTC: bitOffset, CMPXCHG: compareExchange, CMPXCHG8B: compareExchangePair,
  CMPXCHG16B: compareExchangePair, CALL_INDIRECT: indirect, JMP_INDIRECT: indirect, CALL_FAR: farPointer, JMP_FAR: farPointer,
  MOV_TO_SREG: selectorOperand, VERR: selectorOperand, VERW: selectorOperand, LAR: selectorOperand, LSL: selectorOperand,
  LES: loadFarPointer, LDS: loadFarPointer, LSS: loadFarPointer, LFS: loadFarPointer, LGS: loadFarPointer, BOUND: bounds,
  PCMPESTRI: stringLengths, PCMPESTRM: stringLengths, VPCMPESTRI: stringLengths, VPCMPESTRM: stringLengths, LDMXCSR: loadMxcsr,
  VLDMXCSR: loadMxcsr, FLDCW: loadControlWord, FLDENV: loadEnvironment,
  FRSTOR: loadEnvironment, FXRSTOR: loadFxImage, XRSTOR: extendedImage, WRFSBASE: newBase, WRGSBASE: newBase,
}
