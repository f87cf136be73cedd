import {
  arithmeticMemory, arithmeticToRegister, arithmeticToTop, changeSign, fprem, frndint, fscale, fsqrt, fxtract,
} from './arithmetic.ts'
import type { MemoryFormat } from './arithmetic.ts'
import { compareMemory, compareRegister, compareToFlags, ftst, fxam } from './compare.ts'
import { ffree, fldcw, fnclex, fninit, moveTop } from './control.ts'
import { f2xm1 } from './exponential.ts'
import { fpatan } from './arctangent.ts'
import { fyl2x, fyl2xp1 } from './logarithm.ts'
import type { X87 } from './registers.ts'
import {
  fcmov, fxch, loadConstant, loadDecimal, loadExtended, loadMemory, loadRegister, storeBinary32, storeBinary64, storeDecimal,
  storeExtended, storeInteger, storeRegister, storeUnchecked,
} from './transfer.ts'
import { fcos, fptan, fsin, fsincos } from './trigonometry.ts'

/** What an x87 helper tells its caller. */
export const X87Outcome = {
  DONE: 0,
  /** A store must not happen: an unmasked exception is pending instead. */
  NO_STORE: 1,
  /** Nothing was done: an exception is pending, and the caller raises #MF (vector 16). */
  MATH_FAULT: 16,
} as const

/** A register form's work. `condition` is FCMOVcc's. FCOMI and its like return flags (see `compareToFlags`), others nothing. */
type RegisterForm = (x87: X87, i: number, condition: boolean) => number | void
/** A memory form's work. Stores return whether Block.RESULT is to be written. */
type MemoryForm = (x87: X87) => boolean | void

export interface X87RegisterRow {
  readonly run: RegisterForm
  /** It first checks for a pending exception. */
  readonly waits: boolean
}

export interface X87MemoryRow {
  readonly run: MemoryForm
  readonly waits: boolean
  /** Bytes of the memory operand. */
  readonly size: number
  readonly store: boolean
}

/** By opcode << 6 | the low six bits of ModRM, and by opcode << 3 | ModRM.reg. */
const registerRows: (X87RegisterRow | undefined)[] = Array.from({ length: 512 }, () => undefined)
const memoryRows: (X87MemoryRow | undefined)[] = Array.from({ length: 64 }, () => undefined)
const registerIndex = (opcode: number, modrm: number): number => opcode << 6 | modrm & 63

/** Adds the eight forms `opcode` with ModRM `base` + i. `opcode` counts from D8. */
function stack(opcode: number, base: number, run: RegisterForm): void {
  for (let i = 0; i < 8; i++) registerRows[registerIndex(opcode, base + i)] = { run, waits: true }
}

function single(opcode: number, modrm: number, run: RegisterForm, waits = true): void {
  registerRows[registerIndex(opcode, modrm)] = { run, waits }
}

function load(opcode: number, reg: number, size: number, run: MemoryForm): void {
  memoryRows[opcode << 3 | reg] = { run, waits: true, size, store: false }
}

function store(opcode: number, reg: number, size: number, run: MemoryForm): void {
  memoryRows[opcode << 3 | reg] = { run, waits: true, size, store: true }
}

function arithmeticForms(opcode: number, size: number, format: MemoryFormat): void {
  for (const operation of [0, 1, 4, 5, 6, 7]) load(opcode, operation, size, x87 => arithmeticMemory(x87, operation, format))
  load(opcode, 2, size, x87 => compareMemory(x87, format, 0))
  load(opcode, 3, size, x87 => compareMemory(x87, format, 1))
}

arithmeticForms(0, 4, 'binary32')
arithmeticForms(2, 4, 'int32')
arithmeticForms(4, 8, 'binary64')
arithmeticForms(6, 2, 'int16')

for (const operation of [0, 1, 4, 5, 6, 7]) {
  stack(0, 0xc0 + operation * 8, (x87, i) => arithmeticToTop(x87, operation, i))
  stack(4, 0xc0 + operation * 8, (x87, i) => arithmeticToRegister(x87, operation, i, false))
  stack(6, 0xc0 + operation * 8, (x87, i) => arithmeticToRegister(x87, operation, i, true))
}

const fcom = (pops: number): RegisterForm => (x87, i) => compareRegister(x87, i, false, pops)
const fucom = (pops: number): RegisterForm => (x87, i) => compareRegister(x87, i, true, pops)
for (const opcode of [0, 4]) {
  stack(opcode, 0xd0, fcom(0))
  stack(opcode, 0xd8, fcom(1))
}
stack(6, 0xd0, fcom(1))
single(6, 0xd9, fcom(2))
stack(5, 0xe0, fucom(0))
stack(5, 0xe8, fucom(1))
single(2, 0xe9, fucom(2))
stack(3, 0xe8, (x87, i) => compareToFlags(x87, i, true, 0))
stack(3, 0xf0, (x87, i) => compareToFlags(x87, i, false, 0))
stack(7, 0xe8, (x87, i) => compareToFlags(x87, i, true, 1))
stack(7, 0xf0, (x87, i) => compareToFlags(x87, i, false, 1))

