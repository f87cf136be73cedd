/**
 * AVX over floating-point operands (moves apart), with fused multiply-add (FMA) and half precision (F16C): SDM Vol. 2D tables A-3 to
 * A-5, the columns with a V before the mnemonic. Scalars ignore the vector length.
 */
import type { Row } from './row.ts'
import { row } from './row.ts'

const AVX = { feature: 'AVX' }
const AVX2 = { feature: 'AVX2' }
const FMA = { feature: 'FMA' }
const F16C = { feature: 'F16C' }

/** Both vector lengths of `prefix.map.w opcode`, the operands alike. */
function lengths(opcode: string, mnemonic: string, operands: string, attributes = AVX): Row[] {
  return [row(`VEX.128.${opcode}`, mnemonic, operands, attributes), row(`VEX.256.${opcode}`, mnemonic, operands, attributes)]
}

/** Both lengths, where one operand has half the vector length. */
function halves(opcode: string, mnemonic: string, narrow: string, wide: string, attributes = AVX): Row[] {
  return [row(`VEX.128.${opcode}`, mnemonic, narrow, attributes), row(`VEX.256.${opcode}`, mnemonic, wide, attributes)]
}

/** The packed pair of an opcode in map 0F. */
function packed(opcode: string, mnemonic: string, operands: (type: string) => string): Row[] {
  return [
    ...lengths(`NP.0F.WIG ${opcode}`, `${mnemonic}PS`, operands('ps')), ...lengths(`66.0F.WIG ${opcode}`, `${mnemonic}PD`, operands('pd')),
  ]
}

const scalar = (opcode: string, mnemonic: string, operands: string, attributes = AVX): Row =>
  row(`VEX.LIG.${opcode}`, mnemonic, operands, attributes)

const three = (type: string): string => `V${type},H${type},W${type}`
const withImmediate = (type: string): string => `${three(type)},Ib`
const two = (type: string): string => `V${type},W${type}`

/** All four columns of an opcode. */
function four(opcode: string, mnemonic: string, operands = three, ofScalar = three): Row[] {
  return [
    ...packed(opcode, mnemonic, operands),
    scalar(`F3.0F.WIG ${opcode}`, `${mnemonic}SS`, ofScalar('ss')), scalar(`F2.0F.WIG ${opcode}`, `${mnemonic}SD`, ofScalar('sd')),
  ]
}

/** PS and SS of an opcode with one source. */
function approximation(opcode: string, mnemonic: string): Row[] {
  return [...lengths(`NP.0F.WIG ${opcode}`, `${mnemonic}PS`, two('ps')), scalar(`F3.0F.WIG ${opcode}`, `${mnemonic}SS`, three('ss'))]
}

/** Single in W0, double in W1, packed or scalar. */
function fused(opcode: number, mnemonic: string, kind: 'P' | 'S'): Row[] {
  const make = (w: string, precision: 'S' | 'D'): Row[] => {
    const code = `66.0F38.${w} ${opcode.toString(16).toUpperCase()}`
    const operands = three(`${kind}${precision}`.toLowerCase())
    const name = mnemonic + kind + precision
    return kind === 'P' ? lengths(code, name, operands, FMA) : [scalar(code, name, operands, FMA)]
  }
  return [...make('W0', 'S'), ...make('W1', 'D')]
}

/** The operations of 96 to 9F, which A6 to AF and B6 to BF repeat in other orders of operands. */
function fusedRows(first: number, order: string): Row[] {
  return [
    ...fused(first, `VFMADDSUB${order}`, 'P'), ...fused(first + 1, `VFMSUBADD${order}`, 'P'),
    ...['VFMADD', 'VFMSUB', 'VFNMADD', 'VFNMSUB'].flatMap((name, n) =>
      [...fused(first + 2 + n * 2, name + order, 'P'), ...fused(first + 3 + n * 2, name + order, 'S')]),
  ]
}

const mixedByRegister = (type: string): string => `${three(type)},L${type}`

