/** System instructions: 0F 00 to 0F 09, 0F 20 to 0F 35, group 15 and INVPCID (SDM Vol. 2D tables ). */
import type { Row } from './row.ts'
import { row } from './row.ts'

const PROTECTED = { protectedOnly: true }
/** The pseudo-descriptor holds 6 bytes, 10 in 64-bit mode; the operand size chooses 24 or 32 bits of base outside it. */
const DESCRIPTOR_TABLE = { f64: true, size: 'v' } as const
const FSGSBASE = { feature: 'FSGSBASE', only64: true }
const FXSR = { feature: 'FXSR', size: 'y' } as const
const XSAVE = { feature: 'XSAVE', size: 'y' } as const

export const systemRows: readonly Row[] = [
  // Group 6.
  row('0F 00 /0 mem', 'SLDT', 'Mw', PROTECTED),
  row('0F 00 /0 reg', 'SLDT', 'Rv', PROTECTED),
  row('0F 00 /1 mem', 'STR', 'Mw', PROTECTED),
  row('0F 00 /1 reg', 'STR', 'Rv', PROTECTED),
  row('0F 00 /2', 'LLDT', 'Ew', PROTECTED),
  row('0F 00 /3', 'LTR', 'Ew', PROTECTED),
  row('0F 00 /4', 'VERR', 'Ew', PROTECTED),
  row('0F 00 /5', 'VERW', 'Ew', PROTECTED),
  // Group 7.
  row('0F 01 /0 mem', 'SGDT', 'Ms', DESCRIPTOR_TABLE),
  row('0F 01 /1 mem', 'SIDT', 'Ms', DESCRIPTOR_TABLE),
  row('0F 01 /2 mem', 'LGDT', 'Ms', DESCRIPTOR_TABLE),
  row('0F 01 /3 mem', 'LIDT', 'Ms', DESCRIPTOR_TABLE),
  row('0F 01 /4 mem', 'SMSW', 'Mw'),
  row('0F 01 /4 reg', 'SMSW', 'Rv'),
  row('0F 01 /6', 'LMSW', 'Ew', { ends: true }),
  row('0F 01 /7 mem', 'INVLPG', 'M', { ends: true }),
  row('NP 0F 01 /0 reg rm=1', 'VMCALL', '', { ends: true }),
  row('NP 0F 01 /1 reg rm=0', 'MONITOR', '', { feature: 'MONITOR' }),
  row('NP 0F 01 /1 reg rm=1', 'MWAIT', '', { feature: 'MONITOR', ends: true }),
  row('NP 0F 01 /1 reg rm=2', 'CLAC', '', { feature: 'SMAP' }),
  row('NP 0F 01 /1 reg rm=3', 'STAC', '', { feature: 'SMAP' }),
  row('NP 0F 01 /2 reg rm=0', 'XGETBV', '', { feature: 'XSAVE' }),
  row('NP 0F 01 /2 reg rm=1', 'XSETBV', '', { feature: 'XSAVE', ends: true }),
  row('0F 01 /3 reg rm=1', 'VMMCALL', '', { ends: true }),
  row('0F 01 /7 reg rm=0', 'SWAPGS', '', { only64: true }),
  row('0F 01 /7 reg rm=1', 'RDTSCP', '', { feature: 'RDTSCP' }),

  row('0F 02', 'LAR', 'Gv,Ew', PROTECTED),
  row('0F 03', 'LSL', 'Gv,Ew', PROTECTED),
  // SYSCALL and SYSRET outside 64-bit mode are #UD on Intel's processors, and work on AMD's: Intel's choice.
  row('0F 05', 'SYSCALL', '', { feature: 'SYSCALL', only64: true, ends: true }),
  row('0F 06', 'CLTS'),
  row('0F 07', 'SYSRET', '', { feature: 'SYSCALL', only64: true, ends: true, size: 'y' }),
  row('0F 08', 'INVD'),
  // F3 0F 09 (WBNOINVD) executes as WBINVD on a processor that has not got it.
  row('0F 09', 'WBINVD'),

  // ModRM.mod is ignored: the operand is always a register, 32 bits wide or, in 64-bit mode, 64.
  row('0F 20', 'MOV_FROM_CR', 'Ry,Cy', { f64: true }),
  row('0F 21', 'MOV_FROM_DR', 'Ry,Dy', { f64: true }),
  row('0F 22', 'MOV_TO_CR', 'Cy,Ry', { f64: true, ends: true }),
  row('0F 23', 'MOV_TO_DR', 'Dy,Ry', { f64: true, ends: true }),
  row('0F 30', 'WRMSR', '', { feature: 'MSR', ends: true }),
  row('0F 31', 'RDTSC', '', { feature: 'TSC' }),
  row('0F 32', 'RDMSR', '', { feature: 'MSR' }),
  row('0F 33', 'RDPMC'),
  // In real mode they are #GP, not #UD, and virtual-8086 programs may use SYSENTER.
  row('0F 34', 'SYSENTER', '', { feature: 'SEP', ends: true }),
  row('0F 35', 'SYSEXIT', '', { feature: 'SEP', ends: true, size: 'y' }),

  // Group 15.
  row('NP 0F AE /0 mem', 'FXSAVE', 'Mfx', FXSR),
  row('NP 0F AE /1 mem', 'FXRSTOR', 'Mfx', FXSR),
  row('NP 0F AE /2 mem', 'LDMXCSR', 'Md', { feature: 'SSE' }),
  row('NP 0F AE /3 mem', 'STMXCSR', 'Md', { feature: 'SSE' }),
  row('NP 0F AE /4 mem', 'XSAVE', 'M', XSAVE),
  row('NP 0F AE /5 mem', 'XRSTOR', 'M', XSAVE),
  row('NP 0F AE /6 mem', 'XSAVEOPT', 'M', { feature: 'XSAVEOPT', size: 'y' }),
  row('66 0F AE /6 mem', 'CLWB', 'Mb', { feature: 'CLWB' }),
  row('NP 0F AE /7 mem', 'CLFLUSH', 'Mb', { feature: 'CLFSH' }),
  row('66 0F AE /7 mem', 'CLFLUSHOPT', 'Mb', { feature: 'CLFLUSHOPT' }),
  row('NP 0F AE /5 reg', 'LFENCE', '', { feature: 'SSE2' }),
  row('NP 0F AE /6 reg', 'MFENCE', '', { feature: 'SSE2' }),
  row('NP 0F AE /7 reg', 'SFENCE', '', { feature: 'SSE' }),
  row('F3 0F AE /0 reg', 'RDFSBASE', 'Ry', FSGSBASE),
  row('F3 0F AE /1 reg', 'RDGSBASE', 'Ry', FSGSBASE),
  row('F3 0F AE /2 reg', 'WRFSBASE', 'Ry', FSGSBASE),
  row('F3 0F AE /3 reg', 'WRGSBASE', 'Ry', FSGSBASE),

  row('66 0F 38 82 mem', 'INVPCID', 'Gy,Mdq', { feature: 'INVPCID', f64: true, ends: true }),
]
