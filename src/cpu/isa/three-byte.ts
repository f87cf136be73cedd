/** The vector part of the three-byte maps 0F 38 and 0F 3A (SDM Vol. 2D tables ): SSSE3, SSE4, AES, PCLMULQDQ, SHA. */
import type { Row } from './row.ts'
import { row } from './row.ts'

const SSSE3 = { feature: 'SSSE3' }
const SSE4_1 = { feature: 'SSE4_1' }
const SSE4_2 = { feature: 'SSE4_2' }
/** PCMPxSTRx: unaligned memory; PCMPESTRx take 64-bit lengths from RAX and RDX with REX.W. */
const STRING = { feature: 'SSE4_2', unaligned: true }
const EXPLICIT_STRING = { ...STRING, size: 'y' } as const
const AES = { feature: 'AES' }
/** The recorded processor (AMD) lets memory be unaligned, which the SDM's exception class 4 does not. */
const SHA = { feature: 'SHA', unaligned: true }

/** `opcode` of the 0F 38 map with MMX operands and, with 66, with SSE operands. */
function both(opcode: string, mnemonic: string): Row[] {
  return [row(`NP 0F 38 ${opcode}`, mnemonic, 'Pq,Qq', SSSE3), row(`66 0F 38 ${opcode}`, mnemonic, 'Vdq,Wdq', SSSE3)]
}

