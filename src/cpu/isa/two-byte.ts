/** The general-purpose part of the two-byte opcode map (SDM Vol. 2D table A-3) and of the three-byte maps, in opcode order. */
import type { Row } from './row.ts'
import { row } from './row.ts'

const LOCK = { lock: true }
const BRANCH = { f64: true, ends: true, size: 'v' } as const
const D64 = { d64: true, size: 'v' } as const
const CMOV = { feature: 'CMOV' }

export const twoByteRows: readonly Row[] = [
  row('0F 0B', 'UD2', '', { ends: true }),
  // 0F 0D and 0F 18 to 0F 1F are hints: what is not assigned, or belongs to a feature that is off, does nothing.
  row('0F 0D reg', 'NOP', 'Rv'),
  row('0F 0D /0 /4 /5 /6 /7 mem', 'NOP', 'Mv'),
  // /3 is AMD's alias of /1.
  row('0F 0D /1 /3 mem', 'PREFETCHW', 'Mb'),
  row('0F 0D /2 mem', 'PREFETCHWT1', 'Mb'),
  row('0F 18 reg', 'NOP', 'Rv'),
  row('0F 18 /0 mem', 'PREFETCHNTA', 'Mb'),
  row('0F 18 /1 mem', 'PREFETCHT0', 'Mb'),
  row('0F 18 /2 mem', 'PREFETCHT1', 'Mb'),
  row('0F 18 /3 mem', 'PREFETCHT2', 'Mb'),
  row('0F 18 /4 /5 /6 /7 mem', 'NOP', 'Mv'),
  row('0F 19', 'NOP', 'Ev'),
  row('0F 1A', 'NOP', 'Ev'),
  row('0F 1B', 'NOP', 'Ev'),
  row('0F 1C', 'NOP', 'Ev'),
  row('0F 1D', 'NOP', 'Ev'),
  // F3 0F 1E FA and FB, ENDBR64 and ENDBR32, are among these.
  row('0F 1E', 'NOP', 'Ev'),
  row('0F 1F', 'NOP', 'Ev'),
  row('0F 40+cc', 'CMOVcc', 'Gv,Ev', CMOV),
  row('0F 80+cc', 'Jcc', 'Jz', BRANCH),
  row('0F 90+cc', 'SETcc', 'Eb'),
  row('0F A0', 'PUSH_SREG', 'FS', D64),
  row('0F A1', 'POP_SREG', 'FS', D64),
  row('0F A2', 'CPUID'),
  row('0F A3', 'BT', 'Ev,Gv'),
  row('0F A4', 'SHLD', 'Ev,Gv,Ib'),
  row('0F A5', 'SHLD', 'Ev,Gv,CL'),
  row('0F A8', 'PUSH_SREG', 'GS', D64),
  row('0F A9', 'POP_SREG', 'GS', D64),
  row('0F AB', 'BTS', 'Ev,Gv', LOCK),
  row('0F AC', 'SHRD', 'Ev,Gv,Ib'),
  row('0F AD', 'SHRD', 'Ev,Gv,CL'),
  row('0F AF', 'IMUL2', 'Gv,Ev'),
  row('0F B0', 'CMPXCHG', 'Eb,Gb', LOCK),
  row('0F B1', 'CMPXCHG', 'Ev,Gv', LOCK),
  row('0F B2 mem', 'LSS', 'Gv,Mp', { ends: true }),
  row('0F B3', 'BTR', 'Ev,Gv', LOCK),
  row('0F B4 mem', 'LFS', 'Gv,Mp'),
  row('0F B5 mem', 'LGS', 'Gv,Mp'),
  row('0F B6', 'MOVZX', 'Gv,Eb'),
  row('0F B7', 'MOVZX', 'Gv,Ew'),
  row('F3 0F B8', 'POPCNT', 'Gv,Ev', { feature: 'POPCNT' }),
  row('0F B9', 'UD1', 'Gv,Ev', { ends: true }),
  // Group 8.
  row('0F BA /4', 'BT', 'Ev,Ib'),
  row('0F BA /5', 'BTS', 'Ev,Ib', LOCK),
  row('0F BA /6', 'BTR', 'Ev,Ib', LOCK),
  row('0F BA /7', 'BTC', 'Ev,Ib', LOCK),
  row('0F BB', 'BTC', 'Ev,Gv', LOCK),
  // F3 0F BC and F3 0F BD (TZCNT, LZCNT) execute as these on a processor that has not got them.
  row('0F BC', 'BSF', 'Gv,Ev'),
  row('0F BD', 'BSR', 'Gv,Ev'),
  row('0F BE', 'MOVSX', 'Gv,Eb'),
  row('0F BF', 'MOVSX', 'Gv,Ew'),
  row('0F C0', 'XADD', 'Eb,Gb', LOCK),
  row('0F C1', 'XADD', 'Ev,Gv', LOCK),
  row('NP 0F C3 mem', 'MOVNTI', 'My,Gy', { feature: 'SSE2' }),
  // Group 9.
  row('0F C7 /1 mem', 'CMPXCHG8B', 'Mq', { lock: true, feature: 'CX8' }),
  row('0F C7 /1 mem w1', 'CMPXCHG16B', 'Mdq', { lock: true, feature: 'CX16' }),
  row('NFx 0F C7 /6 reg', 'RDRAND', 'Rv', { feature: 'RDRAND' }),
  row('NFx 0F C7 /7 reg', 'RDSEED', 'Rv', { feature: 'RDSEED' }),
  row('F3 0F C7 /7 reg', 'RDPID', 'Ry', { feature: 'RDPID', f64: true }),
  row('0F C8+r', 'BSWAP', 'Zv'),
  row('0F FF', 'UD0', 'Gv,Ev', { ends: true }),
  row('NFx 0F 38 F0 mem', 'MOVBE', 'Gv,Mv', { feature: 'MOVBE' }),
  row('NFx 0F 38 F1 mem', 'MOVBE', 'Mv,Gv', { feature: 'MOVBE' }),
  row('F2 0F 38 F0', 'CRC32', 'Gy,Eb', { feature: 'SSE4_2' }),
  row('F2 0F 38 F1', 'CRC32', 'Gy,Ev', { feature: 'SSE4_2' }),
]