export const avxFloatRows: readonly Row[] = [
  ...lengths('F3.0F.WIG 12', 'VMOVSLDUP', two('ps')),
  ...halves('F2.0F.WIG 12', 'VMOVDDUP', 'Vpd,Wq', two('pd')),
  ...packed('14', 'VUNPCKL', three),
  ...packed('15', 'VUNPCKH', three),
  ...lengths('F3.0F.WIG 16', 'VMOVSHDUP', two('ps')),
  scalar('F3.0F.WIG 2A', 'VCVTSI2SS', 'Vss,Hss,Ey'),
  scalar('F2.0F.WIG 2A', 'VCVTSI2SD', 'Vsd,Hsd,Ey'),
  scalar('F3.0F.WIG 2C', 'VCVTTSS2SI', 'Gy,Wss'),
  scalar('F2.0F.WIG 2C', 'VCVTTSD2SI', 'Gy,Wsd'),
  scalar('F3.0F.WIG 2D', 'VCVTSS2SI', 'Gy,Wss'),
  scalar('F2.0F.WIG 2D', 'VCVTSD2SI', 'Gy,Wsd'),
  scalar('NP.0F.WIG 2E', 'VUCOMISS', two('ss')),
  scalar('66.0F.WIG 2E', 'VUCOMISD', two('sd')),
  scalar('NP.0F.WIG 2F', 'VCOMISS', two('ss')),
  scalar('66.0F.WIG 2F', 'VCOMISD', two('sd')),

  ...packed('50 reg', 'VMOVMSK', (type) => `Gd,U${type}`),
  ...four('51', 'VSQRT', two),
  ...approximation('52', 'VRSQRT'),
  ...approximation('53', 'VRCP'),
  ...four('58', 'VADD'),
  ...four('59', 'VMUL'),
  ...halves('NP.0F.WIG 5A', 'VCVTPS2PD', 'Vpd,Wq', 'Vpd,Wdq'),
  ...lengths('66.0F.WIG 5A', 'VCVTPD2PS', 'Vdq,Wpd'),
  scalar('F3.0F.WIG 5A', 'VCVTSS2SD', 'Vsd,Hsd,Wss'),
  scalar('F2.0F.WIG 5A', 'VCVTSD2SS', 'Vss,Hss,Wsd'),
  ...lengths('NP.0F.WIG 5B', 'VCVTDQ2PS', 'Vps,Wx'),
  ...lengths('66.0F.WIG 5B', 'VCVTPS2DQ', 'Vx,Wps'),
  ...lengths('F3.0F.WIG 5B', 'VCVTTPS2DQ', 'Vx,Wps'),
  ...four('5C', 'VSUB'),
  ...four('5D', 'VMIN'),
  ...four('5E', 'VDIV'),
  ...four('5F', 'VMAX'),

  ...lengths('66.0F.WIG 7C', 'VHADDPD', three('pd')),
  ...lengths('F2.0F.WIG 7C', 'VHADDPS', three('ps')),
  ...lengths('66.0F.WIG 7D', 'VHSUBPD', three('pd')),
  ...lengths('F2.0F.WIG 7D', 'VHSUBPS', three('ps')),
  ...four('C2', 'VCMP', withImmediate, withImmediate),
  ...packed('C6', 'VSHUF', withImmediate),
  ...lengths('66.0F.WIG D0', 'VADDSUBPD', three('pd')),
  ...lengths('F2.0F.WIG D0', 'VADDSUBPS', three('ps')),
  ...lengths('66.0F.WIG E6', 'VCVTTPD2DQ', 'Vdq,Wpd'),
  ...halves('F3.0F.WIG E6', 'VCVTDQ2PD', 'Vpd,Wq', 'Vpd,Wdq'),
  ...lengths('F2.0F.WIG E6', 'VCVTPD2DQ', 'Vdq,Wpd'),

  ...lengths('66.0F3A.WIG 08', 'VROUNDPS', 'Vps,Wps,Ib'),
  ...lengths('66.0F3A.WIG 09', 'VROUNDPD', 'Vpd,Wpd,Ib'),
  scalar('66.0F3A.WIG 0A', 'VROUNDSS', 'Vss,Hss,Wss,Ib'),
  scalar('66.0F3A.WIG 0B', 'VROUNDSD', 'Vsd,Hsd,Wsd,Ib'),
  ...lengths('66.0F3A.WIG 0C', 'VBLENDPS', withImmediate('ps')),
  ...lengths('66.0F3A.WIG 0D', 'VBLENDPD', withImmediate('pd')),
  ...lengths('66.0F3A.W0 4A', 'VBLENDVPS', mixedByRegister('ps')),
  ...lengths('66.0F3A.W0 4B', 'VBLENDVPD', mixedByRegister('pd')),
  ...lengths('66.0F38.W0 0C', 'VPERMILPS', three('ps')),
  ...lengths('66.0F38.W0 0D', 'VPERMILPD', three('pd')),
  ...lengths('66.0F3A.W0 04', 'VPERMILPS_IMMEDIATE', 'Vps,Wps,Ib'),
  ...lengths('66.0F3A.W0 05', 'VPERMILPD_IMMEDIATE', 'Vpd,Wpd,Ib'),
  ...lengths('66.0F38.W0 18 mem', 'VBROADCASTSS', 'Vps,Mss'),
  ...lengths('66.0F38.W0 18 reg', 'VBROADCASTSS', 'Vps,Uss', AVX2),
  row('VEX.256.66.0F38.W0 19 mem', 'VBROADCASTSD', 'Vpd,Msd', AVX),
  row('VEX.256.66.0F38.W0 19 reg', 'VBROADCASTSD', 'Vpd,Usd', AVX2),
  row('VEX.256.66.0F38.W0 1A mem', 'VBROADCASTF128', 'Vpd,Mdq', AVX),
  ...lengths('66.0F3A.WIG 40', 'VDPPS', withImmediate('ps')),
  row('VEX.128.66.0F3A.WIG 41', 'VDPPD', withImmediate('pd'), AVX),

  ...halves('66.0F38.W0 13', 'VCVTPH2PS', 'Vps,Wq', 'Vps,Wdq', F16C),
  ...halves('66.0F3A.W0 1D', 'VCVTPS2PH', 'Wq,Vps,Ib', 'Wdq,Vps,Ib', F16C),
  ...fusedRows(0x96, '132'),
  ...fusedRows(0xa6, '213'),
  ...fusedRows(0xb6, '231'),
]
