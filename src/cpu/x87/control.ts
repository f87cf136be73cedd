import { StatusWord } from './registers.ts'
import type { X87 } from './registers.ts'
import { Slot } from '../state/layout.ts'

/** FNINIT: everything but the registers' contents. */
export function fninit(x87: X87): void {
  x87.controlWord = 0x37f
  x87.statusWord = 0
  x87.tags = 0
  clearPointers(x87)
}

function clearPointers(x87: X87): void {
  const { state } = x87
  for (const slot of [Slot.FOP, Slot.FCS, Slot.FDS]) state.setSlotU16(slot, 0)
  for (const slot of [Slot.FIP, Slot.FDP]) state.setSlotU64(slot, 0n)
}

/** FNCLEX: exceptions, stack fault, ES and B; the condition codes and TOP stay. */
export function fnclex(x87: X87): void {
  x87.statusWord &= StatusWord.TOP | StatusWord.C0 | StatusWord.C1 | StatusWord.C2 | StatusWord.C3
}

/** FLDCW: newly unmasked exceptions become pending. */
export function fldcw(x87: X87, value: number): void {
  x87.controlWord = value
  x87.updateSummary()
}

/** FINCSTP and FDECSTP: only TOP moves. C1 is cleared. */
export function moveTop(x87: X87, by: number): void {
  x87.top += by
  x87.statusWord &= ~StatusWord.C1
}

/** FFREE and FFREEP. C1 is cleared. */
export function ffree(x87: X87, i: number, pop: boolean): void {
  x87.setEmpty(i)
  x87.statusWord &= ~StatusWord.C1
  if (pop) x87.pop()
}

/** What every MMX instruction but EMMS does to the x87: TOP is 0 and all registers are in use (SDM Vol. 1 §9.5.1). */
export function enterMmx(x87: X87): void {
  x87.top = 0
  x87.tags = 0xff
}

/** What else writing an MMX register does: sign and exponent become all ones. `register` is physical. */
export function writeMmxExponent(x87: X87, register: number): void {
  x87.words[((x87.state.slot + Slot.X87) >> 2) + register * 4 + 2] = 0xffff
}

/** EMMS: all registers are empty. TOP is 0, as after any other MMX instruction. */
export function emms(x87: X87): void {
  x87.top = 0
  x87.tags = 0
}

/**
 * Stores the pointers of an x87 instruction that is not a control instruction: the low 11 bits of its opcode (the first byte's low
 * three bits, then ModRM), its address, and its memory operand's address if it has one. We store them after every such instruction,
 * as Intel's processors do; AMD's make them visible only when an exception is pending.
 */
export function recordPointers(x87: X87, opcode: number, cs: number, ip: bigint, ds?: number, dp?: bigint): void {
  const { state } = x87
  state.setSlotU16(Slot.FOP, opcode & 0x7ff)
  state.setSlotU16(Slot.FCS, cs)
  state.setSlotU64(Slot.FIP, ip)
  if (dp === undefined) return
  state.setSlotU16(Slot.FDS, ds ?? 0)
  state.setSlotU64(Slot.FDP, dp)
}
