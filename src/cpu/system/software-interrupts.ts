import { Vector } from '../mmu/faults.ts'
import { Flag } from '../state/flags.ts'
import { deliver } from './delivery.ts'
import { enterVector } from './delivery-real.ts'
import { EventKind } from './event.ts'
import { virtualImage } from './flags-control.ts'
import { Cr4, ioPrivilege, isVirtual8086 } from './mode.ts'
import { HelperOutcome } from './outcome.ts'
import type { Processor } from './processor.ts'
import { redirectionBit } from './tss.ts'

/** INT n, INT3, INTO and INT1 (SDM Vol. 2A). The next instruction's pointer is what the handler returns to. */

/** INT n: argument 0 is the vector, argument 1 the next instruction's pointer. */
export function softwareInterrupt(cpu: Processor): HelperOutcome {
  const vector = cpu.argument32(0) & 0xff
  const next = cpu.argument64(1)
  if (isVirtual8086(cpu.state)) {
    const way = virtual8086Way(cpu, vector)
    if (way === 'fault') return HelperOutcome.FAULT
    if (way === 'redirected') return redirect(cpu, vector, next)
  }
  return raise(cpu, vector, EventKind.SOFTWARE, next)
}

/** INT3: argument 0 is the next instruction's pointer. */
export const breakpointInterrupt = (cpu: Processor): HelperOutcome =>
  raise(cpu, Vector.BP, EventKind.SOFTWARE_EXCEPTION, cpu.argument64(0))

/** INTO: argument 0 is the next instruction's pointer. */
export function overflowInterrupt(cpu: Processor): HelperOutcome {
  if ((cpu.flags & Flag.OF) === 0) return HelperOutcome.OK
  return raise(cpu, Vector.OF, EventKind.SOFTWARE_EXCEPTION, cpu.argument64(0))
}

/** INT1: argument 0 is the next instruction's pointer. */
export const debugInterrupt = (cpu: Processor): HelperOutcome =>
  raise(cpu, Vector.DB, EventKind.PRIVILEGED_SOFTWARE, cpu.argument64(0))

function raise(cpu: Processor, vector: number, kind: EventKind, returnRip: bigint): HelperOutcome {
  deliver(cpu, { vector, kind, errorCode: -1, returnRip })
  return HelperOutcome.RESYNC
}

/** Where virtual-8086 mode sends INT n (SDM Vol. 3A table 20-2). */
function virtual8086Way(cpu: Processor, vector: number): 'protected' | 'redirected' | 'fault' {
  const free = ioPrivilege(cpu.state) === 3
  const bit = (cpu.state.cr4 & Cr4.VME) !== 0 ? redirectionBit(cpu, vector) : 1
  if (bit < 0) return 'fault'
  if (bit === 0) return 'redirected'
  if (free) return 'protected'
  cpu.fault(Vector.GP)
  return 'fault'
}

/** Method 5 and 6: through the 8086 program's own vector table, at linear address 0. */
function redirect(cpu: Processor, vector: number, next: bigint): HelperOutcome {
  const target = cpu.memory.read32(BigInt(vector * 4))
  const free = ioPrivilege(cpu.state) === 3
  const image = free ? cpu.flags & 0xffff : virtualImage(cpu)
  const before = cpu.systemFlags
  if (target < 0 || !enterVector(cpu, target, next, image)) return HelperOutcome.FAULT
  cpu.changeSystemFlags(Flag.IF, before & Flag.IF)
  cpu.changeSystemFlags(free ? Flag.IF : Flag.VIF, 0)
  cpu.stepTrap = false
  return HelperOutcome.RESYNC
}

