/**
 * Packed integers of 0F 60 to 0F FF (SDM Vol. 2D table A-3): each is an MMX instruction without a mandatory prefix and an SSE2
 * instruction with 66. The same mnemonic over 64-bit (`P`, `Q`) or 128-bit (`V`, `W`) operands.
 *
 * `_LOAD` clears the rest of the destination register; `_IMMEDIATE` shifts by a constant instead of a register's low 64 bits.
 */
import type { Row } from './row.ts'
import { row } from './row.ts'

const MMX = { feature: 'MMX' }
/** MMX instructions that came with SSE or with AMD's extensions of MMX. */
const MMX_EXTENDED = { feature: 'SSE' }
const SSE2 = { feature: 'SSE2' }

/** `opcode` in both widths. */
function packed(opcode: string, mnemonic: string, mmx = MMX): Row[] {
  return [row(`NP 0F ${opcode}`, mnemonic, 'Pq,Qq', mmx), row(`66 0F ${opcode}`, mnemonic, 'Vdq,Wdq', SSE2)]
}

/** A shift of groups 12 to 14: register forms only. */
function shift(opcode: string, n: number, mnemonic: string): Row[] {
  return [
    row(`NP 0F ${opcode} /${n} reg`, `${mnemonic}_IMMEDIATE`, 'Nq,Ib', MMX),
    row(`66 0F ${opcode} /${n} reg`, `${mnemonic}_IMMEDIATE`, 'Udq,Ib', SSE2),
  ]
}

