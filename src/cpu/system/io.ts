import type { PortSize } from '../../machine/io.ts'
import { ioPrivilege, isProtected, isVirtual8086 } from './mode.ts'
import { HelperOutcome } from './outcome.ts'
import type { Processor } from './processor.ts'
import { portPermitted } from './tss.ts'

/** IN and OUT, also as INS and OUTS use them (SDM Vol. 1 chapter 19). */

/** CPL must not exceed IOPL, or the TSS's bit map must allow every byte; virtual-8086 mode always asks the map. */
function allowed(cpu: Processor, port: number, size: number): boolean {
  const { state } = cpu
  if (!isProtected(state) || (!isVirtual8086(state) && state.cpl <= ioPrivilege(state))) return true
  return portPermitted(cpu, port, size)
}

/** Arguments: port, size in bits; the value is the result. */
export function readPort(cpu: Processor): HelperOutcome {
  const port = cpu.argument32(0) & 0xffff
  const size = (cpu.argument32(1) >> 3) as PortSize
  if (!allowed(cpu, port, size)) return HelperOutcome.FAULT
  cpu.debug.checkPort(port, size)
  cpu.setResult32(cpu.environment.ports.read(port, size))
  return HelperOutcome.OK
}

/** Arguments: port, size in bits, value. */
export function writePort(cpu: Processor): HelperOutcome {
  const port = cpu.argument32(0) & 0xffff
  const size = (cpu.argument32(1) >> 3) as PortSize
  if (!allowed(cpu, port, size)) return HelperOutcome.FAULT
  cpu.debug.checkPort(port, size)
  const value = cpu.argument32(2)
  cpu.environment.ports.write(port, size, size === 4 ? value : value & ((1 << (8 * size)) - 1))
  return HelperOutcome.OK
}

/** INS and OUTS ask before they touch memory: arguments as for readPort, nothing is read. */
export function checkPort(cpu: Processor): HelperOutcome {
  const port = cpu.argument32(0) & 0xffff
  return allowed(cpu, port, cpu.argument32(1) >> 3) ? HelperOutcome.OK : HelperOutcome.FAULT
}
