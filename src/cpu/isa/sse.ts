/**
 * SSE, SSE2 and SSE3 over floating-point operands, 0F 10 to 0F F0 (SDM Vol. 2D table A-3): the packed single (no prefix), packed
 * double (66), scalar single (F3) and scalar double (F2) columns. Packed integers are in packed-integer.ts.
 *
 * Scalar moves are split because the SDM's one mnemonic does three things: `_LOAD` (memory to register) clears the rest of the
 * destination, `_MERGE` (register to register) keeps it, `_STORE` writes memory.
 */
import type { Row } from './row.ts'
import { row } from './row.ts'

const SSE = { feature: 'SSE' }
const SSE2 = { feature: 'SSE2' }
const SSE3 = { feature: 'SSE3' }
const UNALIGNED = { feature: 'SSE', unaligned: true }
const UNALIGNED2 = { feature: 'SSE2', unaligned: true }

/** The packed pair of an opcode, `mnemonic` with PS and PD appended. */
function packed(opcode: string, mnemonic: string): Row[] {
  return [row(`NP 0F ${opcode}`, `${mnemonic}PS`, 'Vps,Wps', SSE), row(`66 0F ${opcode}`, `${mnemonic}PD`, 'Vpd,Wpd', SSE2)]
}

/** The scalar single of an opcode with its packed single. */
function single(opcode: string, mnemonic: string): Row[] {
  return [row(`NP 0F ${opcode}`, `${mnemonic}PS`, 'Vps,Wps', SSE), row(`F3 0F ${opcode}`, `${mnemonic}SS`, 'Vss,Wss', SSE)]
}

/** All four columns of an opcode. */
function four(opcode: string, mnemonic: string): Row[] {
  return [
    ...packed(opcode, mnemonic),
    row(`F3 0F ${opcode}`, `${mnemonic}SS`, 'Vss,Wss', SSE),
    row(`F2 0F ${opcode}`, `${mnemonic}SD`, 'Vsd,Wsd', SSE2),
  ]
}

