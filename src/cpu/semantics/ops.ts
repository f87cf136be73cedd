/**
 * The primitive operations that instruction semantics are written over. Semantics *emit*; they do not execute, and they see nothing
 * of the engine that they feed.
 *
 * The rule: **commit at the end**. Reads, address translations and faults are emitted where they are called; every write (`wr`,
 * `setReg`, `st`, `flags`, `setField`, jumps) is staged and emitted after everything that can fault. So a fault leaves the state as it
 * was, and a TLB miss restarts the instruction. Semantics never branch on operand values: only on what is known when they are
 * emitted (sizes, operand kinds, constants); `select` and `choose` pick between values.
 */
import type { OperandSpec } from '../isa/operands.ts'
import type { OperandSize } from '../decode/instruction.ts'
import type { FlagKindName } from '../state/flags.ts'
import type { ValueTypeCode } from '../wasm/opcodes.ts'
import { ValueType } from '../wasm/opcodes.ts'
import { Values } from './values.ts'
import type { Size, Value } from './values.ts'

export type { Size, Value } from './values.ts'
export { carrier } from './values.ts'

/** Condition codes in encoding order (SDM Vol. 2 appendix B, table B-10). */
export const CONDITIONS = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'] as const
export type Condition = (typeof CONDITIONS)[number]

/** A place in memory whose translation has been done: it can be read and written without a fault. */
export interface Place {
  readonly size: Size
  /** Pool address (an I32 leaf). */
  readonly address: Value
}

/** Fields of the slot that semantics may name, with their sizes in bits. */
export type FieldName = 'MXCSR' | 'FCW' | 'FSW' | 'FTW' | 'SYSTEM_FLAGS' | 'STACK_MASK' | 'FS_BASE' | 'GS_BASE' | 'SS_BASE' | 'CS_BASE'

export interface HelperOptions {
  /** The helper's result, loaded from Block.RESULT. Default: none. */
  readonly result?: ValueTypeCode
  /** The helper sets RIP (and perhaps mode and events) itself: nothing may be staged beside it. */
  readonly controls?: boolean
}

export abstract class Ops extends Values {
  /** 64 in 64-bit mode, otherwise 32 (real, protected, virtual-8086 and compatibility mode, 16-bit code included). */
  abstract readonly mode: 64 | 32
  /** Size of the instruction's operation: the effective operand size, 8 for byte forms. */
  abstract readonly size: OperandSize
  /** Address size is known to be 64 bits. */
  abstract readonly address64: boolean
  abstract readonly locked: boolean
  /** 0 none, 1 REP or REPE, 2 REPNE. */
  abstract readonly repeat: 0 | 1 | 2
  /** Of the row's +cc opcodes. */
  abstract readonly condition: Condition
  abstract readonly operands: readonly OperandSpec[]

  // Operands, by position in the row.

  /** Operand `n` is in memory. */
  abstract isMemory(n: number): boolean
  /** Size of operand `n` in bits. */
  abstract operandSize(n: number): Size
  /** Reads operand `n`: a general register, memory, an immediate, a vector or MMX register (64 bits), zero-extended in its carrier. */
  abstract rd(n: number, size?: Size): Value
  /** Writes operand `n` (staged). 32-bit general registers clear their high half; parts of a vector register leave the rest. */
  abstract wr(n: number, value: Value, size?: Size): void
  /** Bits 128 to 255 of vector operand `n` of 256 bits, of which `rd` and `wr` have the rest; a register may be written so in any case. */
  abstract rdHigh(n: number): Value
  abstract wrHigh(n: number, value: Value): void
  /** Translates memory operand `n` for a write now, so that nothing after can fault. No effect on a register. */
  abstract touch(n: number): void
  /** Effective address of memory operand `n`: without the segment base (`LEA`), or linear. */
  abstract offset(n: number): Value
  abstract linear(n: number): Value
  /** The number of register operand `n` (as decoded, I32): for helpers. */
  abstract registerNumber(n: number): Value
  /** The segment of the memory operand, as a number (I32); in 64-bit mode any but SS, FS and GS may be another. */
  abstract memorySegment(): Value
  /** Of a gather: the number of the vector register that indexes memory, and from bit 4 on the shift count of its lanes (I32). */
  abstract vectorIndex(): Value
  /** Second immediate (I32): ENTER's level, a far pointer's selector. */
  abstract immediate2(): Value

  // Registers.

