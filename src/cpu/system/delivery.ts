import { Vector, hasErrorCode } from '../mmu/faults.ts'
import { Block, Slot } from '../state/layout.ts'
import { deliverLong } from './delivery-long.ts'
import { deliverProtected } from './delivery-protected.ts'
import { deliverReal } from './delivery-real.ts'
import { EventKind, combine, externalBit } from './event.ts'
import type { Event } from './event.ts'
import { isLong, isProtected } from './mode.ts'
import { Activity } from './events.ts'
import { endShadow } from './interrupt-shadow.ts'
import type { Processor } from './processor.ts'

/**
 * Delivery of interrupts and exceptions through the IDT (SDM Vol. 3A chapter 6), with double and triple faults.
 */

/**
 * Delivers an event. Registers change only when all of it succeeded; a fault on the way is delivered in its place.
 * @returns false after a triple fault: the processor has shut down.
 */
export function deliver(cpu: Processor, event: Event): boolean {
  cpu.mmu.abandonSlowStores()
  cpu.stepTrap = cpu.newTaskFault = false
  for (let current = event; ;) {
    if (attempt(cpu, current)) {
      endShadow(cpu.state)
      cpu.state.setBlockU32(Block.HALTED, Activity.RUNNING)
      return true
    }
    const next = afterFault(cpu, current)
    if (next === null) return shutDown(cpu)
    current = next
  }
}

/** Delivers the exception recorded in the slot, as a fault of the instruction at Slot.RIP. */
export function deliverFault(cpu: Processor): boolean {
  return deliver(cpu, recordedException(cpu))
}

/** Delivers an interrupt from outside. */
export function deliverInterrupt(cpu: Processor, vector: number): boolean {
  return deliver(cpu, { vector, kind: EventKind.EXTERNAL, errorCode: -1, returnRip: cpu.state.rip })
}

/** Delivers an exception without an error code whose saved pointer is Slot.RIP: traps. */
export function deliverTrap(cpu: Processor, vector: number): boolean {
  return deliver(cpu, { vector, kind: EventKind.EXCEPTION, errorCode: -1, returnRip: cpu.state.rip })
}

function attempt(cpu: Processor, event: Event): boolean {
  const { state } = cpu
  if (!isProtected(state)) return deliverReal(cpu, event)
  return isLong(state) ? deliverLong(cpu, event) : deliverProtected(cpu, event)
}

/** The event that takes the place of one whose delivery raised the recorded exception; null for a triple fault. */
function afterFault(cpu: Processor, failed: Event): Event | null {
  const fault = recordedException(cpu)
  const outcome = combine(failed, fault.vector)
  if (outcome === 'shutdown') return null
  const returnRip = cpu.state.rip
  if (outcome === 'double') {
    return { vector: Vector.DF, kind: EventKind.EXCEPTION, errorCode: isProtected(cpu.state) ? 0 : -1, returnRip }
  }
  const namesSelector = fault.vector >= Vector.TS && fault.vector <= Vector.GP && fault.errorCode >= 0
  return namesSelector ? { ...fault, errorCode: fault.errorCode | externalBit(failed) } : fault
}

function recordedException(cpu: Processor): Event {
  const { state } = cpu
  const vector = state.slotU32(Slot.EXIT_VECTOR)
  // A page fault that becomes a double fault changes CR2 too (SDM Vol. 3A §6.15, Interrupt 14).
  if (vector === Vector.PF) state.setBlockU64(Block.CR2, state.slotU64(Slot.FAULT_ADDRESS))
  const pushes = hasErrorCode(vector) && isProtected(state)
  // Whoever raised it may have said "no error code" (all ones) for an exception that pushes zero.
  const errorCode = pushes ? Math.max(state.slotU32(Slot.EXIT_ERROR_CODE) | 0, 0) : -1
  return { vector, kind: EventKind.EXCEPTION, errorCode, returnRip: state.rip }
}

function shutDown(cpu: Processor): false {
  cpu.state.setBlockU32(Block.HALTED, Activity.SHUTDOWN)
  return false
}
