import { Vector } from '../mmu/faults.ts'
import { ARITHMETIC_FLAGS, Flag, writeArithmeticFlags } from '../state/flags.ts'
import { Slot } from '../state/layout.ts'
import { Shadow, castShadow } from './interrupt-shadow.ts'
import { Cr4, ioPrivilege, isProtected, isVirtual8086 } from './mode.ts'
import { HelperOutcome } from './outcome.ts'
import type { Processor } from './processor.ts'
import { resume } from './resume.ts'

/** Who may change which bits of RFLAGS: PUSHF, POPF, CLI, STI and IRET's last step (SDM Vol. 2, Vol. 3A §20.3.3). */

const ALWAYS = ARITHMETIC_FLAGS | Flag.TF | Flag.DF | Flag.NT

/** The bits that POPF and IRET load at a privilege level. */
export function loadableFlags(cpu: Processor, bits: number): number {
  const cpl = isProtected(cpu.state) ? cpu.state.cpl : 0
  let mask = ALWAYS
  if (cpl <= ioPrivilege(cpu.state)) mask |= Flag.IF
  if (cpl === 0) mask |= Flag.IOPL
  if (bits !== 16) mask |= Flag.AC | Flag.ID
  return mask
}

/** Loads RFLAGS' bits in `mask`, all the arithmetic flags among them, from an image. */
export function loadFlags(cpu: Processor, image: number, mask: number): void {
  const system = mask & ~ARITHMETIC_FLAGS
  writeArithmeticFlags(cpu.state, image)
  cpu.changeSystemFlags(system, image & system)
}

/** RF as IRET loads it. Only instruction breakpoints look at it, and they clear it; without them it stays clear. */
export function loadResumeFlag(cpu: Processor, image: number): void {
  const kept = cpu.debug.armed ? image & Flag.RF : 0
  cpu.changeSystemFlags(Flag.RF, kept)
  cpu.resumeFlagLoaded = kept !== 0
}

/** True in virtual-8086 mode with an IOPL that makes CLI, STI, PUSHF, POPF, INT n and IRET sensitive. */
export const isSensitive = (cpu: Processor): boolean => isVirtual8086(cpu.state) && ioPrivilege(cpu.state) < 3

const hasVme = (cpu: Processor): boolean => (cpu.state.cr4 & Cr4.VME) !== 0

/** The 16-bit image that virtual-8086 programs get with VME: IF shows VIF, IOPL shows 3. */
export function virtualImage(cpu: Processor): number {
  const flags = cpu.flags
  return (flags & 0xffff & ~Flag.IF) | Flag.IOPL | ((flags & Flag.VIF) !== 0 ? Flag.IF : 0)
}

/** Loads a 16-bit image with VME: VIF takes IF's place. False with #GP(0) where the 8086 monitor must see it. */
export function loadVirtualImage(cpu: Processor, image: number): boolean {
  const flags = cpu.systemFlags
  const enables = (image & Flag.IF) !== 0
  if ((enables && (flags & Flag.VIP) !== 0) || (image & Flag.TF) !== 0) return cpu.fault(Vector.GP)
  loadFlags(cpu, (image & ALWAYS) | (enables ? Flag.VIF : 0), ALWAYS | Flag.VIF)
  return true
}

/** PUSHF: argument 0 is the operand size; the image is the result. */
export function pushFlags(cpu: Processor): HelperOutcome {
  const bits = cpu.argument32(0)
  if (!isSensitive(cpu)) cpu.setResult32(cpu.flags & ~(Flag.VM | Flag.RF))
  else if (bits === 16 && hasVme(cpu)) cpu.setResult32(virtualImage(cpu))
  else return cpu.fail(Vector.GP)
  return HelperOutcome.OK
}

/** POPF: argument 0 is the operand size, argument 1 the image, argument 2 the next instruction's pointer. */
export function popFlags(cpu: Processor): HelperOutcome {
  const bits = cpu.argument32(0)
  const image = cpu.argument32(1)
  const next = cpu.argument64(2)
  const context = cpu.state.slotU32(Slot.CONTEXT)
  if (isSensitive(cpu)) {
    if (bits !== 16 || !hasVme(cpu)) return cpu.fail(Vector.GP)
    if (!loadVirtualImage(cpu, image)) return HelperOutcome.FAULT
  } else loadFlags(cpu, image & ~Flag.RF, loadableFlags(cpu, bits) | Flag.RF)
  return resume(cpu, next, context)
}

/** CLI. */
export function clearInterruptFlag(cpu: Processor): HelperOutcome {
  if (interruptFlagAllowed(cpu)) cpu.changeSystemFlags(Flag.IF, 0)
  else if (virtualInterruptsAllowed(cpu)) cpu.changeSystemFlags(Flag.VIF, 0)
  else return cpu.fail(Vector.GP)
  return HelperOutcome.OK
}

/** STI: interrupts come one instruction later if they were disabled. Argument 0 is the next instruction's pointer. */
export function setInterruptFlag(cpu: Processor): HelperOutcome {
  if (interruptFlagAllowed(cpu)) {
    if ((cpu.systemFlags & Flag.IF) === 0) castShadow(cpu.state, Shadow.STI, cpu.argument64(0))
    cpu.changeSystemFlags(0, Flag.IF)
  } else if (virtualInterruptsAllowed(cpu) && (cpu.systemFlags & Flag.VIP) === 0) cpu.changeSystemFlags(0, Flag.VIF)
  else return cpu.fail(Vector.GP)
  return HelperOutcome.OK
}

function interruptFlagAllowed(cpu: Processor): boolean {
  const { state } = cpu
  if (!isProtected(state)) return true
  return isVirtual8086(state) ? ioPrivilege(state) === 3 : state.cpl <= ioPrivilege(state)
}

function virtualInterruptsAllowed(cpu: Processor): boolean {
  const { state } = cpu
  return isVirtual8086(state) ? hasVme(cpu) : state.cpl === 3 && (state.cr4 & Cr4.PVI) !== 0
}