export const sseRows: readonly Row[] = [
  row('NP 0F 10', 'MOVUPS', 'Vps,Wps', UNALIGNED),
  row('66 0F 10', 'MOVUPD', 'Vpd,Wpd', UNALIGNED2),
  row('F3 0F 10 mem', 'MOVSS_LOAD', 'Vss,Mss', SSE),
  row('F3 0F 10 reg', 'MOVSS_MERGE', 'Vss,Uss', SSE),
  row('F2 0F 10 mem', 'MOVSD_XMM_LOAD', 'Vsd,Msd', SSE2),
  row('F2 0F 10 reg', 'MOVSD_XMM_MERGE', 'Vsd,Usd', SSE2),
  row('NP 0F 11', 'MOVUPS', 'Wps,Vps', UNALIGNED),
  row('66 0F 11', 'MOVUPD', 'Wpd,Vpd', UNALIGNED2),
  row('F3 0F 11 mem', 'MOVSS_STORE', 'Mss,Vss', SSE),
  row('F3 0F 11 reg', 'MOVSS_MERGE', 'Uss,Vss', SSE),
  row('F2 0F 11 mem', 'MOVSD_XMM_STORE', 'Msd,Vsd', SSE2),
  row('F2 0F 11 reg', 'MOVSD_XMM_MERGE', 'Usd,Vsd', SSE2),
  row('NP 0F 12 mem', 'MOVLPS_LOAD', 'Vq,Mq', SSE),
  row('NP 0F 12 reg', 'MOVHLPS', 'Vdq,Udq', SSE),
  row('66 0F 12 mem', 'MOVLPD_LOAD', 'Vq,Mq', SSE2),
  row('F3 0F 12', 'MOVSLDUP', 'Vps,Wps', SSE3),
  row('F2 0F 12', 'MOVDDUP', 'Vpd,Wq', SSE3),
  row('NP 0F 13 mem', 'MOVLPS_STORE', 'Mq,Vq', SSE),
  row('66 0F 13 mem', 'MOVLPD_STORE', 'Mq,Vq', SSE2),
  ...packed('14', 'UNPCKL'),
  ...packed('15', 'UNPCKH'),
  row('NP 0F 16 mem', 'MOVHPS_LOAD', 'Vdq,Mq', SSE),
  row('NP 0F 16 reg', 'MOVLHPS', 'Vdq,Uq', SSE),
  row('66 0F 16 mem', 'MOVHPD_LOAD', 'Vdq,Mq', SSE2),
  row('F3 0F 16', 'MOVSHDUP', 'Vps,Wps', SSE3),
  row('NP 0F 17 mem', 'MOVHPS_STORE', 'Mq,Vdq', SSE),
  row('66 0F 17 mem', 'MOVHPD_STORE', 'Mq,Vdq', SSE2),

  row('NP 0F 28', 'MOVAPS', 'Vps,Wps', SSE),
  row('66 0F 28', 'MOVAPD', 'Vpd,Wpd', SSE2),
  row('NP 0F 29', 'MOVAPS', 'Wps,Vps', SSE),
  row('66 0F 29', 'MOVAPD', 'Wpd,Vpd', SSE2),
  row('NP 0F 2A', 'CVTPI2PS', 'Vps,Qq', SSE),
  row('66 0F 2A', 'CVTPI2PD', 'Vpd,Qq', SSE2),
  row('F3 0F 2A', 'CVTSI2SS', 'Vss,Ey', SSE),
  row('F2 0F 2A', 'CVTSI2SD', 'Vsd,Ey', SSE2),
  row('NP 0F 2B mem', 'MOVNTPS', 'Mps,Vps', SSE),
  row('66 0F 2B mem', 'MOVNTPD', 'Mpd,Vpd', SSE2),
  row('NP 0F 2C', 'CVTTPS2PI', 'Pq,Wq', SSE),
  row('66 0F 2C', 'CVTTPD2PI', 'Pq,Wpd', SSE2),
  row('F3 0F 2C', 'CVTTSS2SI', 'Gy,Wss', SSE),
  row('F2 0F 2C', 'CVTTSD2SI', 'Gy,Wsd', SSE2),
  row('NP 0F 2D', 'CVTPS2PI', 'Pq,Wq', SSE),
  row('66 0F 2D', 'CVTPD2PI', 'Pq,Wpd', SSE2),
  row('F3 0F 2D', 'CVTSS2SI', 'Gy,Wss', SSE),
  row('F2 0F 2D', 'CVTSD2SI', 'Gy,Wsd', SSE2),
  row('NP 0F 2E', 'UCOMISS', 'Vss,Wss', SSE),
  row('66 0F 2E', 'UCOMISD', 'Vsd,Wsd', SSE2),
  row('NP 0F 2F', 'COMISS', 'Vss,Wss', SSE),
  row('66 0F 2F', 'COMISD', 'Vsd,Wsd', SSE2),

  row('NP 0F 50 reg', 'MOVMSKPS', 'Gd,Ups', SSE),
  row('66 0F 50 reg', 'MOVMSKPD', 'Gd,Upd', SSE2),
  ...four('51', 'SQRT'),
  ...single('52', 'RSQRT'),
  ...single('53', 'RCP'),
  ...packed('54', 'AND'),
  ...packed('55', 'ANDN'),
  ...packed('56', 'OR'),
  ...packed('57', 'XOR'),
  ...four('58', 'ADD'),
  ...four('59', 'MUL'),
  row('NP 0F 5A', 'CVTPS2PD', 'Vpd,Wq', SSE2),
  row('66 0F 5A', 'CVTPD2PS', 'Vps,Wpd', SSE2),
  row('F3 0F 5A', 'CVTSS2SD', 'Vsd,Wss', SSE2),
  row('F2 0F 5A', 'CVTSD2SS', 'Vss,Wsd', SSE2),
  row('NP 0F 5B', 'CVTDQ2PS', 'Vps,Wdq', SSE2),
  row('66 0F 5B', 'CVTPS2DQ', 'Vdq,Wps', SSE2),
  row('F3 0F 5B', 'CVTTPS2DQ', 'Vdq,Wps', SSE2),
  ...four('5C', 'SUB'),
  ...four('5D', 'MIN'),
  ...four('5E', 'DIV'),
  ...four('5F', 'MAX'),

  row('66 0F 7C', 'HADDPD', 'Vpd,Wpd', SSE3),
  row('F2 0F 7C', 'HADDPS', 'Vps,Wps', SSE3),
  row('66 0F 7D', 'HSUBPD', 'Vpd,Wpd', SSE3),
  row('F2 0F 7D', 'HSUBPS', 'Vps,Wps', SSE3),
  row('NP 0F C2', 'CMPPS', 'Vps,Wps,Ib', SSE),
  row('66 0F C2', 'CMPPD', 'Vpd,Wpd,Ib', SSE2),
  row('F3 0F C2', 'CMPSS', 'Vss,Wss,Ib', SSE),
  row('F2 0F C2', 'CMPSD_XMM', 'Vsd,Wsd,Ib', SSE2),
  row('NP 0F C6', 'SHUFPS', 'Vps,Wps,Ib', SSE),
  row('66 0F C6', 'SHUFPD', 'Vpd,Wpd,Ib', SSE2),
  row('66 0F D0', 'ADDSUBPD', 'Vpd,Wpd', SSE3),
  row('F2 0F D0', 'ADDSUBPS', 'Vps,Wps', SSE3),
  row('66 0F E6', 'CVTTPD2DQ', 'Vdq,Wpd', SSE2),
  row('F3 0F E6', 'CVTDQ2PD', 'Vpd,Wq', SSE2),
  row('F2 0F E6', 'CVTPD2DQ', 'Vdq,Wpd', SSE2),
  row('F2 0F F0 mem', 'LDDQU', 'Vdq,Mdq', { feature: 'SSE3', unaligned: true }),
]