export const packedIntegerRows: readonly Row[] = [
  // With MMX operands the low halves are 32 bits of memory; with SSE operands the whole 16 bytes are read.
  row('NP 0F 60', 'PUNPCKLBW', 'Pq,Qd', MMX),
  row('66 0F 60', 'PUNPCKLBW', 'Vdq,Wdq', SSE2),
  row('NP 0F 61', 'PUNPCKLWD', 'Pq,Qd', MMX),
  row('66 0F 61', 'PUNPCKLWD', 'Vdq,Wdq', SSE2),
  row('NP 0F 62', 'PUNPCKLDQ', 'Pq,Qd', MMX),
  row('66 0F 62', 'PUNPCKLDQ', 'Vdq,Wdq', SSE2),
  ...packed('63', 'PACKSSWB'),
  ...packed('64', 'PCMPGTB'),
  ...packed('65', 'PCMPGTW'),
  ...packed('66', 'PCMPGTD'),
  ...packed('67', 'PACKUSWB'),
  ...packed('68', 'PUNPCKHBW'),
  ...packed('69', 'PUNPCKHWD'),
  ...packed('6A', 'PUNPCKHDQ'),
  ...packed('6B', 'PACKSSDW'),
  row('66 0F 6C', 'PUNPCKLQDQ', 'Vdq,Wdq', SSE2),
  row('66 0F 6D', 'PUNPCKHQDQ', 'Vdq,Wdq', SSE2),
  row('NP 0F 6E', 'MOVD_LOAD', 'Py,Ey', MMX),
  row('66 0F 6E', 'MOVD_LOAD', 'Vy,Ey', SSE2),
  row('NP 0F 6F', 'MOVQ', 'Pq,Qq', MMX),
  row('66 0F 6F', 'MOVDQA', 'Vdq,Wdq', SSE2),
  row('F3 0F 6F', 'MOVDQU', 'Vdq,Wdq', { feature: 'SSE2', unaligned: true }),
  row('NP 0F 70', 'PSHUFW', 'Pq,Qq,Ib', MMX_EXTENDED),
  row('66 0F 70', 'PSHUFD', 'Vdq,Wdq,Ib', SSE2),
  row('F3 0F 70', 'PSHUFHW', 'Vdq,Wdq,Ib', SSE2),
  row('F2 0F 70', 'PSHUFLW', 'Vdq,Wdq,Ib', SSE2),
  ...shift('71', 2, 'PSRLW'),
  ...shift('71', 4, 'PSRAW'),
  ...shift('71', 6, 'PSLLW'),
  ...shift('72', 2, 'PSRLD'),
  ...shift('72', 4, 'PSRAD'),
  ...shift('72', 6, 'PSLLD'),
  ...shift('73', 2, 'PSRLQ'),
  row('66 0F 73 /3 reg', 'PSRLDQ', 'Udq,Ib', SSE2),
  ...shift('73', 6, 'PSLLQ'),
  row('66 0F 73 /7 reg', 'PSLLDQ', 'Udq,Ib', SSE2),
  ...packed('74', 'PCMPEQB'),
  ...packed('75', 'PCMPEQW'),
  ...packed('76', 'PCMPEQD'),
  row('NP 0F 77', 'EMMS', '', MMX),
  row('NP 0F 7E', 'MOVD_STORE', 'Ey,Py', MMX),
  row('66 0F 7E', 'MOVD_STORE', 'Ey,Vy', SSE2),
  row('F3 0F 7E', 'MOVQ_LOAD', 'Vq,Wq', SSE2),
  row('NP 0F 7F', 'MOVQ', 'Qq,Pq', MMX),
  row('66 0F 7F', 'MOVDQA', 'Wdq,Vdq', SSE2),
  row('F3 0F 7F', 'MOVDQU', 'Wdq,Vdq', { feature: 'SSE2', unaligned: true }),

  row('NP 0F C4 mem', 'PINSRW', 'Pq,Mw,Ib', MMX_EXTENDED),
  row('NP 0F C4 reg', 'PINSRW', 'Pq,Rd,Ib', MMX_EXTENDED),
  row('66 0F C4 mem', 'PINSRW', 'Vdq,Mw,Ib', SSE2),
  row('66 0F C4 reg', 'PINSRW', 'Vdq,Rd,Ib', SSE2),
  row('NP 0F C5 reg', 'PEXTRW', 'Gd,Nq,Ib', MMX_EXTENDED),
  row('66 0F C5 reg', 'PEXTRW', 'Gd,Udq,Ib', SSE2),

  ...packed('D1', 'PSRLW'),
  ...packed('D2', 'PSRLD'),
  ...packed('D3', 'PSRLQ'),
  ...packed('D4', 'PADDQ', SSE2),
  ...packed('D5', 'PMULLW'),
  row('66 0F D6 mem', 'MOVQ_STORE', 'Mq,Vq', SSE2),
  row('66 0F D6 reg', 'MOVQ_LOAD', 'Uq,Vq', SSE2),
  row('F3 0F D6 reg', 'MOVQ2DQ', 'Vq,Nq', SSE2),
  row('F2 0F D6 reg', 'MOVDQ2Q', 'Pq,Uq', SSE2),
  row('NP 0F D7 reg', 'PMOVMSKB', 'Gd,Nq', MMX_EXTENDED),
  row('66 0F D7 reg', 'PMOVMSKB', 'Gd,Udq', SSE2),
  ...packed('D8', 'PSUBUSB'),
  ...packed('D9', 'PSUBUSW'),
  ...packed('DA', 'PMINUB', MMX_EXTENDED),
  ...packed('DB', 'PAND'),
  ...packed('DC', 'PADDUSB'),
  ...packed('DD', 'PADDUSW'),
  ...packed('DE', 'PMAXUB', MMX_EXTENDED),
  ...packed('DF', 'PANDN'),
  ...packed('E0', 'PAVGB', MMX_EXTENDED),
  ...packed('E1', 'PSRAW'),
  ...packed('E2', 'PSRAD'),
  ...packed('E3', 'PAVGW', MMX_EXTENDED),
  ...packed('E4', 'PMULHUW', MMX_EXTENDED),
  ...packed('E5', 'PMULHW'),
  row('NP 0F E7 mem', 'MOVNTQ', 'Mq,Pq', MMX_EXTENDED),
  row('66 0F E7 mem', 'MOVNTDQ', 'Mdq,Vdq', SSE2),
  ...packed('E8', 'PSUBSB'),
  ...packed('E9', 'PSUBSW'),
  ...packed('EA', 'PMINSW', MMX_EXTENDED),
  ...packed('EB', 'POR'),
  ...packed('EC', 'PADDSB'),
  ...packed('ED', 'PADDSW'),
  ...packed('EE', 'PMAXSW', MMX_EXTENDED),
  ...packed('EF', 'PXOR'),
  ...packed('F1', 'PSLLW'),
  ...packed('F2', 'PSLLD'),
  ...packed('F3', 'PSLLQ'),
  ...packed('F4', 'PMULUDQ', SSE2),
  ...packed('F5', 'PMADDWD'),
  ...packed('F6', 'PSADBW', MMX_EXTENDED),
  row('NP 0F F7 reg', 'MASKMOVQ', 'Pq,Nq', MMX_EXTENDED),
  row('66 0F F7 reg', 'MASKMOVDQU', 'Vdq,Udq', { feature: 'SSE2', unaligned: true }),
  ...packed('F8', 'PSUBB'),
  ...packed('F9', 'PSUBW'),
  ...packed('FA', 'PSUBD'),
  ...packed('FB', 'PSUBQ', SSE2),
  ...packed('FC', 'PADDB'),
  ...packed('FD', 'PADDW'),
  ...packed('FE', 'PADDD'),
]
