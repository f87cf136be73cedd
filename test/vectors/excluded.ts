/** Rows that no vector can show, and why. */
import { rowKey } from './vector.ts'

const KERNEL = 'enters the kernel'
const RANDOM = 'its result is not determined by the state'
const EMULATED = 'UMIP: the kernel emulates it for user programs'
const HOST = 'depends on the host processor or its configuration'
const HYPERVISOR = 'calls the hypervisor'
const IDT = 'goes through a gate of the IDT: see the bare-metal tests'

const byMnemonic: Readonly<Record<string, string>> = {
  SYSCALL: KERNEL, SYSENTER: KERNEL,
  SYSEXIT: '#UD in long mode on AMD processors, #GP(0) on Intel\'s',
  RDTSC: RANDOM, RDTSCP: RANDOM, RDPID: RANDOM, RDRAND: RANDOM, RDSEED: RANDOM, RDPMC: RANDOM,
  SGDT: EMULATED, SIDT: EMULATED, SLDT: EMULATED, STR: EMULATED, SMSW: EMULATED,
  CPUID: HOST, XGETBV: HOST, XSETBV: HOST, MONITOR: HOST, MWAIT: HOST,
  VMCALL: HYPERVISOR, VMMCALL: HYPERVISOR,
  INT: IDT,
}

const byRow: Readonly<Record<string, string>> = {
  '0F 0D reg Rv': 'a NOP on Intel\'s processors, #UD on AMD\'s',
}

/** Why a row has no vectors; undefined if it should have some. */
export function reasonWithout(row: { readonly opcode: string; readonly mnemonic: string; readonly operands: readonly string[] }): string | undefined {
  return byMnemonic[row.mnemonic] ?? byRow[rowKey(row)]
}
