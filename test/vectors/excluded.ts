/** Rows that no vector can show, and why. Keyed by the row's mnemonic. */

const KERNEL = 'enters the kernel'
const RANDOM = 'its result is not determined by the state'
const EMULATED = 'UMIP: the kernel emulates it for user programs'
const HOST = 'depends on the host processor or its configuration'
const HYPERVISOR = 'calls the hypervisor'
const IDT = 'goes through a gate of the IDT: see the bare-metal tests'

export const excluded: Readonly<Record<string, string>> = {
  SYSCALL: KERNEL, SYSENTER: KERNEL,
  SYSEXIT: '#UD in long mode on AMD processors, #GP(0) on Intel\'s',
  RDTSC: RANDOM, RDTSCP: RANDOM, RDPID: RANDOM, RDRAND: RANDOM, RDSEED: RANDOM, RDPMC: RANDOM,
  SGDT: EMULATED, SIDT: EMULATED, SLDT: EMULATED, STR: EMULATED, SMSW: EMULATED,
  CPUID: HOST, XGETBV: HOST, XSETBV: HOST, MONITOR: HOST, MWAIT: HOST,
  VMCALL: HYPERVISOR, VMMCALL: HYPERVISOR,
  INT: IDT,
}