stack(1, 0xc0, (x87, i) => loadRegister(x87, i))
for (const [opcode, base] of [[1, 0xc8], [5, 0xc8], [7, 0xc8]]) stack(opcode, base, (x87, i) => fxch(x87, i))
stack(5, 0xd0, (x87, i) => storeRegister(x87, i, false))
for (const [opcode, base] of [[5, 0xd8], [7, 0xd0], [7, 0xd8]]) stack(opcode, base, (x87, i) => storeRegister(x87, i, true))
stack(1, 0xd8, (x87, i) => storeUnchecked(x87, i))
for (const opcode of [2, 3]) {
  for (const base of [0xc0, 0xc8, 0xd0, 0xd8]) stack(opcode, base, (x87, i, condition) => fcmov(x87, i, condition))
}
stack(5, 0xc0, (x87, i) => ffree(x87, i, false))
stack(7, 0xc0, (x87, i) => ffree(x87, i, true))

single(1, 0xd0, () => undefined) // FNOP
single(1, 0xe0, x87 => changeSign(x87, 0xffff, 0x8000)) // FCHS
single(1, 0xe1, x87 => changeSign(x87, 0x7fff, 0)) // FABS
single(1, 0xe4, ftst)
single(1, 0xe5, fxam)
for (let index = 0; index < 7; index++) single(1, 0xe8 + index, x87 => loadConstant(x87, index))
single(1, 0xf0, f2xm1)
single(1, 0xf1, fyl2x)
single(1, 0xf2, fptan)
single(1, 0xf3, fpatan)
single(1, 0xf4, fxtract)
single(1, 0xf5, x87 => fprem(x87, true))
single(1, 0xf6, x87 => moveTop(x87, -1)) // FDECSTP
single(1, 0xf7, x87 => moveTop(x87, 1)) // FINCSTP
single(1, 0xf8, x87 => fprem(x87, false))
single(1, 0xf9, fyl2xp1)
single(1, 0xfa, fsqrt)
single(1, 0xfb, fsincos)
single(1, 0xfc, frndint)
single(1, 0xfd, fscale)
single(1, 0xfe, fsin)
single(1, 0xff, fcos)
single(3, 0xe0, () => undefined, false) // FNENI, an 8087 instruction: no effect since
single(3, 0xe1, () => undefined, false) // FNDISI
single(3, 0xe2, fnclex, false)
single(3, 0xe3, fninit, false)
single(3, 0xe4, () => undefined, false) // FNSETPM, an 80287 instruction

load(1, 0, 4, x87 => loadMemory(x87, 'binary32'))
load(3, 0, 4, x87 => loadMemory(x87, 'int32'))
load(5, 0, 8, x87 => loadMemory(x87, 'binary64'))
load(7, 0, 2, x87 => loadMemory(x87, 'int16'))
load(7, 5, 8, x87 => loadMemory(x87, 'int64'))
load(3, 5, 10, loadExtended)
load(7, 4, 10, loadDecimal)
load(1, 5, 2, x87 => fldcw(x87, x87.words[x87.operandAt]))

store(1, 2, 4, x87 => storeBinary32(x87, false))
store(1, 3, 4, x87 => storeBinary32(x87, true))
store(5, 2, 8, x87 => storeBinary64(x87, false))
store(5, 3, 8, x87 => storeBinary64(x87, true))
store(3, 7, 10, storeExtended)
store(7, 6, 10, storeDecimal)
for (const [opcode, bits] of [[7, 16], [3, 32]] as const) {
  store(opcode, 1, bits / 8, x87 => storeInteger(x87, bits, true, true))
  store(opcode, 2, bits / 8, x87 => storeInteger(x87, bits, false, false))
  store(opcode, 3, bits / 8, x87 => storeInteger(x87, bits, true, false))
}
store(5, 1, 8, x87 => storeInteger(x87, 64, true, true))
store(7, 7, 8, x87 => storeInteger(x87, 64, true, false))

/**
 * The row of a register form: `opcode` is the first byte less D8 (0 to 7), `modrm` 0xc0 to 0xff. Undefined means #UD. FNSTSW AX
 * (DF E0) has no row: its caller reads Slot.FSW.
 */
export function x87RegisterRow(opcode: number, modrm: number): X87RegisterRow | undefined {
  return registerRows[registerIndex(opcode, modrm)]
}

/**
 * The row of a memory form by ModRM.reg. FLDENV, FNSTENV, FRSTOR, FNSAVE (see environment.ts) have no row, nor have FNSTCW and
 * FNSTSW, which store Slot.FCW and Slot.FSW without waiting.
 */
export function x87MemoryRow(opcode: number, reg: number): X87MemoryRow | undefined {
  return memoryRows[opcode << 3 | reg]
}

/**
 * Runs a register form. Returns X87Outcome.MATH_FAULT or DONE; for FCOMI and its like, the new flags (mask 0x45) are left in
 * Block.RESULT's first word.
 */
export function executeRegisterForm(x87: X87, opcode: number, modrm: number, condition = false): number {
  const row = registerRows[registerIndex(opcode, modrm)]!
  if (row.waits && x87.pending) return X87Outcome.MATH_FAULT
  const flags = row.run(x87, modrm & 7, condition)
  if (typeof flags === 'number') x87.words[x87.resultAt] = flags
  return X87Outcome.DONE
}

/** Runs a memory form. Loads find their operand in Block.ARGUMENTS, stores leave it in Block.RESULT unless NO_STORE is returned. */
export function executeMemoryForm(x87: X87, opcode: number, reg: number): number {
  const row = memoryRows[opcode << 3 | reg]!
  if (row.waits && x87.pending) return X87Outcome.MATH_FAULT
  const stored = row.run(x87)
  return row.store && stored !== true ? X87Outcome.NO_STORE : X87Outcome.DONE
}
