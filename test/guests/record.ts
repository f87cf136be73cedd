/** The records that the monitor's handlers write, and how they go on. */
import { mem } from './assembler.ts'
import { Variable } from './layout.ts'
import type { Guest } from './monitor.ts'

/** Vector of a probe that ended without an exception, and of an observation. */
export const DONE = 0x80
export const OBSERVED = 0x1000

/** Fields of a record, 8 bytes each, in order. */
export const RECORD_FIELDS = [
  'probe', 'error', 'rip', 'selectors', 'flags', 'rsp', 'cr2', 'rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'dr6', 'handler',
  'segments', 'spare1', 'spare2', 'spare3',
] as const
export const RECORD_SIZE = RECORD_FIELDS.length * 8
/** Offset of a field in a record. */
export const field = (name: typeof RECORD_FIELDS[number]): number => RECORD_FIELDS.indexOf(name) * 8

/** Goes on with the next probe: no flag set, all registers zero. */
export function resume(g: Guest): void {
  const { a } = g
  g.loadFlags(2)
  for (const name of ['eax', 'ecx', 'edx', 'ebx', 'ebp', 'esi', 'edi']) a.mov(name, 0)
  a.jmpTo(mem(Variable.RESUME))
}
