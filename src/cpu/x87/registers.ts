import { BY_PRECISION_CONTROL, packExtended, unpackExtended } from '../softfloat/formats.ts'
import { FloatNumber } from '../softfloat/number.ts'
import { FloatStatus } from '../softfloat/status.ts'
import { Block, Slot } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'

/** Bits of the status word (SDM Vol. 1 §8.1.3); the low six are Exception's. */
export const StatusWord = {
  STACK_FAULT: 0x40,
  ERROR_SUMMARY: 0x80,
  C0: 0x100,
  C1: 0x200,
  C2: 0x400,
  TOP: 0x3800,
  C3: 0x4000,
  BUSY: 0x8000,
} as const

const INVALID_STACK = 0x41
const EXCEPTIONS = 0x3f

/**
 * The x87 of one vCPU: access to its part of the slot, and the numbers being worked on. It holds nothing between instructions.
 *
 * Memory operands come in the first 16 bytes of Block.ARGUMENTS and results for memory go to Block.RESULT, both little-endian.
 */
export class X87 {
  readonly state: VcpuState
  readonly words: Uint32Array
  /** Word indices of the operand and result areas. */
  readonly operandAt: number
  readonly resultAt: number
  readonly status = new FloatStatus()
  readonly a = new FloatNumber()
  readonly b = new FloatNumber()
  readonly result = new FloatNumber()
  /** Format of register results, from the precision control field. */
  format = BY_PRECISION_CONTROL[3]
  private readonly registersAt: number

  constructor(state: VcpuState) {
    this.state = state
    this.words = state.u32
    this.operandAt = (state.block + Block.ARGUMENTS) >> 2
    this.resultAt = (state.block + Block.RESULT) >> 2
    this.registersAt = (state.slot + Slot.X87) >> 2
    this.status.x87 = true
  }

  get controlWord(): number { return this.state.slotU16(Slot.FCW) }
  /** Reserved bits read as the processor has them: bit 6 set, 7 and 13 to 15 clear. */
  set controlWord(value: number) { this.state.setSlotU16(Slot.FCW, (value & 0x1f7f) | 0x40) }
  get statusWord(): number { return this.state.slotU16(Slot.FSW) }
  set statusWord(value: number) { this.state.setSlotU16(Slot.FSW, value) }
  /** Abridged tags: bit n is set when physical register n is in use. */
  get tags(): number { return this.state.slotU16(Slot.FTW) }
  set tags(value: number) { this.state.setSlotU16(Slot.FTW, value) }

  get top(): number { return (this.statusWord >> 11) & 7 }
  set top(value: number) { this.statusWord = (this.statusWord & ~StatusWord.TOP) | (value & 7) << 11 }

  /** An unmasked exception is pending: the next waiting instruction must raise #MF. */
  get pending(): boolean { return (this.statusWord & StatusWord.ERROR_SUMMARY) !== 0 }

  private physical(i: number): number { return (this.top + i) & 7 }
  isEmpty(i: number): boolean { return (this.tags >> this.physical(i) & 1) === 0 }
  setEmpty(i: number): void { this.tags &= ~(1 << this.physical(i)) }
  setValid(i: number): void { this.tags |= 1 << this.physical(i) }

  /** Word index of ST(i). */
  at(i: number): number { return this.registersAt + this.physical(i) * 4 }
  load(n: FloatNumber, i: number): void {
    const at = this.at(i)
    unpackExtended(n, this.words[at], this.words[at + 1], this.words[at + 2])
  }
  /** Writes ST(i) and marks it in use. */
  store(i: number, n: FloatNumber): void {
    packExtended(n, this.words, this.at(i))
    this.setValid(i)
  }
  storeIndefinite(i: number): void {
    this.result.setIndefinite()
    this.store(i, this.result)
  }
  copy(to: number, from: number): void {
    this.copyWords(this.at(to), this.at(from))
    this.setValid(to)
  }
  /** Copies the three words of a register between word indices: far quicker than copyWithin for so few. */
  copyWords(to: number, from: number): void {
    const { words } = this
    words[to] = words[from]
    words[to + 1] = words[from + 1]
    words[to + 2] = words[from + 2]
  }

  push(): void { this.top -= 1 }
  pop(): void {
    this.setEmpty(0)
    this.top += 1
  }

  /** Takes rounding, precision and masks from the control word for a new instruction. */
  begin(): void {
    const control = this.controlWord
    this.status.flags = 0
    this.status.roundedUp = false
    this.status.roundingMode = (control >> 10) & 3
    this.status.masks = control & EXCEPTIONS
    this.format = BY_PRECISION_CONTROL[(control >> 8) & 3]
  }

  /**
   * Moves the exceptions raised since `begin` to the status word, with C1 telling whether the result was rounded up. Tells whether
   * there is a result: false when an exception found before the computation is unmasked.
   */
  settle(): boolean {
    const { flags, roundedUp, stopped } = this.status
    this.raise(flags, roundedUp && (flags & 0x20) !== 0)
    return !stopped
  }

  /** As `settle`, for the instructions that leave C1 alone. */
  settleKeepingC1(): boolean {
    this.raise(this.status.flags, (this.statusWord & StatusWord.C1) !== 0)
    return !this.status.stopped
  }

  /** An operand is empty, or the destination of a push is not: returns whether the masked response applies. */
  stackUnderflow(): boolean { return this.stackFault(false) }
  stackOverflow(): boolean { return this.stackFault(true) }

  private stackFault(c1: boolean): boolean {
    this.raise(INVALID_STACK, c1)
    return (this.controlWord & 1) !== 0
  }

  /** Adds exceptions to the status word, sets C1, and sets ES and B when one is unmasked. */
  private raise(flags: number, c1: boolean): void {
    this.setSummarised((this.statusWord & ~StatusWord.C1) | flags | (c1 ? StatusWord.C1 : 0))
  }

  /** ES and B follow the unmasked exceptions. */
  updateSummary(): void { this.setSummarised(this.statusWord) }

  private setSummarised(word: number): void {
    const unmasked = word & ~this.controlWord & EXCEPTIONS
    const summary = StatusWord.ERROR_SUMMARY | StatusWord.BUSY
    this.statusWord = unmasked !== 0 ? word | summary : word & ~summary
  }

  /** Replaces the condition codes C0, C2 and C3. */
  setConditions(conditions: number): void {
    this.statusWord = (this.statusWord & ~(StatusWord.C0 | StatusWord.C2 | StatusWord.C3)) | conditions
  }
}