  abstract reg(register: number, size: OperandSize): Value
  abstract setReg(register: number, size: OperandSize, value: Value): void
  abstract xmm(register: number): Value
  abstract setXmm(register: number, value: Value): void
  /** Bits 128 to 255 of a YMM register (staged). */
  abstract setXmmHigh(register: number, value: Value): void
  /** A field of the slot, zero-extended, and its staged write. */
  abstract field(name: FieldName): Value
  abstract setField(name: FieldName, value: Value): void

  // Memory by linear address. `stack`: through SS, which makes #SS of a non-canonical address.

  abstract ld(linear: Value, size: Size, stack?: boolean): Value
  /** Translates (and faults) now, stores at commit. */
  abstract st(linear: Value, size: Size, value: Value, stack?: boolean): void
  abstract place(linear: Value, size: Size, access: 'read' | 'write', stack?: boolean): Place
  abstract ldPlace(place: Place): Value
  abstract stPlace(place: Place, value: Value): void
  /**
   * Copies a run of elements from `source` to `destination` (fills with `value` if it is given) as one commit: at least one element,
   * at most `count`, never past the end of a page, one only where the direction flag is set, where the ranges overlap so that a
   * byte-wise copy would repeat, or where an element needs a slow access. Returns how many (in `count`'s carrier).
   */
  abstract copyRun(source: Value, destination: Value, count: Value, size: OperandSize): Value
  abstract fillRun(destination: Value, value: Value, count: Value, size: OperandSize): Value
  /** Linear address of `offset` in `segment`, with limit and type checks outside 64-bit mode. */
  abstract segmented(segment: number, offset: Value, size: Size, access: 'read' | 'write'): Value
  /** The same for the instruction's effective data segment (overrides applied): string sources, XLAT, MASKMOVQ. */
  abstract segmentedData(offset: Value, size: Size, access: 'read' | 'write'): Value
  /** A register as an address (I64): all of it, or its low 32 or 16 bits, by the effective address size; and its update (staged). */
  abstract addressReg(register: number): Value
  abstract setAddressReg(register: number, value: Value): void
  /** Cuts an I64 to the effective address size. */
  abstract wrapAddress(value: Value): Value

  // Flags: a lazy producer (state/flags.ts), or an override of CF, OF and AF that keeps the rest.

  /** `a` and `b` in the carrier of `size`. A shift's `count` (I32) of zero leaves all flags alone. */
  abstract flags(kind: FlagKindName, size: OperandSize, a: Value, b: Value, count?: Value): void
  /** CF and OF as 0 or 1; AF from bit 4 of `adjust` if given. Nothing happens where `when` is given and zero. */
  abstract flagsCO(carry: Value, overflow: Value, adjust?: Value, when?: Value): void
  /** All six flags at their places in RFLAGS. */
  abstract setArithmeticFlags(value: Value): void
  abstract arithmeticFlags(): Value
  /** 0 or 1. */
  abstract cond(condition: Condition): Value

  // Control.

  /** Goes to branch operand `n`. */
  abstract jump(n: number): void
  /** Goes to a computed instruction pointer (I64), cut to the operand size outside 64-bit mode. */
  abstract jumpTo(target: Value): void
  abstract jumpIf(condition: Value, n: number): void
  /** The next instruction's pointer (I64). */
  abstract nextIp(): Value
  /** Raises an exception, before anything is committed. */
  abstract raiseIf(condition: Value, vector: number, errorCode?: number): void
  /** Goes on to the next instruction, with nothing committed. */
  abstract skipIf(condition: Value): void
  /** After the commit, executes this instruction again where `condition` is not zero. */
  abstract again(condition: Value): void

  // Values that need emission now.

  /** Evaluates once, now. */
  abstract let(value: Value): Value
  /** A value worked out by one of two pieces of code, which may call helpers but stage nothing. */
  abstract choose(condition: Value, type: ValueTypeCode, then: () => Value, otherwise: () => Value): Value
  /** As `choose` where `rare` hardly ever applies: an engine need not have it at hand. */
  abstract chooseCommon(condition: Value, type: ValueTypeCode, common: () => Value, rare: () => Value): Value
  /**
   * Goes through the numbers below `count` (I32), the greatest first: `step` makes a value of the number and of the value before it.
   * It may call no helper and stage nothing.
   */
  abstract fold(count: Value, initial: Value, step: (n: Value, before: Value) => Value): Value
  /**
   * Calls a TypeScript helper now, with up to eight arguments (I32, I64 or V128). A helper that changes state comes after everything
   * that can fault. If it reports a fault nothing is committed.
   */
  abstract helper(name: string, args: readonly Value[], options?: HelperOptions): Value
}

export const NO_VALUE: Value = { type: ValueType.I32, constant: 0, leaf: true, emit: (f) => { f.i32(0) } }