export const threeByteRows: readonly Row[] = [
  ...both('00', 'PSHUFB'),
  ...both('01', 'PHADDW'),
  ...both('02', 'PHADDD'),
  ...both('03', 'PHADDSW'),
  ...both('04', 'PMADDUBSW'),
  ...both('05', 'PHSUBW'),
  ...both('06', 'PHSUBD'),
  ...both('07', 'PHSUBSW'),
  ...both('08', 'PSIGNB'),
  ...both('09', 'PSIGNW'),
  ...both('0A', 'PSIGND'),
  ...both('0B', 'PMULHRSW'),
  row('66 0F 38 10', 'PBLENDVB', 'Vdq,Wdq', SSE4_1),
  row('66 0F 38 14', 'BLENDVPS', 'Vps,Wps', SSE4_1),
  row('66 0F 38 15', 'BLENDVPD', 'Vpd,Wpd', SSE4_1),
  row('66 0F 38 17', 'PTEST', 'Vdq,Wdq', SSE4_1),
  ...both('1C', 'PABSB'),
  ...both('1D', 'PABSW'),
  ...both('1E', 'PABSD'),
  row('66 0F 38 20', 'PMOVSXBW', 'Vdq,Wq', SSE4_1),
  row('66 0F 38 21', 'PMOVSXBD', 'Vdq,Wd', SSE4_1),
  row('66 0F 38 22', 'PMOVSXBQ', 'Vdq,Ww', SSE4_1),
  row('66 0F 38 23', 'PMOVSXWD', 'Vdq,Wq', SSE4_1),
  row('66 0F 38 24', 'PMOVSXWQ', 'Vdq,Wd', SSE4_1),
  row('66 0F 38 25', 'PMOVSXDQ', 'Vdq,Wq', SSE4_1),
  row('66 0F 38 28', 'PMULDQ', 'Vdq,Wdq', SSE4_1),
  row('66 0F 38 29', 'PCMPEQQ', 'Vdq,Wdq', SSE4_1),
  row('66 0F 38 2A mem', 'MOVNTDQA', 'Vdq,Mdq', SSE4_1),
  row('66 0F 38 2B', 'PACKUSDW', 'Vdq,Wdq', SSE4_1),
  row('66 0F 38 30', 'PMOVZXBW', 'Vdq,Wq', SSE4_1),
  row('66 0F 38 31', 'PMOVZXBD', 'Vdq,Wd', SSE4_1),
  row('66 0F 38 32', 'PMOVZXBQ', 'Vdq,Ww', SSE4_1),
  row('66 0F 38 33', 'PMOVZXWD', 'Vdq,Wq', SSE4_1),
  row('66 0F 38 34', 'PMOVZXWQ', 'Vdq,Wd', SSE4_1),
  row('66 0F 38 35', 'PMOVZXDQ', 'Vdq,Wq', SSE4_1),
  row('66 0F 38 37', 'PCMPGTQ', 'Vdq,Wdq', SSE4_2),
  row('66 0F 38 38', 'PMINSB', 'Vdq,Wdq', SSE4_1),
  row('66 0F 38 39', 'PMINSD', 'Vdq,Wdq', SSE4_1),
  row('66 0F 38 3A', 'PMINUW', 'Vdq,Wdq', SSE4_1),
  row('66 0F 38 3B', 'PMINUD', 'Vdq,Wdq', SSE4_1),
  row('66 0F 38 3C', 'PMAXSB', 'Vdq,Wdq', SSE4_1),
  row('66 0F 38 3D', 'PMAXSD', 'Vdq,Wdq', SSE4_1),
  row('66 0F 38 3E', 'PMAXUW', 'Vdq,Wdq', SSE4_1),
  row('66 0F 38 3F', 'PMAXUD', 'Vdq,Wdq', SSE4_1),
  row('66 0F 38 40', 'PMULLD', 'Vdq,Wdq', SSE4_1),
  row('66 0F 38 41', 'PHMINPOSUW', 'Vdq,Wdq', SSE4_1),
  row('NP 0F 38 C8', 'SHA1NEXTE', 'Vdq,Wdq', SHA),
  row('NP 0F 38 C9', 'SHA1MSG1', 'Vdq,Wdq', SHA),
  row('NP 0F 38 CA', 'SHA1MSG2', 'Vdq,Wdq', SHA),
  row('NP 0F 38 CB', 'SHA256RNDS2', 'Vdq,Wdq', SHA),
  row('NP 0F 38 CC', 'SHA256MSG1', 'Vdq,Wdq', SHA),
  row('NP 0F 38 CD', 'SHA256MSG2', 'Vdq,Wdq', SHA),
  row('66 0F 38 DB', 'AESIMC', 'Vdq,Wdq', AES),
  row('66 0F 38 DC', 'AESENC', 'Vdq,Wdq', AES),
  row('66 0F 38 DD', 'AESENCLAST', 'Vdq,Wdq', AES),
  row('66 0F 38 DE', 'AESDEC', 'Vdq,Wdq', AES),
  row('66 0F 38 DF', 'AESDECLAST', 'Vdq,Wdq', AES),

  row('66 0F 3A 08', 'ROUNDPS', 'Vps,Wps,Ib', SSE4_1),
  row('66 0F 3A 09', 'ROUNDPD', 'Vpd,Wpd,Ib', SSE4_1),
  row('66 0F 3A 0A', 'ROUNDSS', 'Vss,Wss,Ib', SSE4_1),
  row('66 0F 3A 0B', 'ROUNDSD', 'Vsd,Wsd,Ib', SSE4_1),
  row('66 0F 3A 0C', 'BLENDPS', 'Vps,Wps,Ib', SSE4_1),
  row('66 0F 3A 0D', 'BLENDPD', 'Vpd,Wpd,Ib', SSE4_1),
  row('66 0F 3A 0E', 'PBLENDW', 'Vdq,Wdq,Ib', SSE4_1),
  row('NP 0F 3A 0F', 'PALIGNR', 'Pq,Qq,Ib', SSSE3),
  row('66 0F 3A 0F', 'PALIGNR', 'Vdq,Wdq,Ib', SSSE3),
  row('66 0F 3A 14 mem', 'PEXTRB', 'Mb,Vdq,Ib', SSE4_1),
  row('66 0F 3A 14 reg', 'PEXTRB', 'Rd,Vdq,Ib', SSE4_1),
  row('66 0F 3A 15 mem', 'PEXTRW', 'Mw,Vdq,Ib', SSE4_1),
  row('66 0F 3A 15 reg', 'PEXTRW', 'Rd,Vdq,Ib', SSE4_1),
  row('66 0F 3A 16', 'PEXTRD', 'Ey,Vdq,Ib', SSE4_1),
  row('66 0F 3A 17', 'EXTRACTPS', 'Ed,Vdq,Ib', SSE4_1),
  row('66 0F 3A 20 mem', 'PINSRB', 'Vdq,Mb,Ib', SSE4_1),
  row('66 0F 3A 20 reg', 'PINSRB', 'Vdq,Rd,Ib', SSE4_1),
  // The memory form has one element to insert; the register form chooses it with bits 7 and 6 of the immediate.
  row('66 0F 3A 21 mem', 'INSERTPS_LOAD', 'Vdq,Md,Ib', SSE4_1),
  row('66 0F 3A 21 reg', 'INSERTPS', 'Vdq,Udq,Ib', SSE4_1),
  row('66 0F 3A 22', 'PINSRD', 'Vdq,Ey,Ib', SSE4_1),
  row('66 0F 3A 40', 'DPPS', 'Vps,Wps,Ib', SSE4_1),
  row('66 0F 3A 41', 'DPPD', 'Vpd,Wpd,Ib', SSE4_1),
  row('66 0F 3A 42', 'MPSADBW', 'Vdq,Wdq,Ib', SSE4_1),
  row('66 0F 3A 44', 'PCLMULQDQ', 'Vdq,Wdq,Ib', { feature: 'PCLMULQDQ' }),
  row('66 0F 3A 60', 'PCMPESTRM', 'Vdq,Wdq,Ib', EXPLICIT_STRING),
  row('66 0F 3A 61', 'PCMPESTRI', 'Vdq,Wdq,Ib', EXPLICIT_STRING),
  row('66 0F 3A 62', 'PCMPISTRM', 'Vdq,Wdq,Ib', STRING),
  row('66 0F 3A 63', 'PCMPISTRI', 'Vdq,Wdq,Ib', STRING),
  row('NP 0F 3A CC', 'SHA1RNDS4', 'Vdq,Wdq,Ib', SHA),
  row('66 0F 3A DF', 'AESKEYGENASSIST', 'Vdq,Wdq,Ib', AES),
]
