/**
 * AVX and AVX2 beside floating-point arithmetic (SDM Vol. 2D tables ): moves, logic, packed integers, permutations. Over 256
 * bits, integers are AVX2.
 */
import type { Row, RowAttributes } from './row.ts'
import { row } from './row.ts'

const AVX = { feature: 'AVX' }
const AVX2 = { feature: 'AVX2' }
const ALIGNED = { feature: 'AVX', aligned: true }

/** Both vector lengths, with what the longer one needs. */
function lengths(opcode: string, mnemonic: string, operands: string, attributes: RowAttributes = AVX, longer = attributes): Row[] {
  return [row(`VEX.128.${opcode}`, mnemonic, operands, attributes), row(`VEX.256.${opcode}`, mnemonic, operands, longer)]
}

/** An integer instruction of two sources, or with other operands. */
const integer = (opcode: string, mnemonic: string, operands = 'Vx,Hx,Wx'): Row[] => lengths(opcode, mnemonic, operands, AVX, AVX2)
const only128 = (opcode: string, mnemonic: string, operands: string, attributes: RowAttributes = AVX): Row =>
  row(`VEX.128.${opcode}`, mnemonic, operands, attributes)
const only256 = (opcode: string, mnemonic: string, operands: string, attributes: RowAttributes = AVX2): Row =>
  row(`VEX.256.${opcode}`, mnemonic, operands, attributes)

/** Consecutive opcodes from `first` on; a dot leaves one out. */
function run(map: string, first: number, names: string, operands?: string): Row[] {
  return names.split(' ').flatMap((name, n) =>
    (name === '.' ? [] : integer(`66.${map}.WIG ${(first + n).toString(16).toUpperCase().padStart(2, '0')}`, `V${name}`, operands)))
}

/** PS without prefix and PD with 66, over floating-point operands. */
function pair(opcode: string, mnemonic: string, operands: (type: string) => string, attributes: RowAttributes = AVX): Row[] {
  return [
    ...lengths(`NP.0F.WIG ${opcode}`, `${mnemonic}PS`, operands('ps'), attributes),
    ...lengths(`66.0F.WIG ${opcode}`, `${mnemonic}PD`, operands('pd'), attributes),
  ]
}
const three = (type: string): string => `V${type},H${type},W${type}`
const load = (type: string): string => `V${type},W${type}`
const store = (type: string): string => `W${type},V${type}`
const storeOnly = (type: string): string => `M${type},V${type}`

/** A shift of groups 12 to 14, by an immediate into VEX.vvvv. */
const shift = (opcode: string, n: number, mnemonic: string): Row[] => integer(`66.0F.WIG ${opcode} /${n} reg`, mnemonic, 'Hx,Ux,Ib')

/** VPMOVSX and VPMOVZX: operands of half, a quarter or an eighth of the vector length. */
function extensions(first: number, mnemonic: string): Row[] {
  const kinds = [['BW', 'Wq', 'Wdq'], ['BD', 'Wd', 'Wq'], ['BQ', 'Ww', 'Wd'], ['WD', 'Wq', 'Wdq'], ['WQ', 'Wd', 'Wq'], ['DQ', 'Wq', 'Wdq']]
  return kinds.flatMap(([kind, narrow, wide], n) => {
    const opcode = `66.0F38.WIG ${(first + n).toString(16)}`
    return [only128(opcode, mnemonic + kind, `Vx,${narrow}`), only256(opcode, mnemonic + kind, `Vx,${wide}`)]
  })
}

/** Single in W0, double in W1. */
function both(opcode: string, mnemonic: string, operands: string, suffixes = ['D', 'Q']): Row[] {
  return suffixes.flatMap((suffix, w) => lengths(`66.0F38.W${w} ${opcode}`, mnemonic + suffix, operands, AVX2))
}

/** From memory or a register. */
function broadcast(opcode: string, mnemonic: string, memory: string): Row[] {
  return [
    ...lengths(`66.0F38.W0 ${opcode} mem`, mnemonic, `Vx,${memory}`, AVX2), ...lengths(`66.0F38.W0 ${opcode} reg`, mnemonic, 'Vx,Udq', AVX2),
  ]
}

/** A gather in both lengths; the registers of each are `V` and `H` with the given type. */
function gathers(opcode: string, mnemonic: string, memory: string, short: string, long: string): Row[] {
  const make = (length: number, type: string): Row =>
    row(`VEX.${length}.66.0F38.${opcode} mem`, mnemonic, `V${type},${memory},H${type}`, { feature: 'AVX2', gathers: true })
  return [make(128, short), make(256, long)]
}

export const avxIntegerRows: readonly Row[] = [
  // Moves.
  ...pair('10', 'VMOVU', load),
  ...pair('11', 'VMOVU', store),
  row('VEX.LIG.F3.0F.WIG 10 mem', 'VMOVSS_LOAD', 'Vss,Mss', AVX),
  row('VEX.LIG.F3.0F.WIG 10 reg', 'VMOVSS_MERGE', 'Vss,Hss,Uss', AVX),
  row('VEX.LIG.F2.0F.WIG 10 mem', 'VMOVSD_LOAD', 'Vsd,Msd', AVX),
  row('VEX.LIG.F2.0F.WIG 10 reg', 'VMOVSD_MERGE', 'Vsd,Hsd,Usd', AVX),
  row('VEX.LIG.F3.0F.WIG 11 mem', 'VMOVSS_STORE', 'Mss,Vss', AVX),
  row('VEX.LIG.F3.0F.WIG 11 reg', 'VMOVSS_MERGE', 'Uss,Hss,Vss', AVX),
  row('VEX.LIG.F2.0F.WIG 11 mem', 'VMOVSD_STORE', 'Msd,Vsd', AVX),
  row('VEX.LIG.F2.0F.WIG 11 reg', 'VMOVSD_MERGE', 'Usd,Hsd,Vsd', AVX),
  only128('NP.0F.WIG 12 mem', 'VMOVLPS_LOAD', 'Vdq,Hdq,Mq'),
  only128('NP.0F.WIG 12 reg', 'VMOVHLPS', 'Vdq,Hdq,Udq'),
  only128('66.0F.WIG 12 mem', 'VMOVLPD_LOAD', 'Vdq,Hdq,Mq'),
  only128('NP.0F.WIG 13 mem', 'VMOVLPS_STORE', 'Mq,Vq'),
  only128('66.0F.WIG 13 mem', 'VMOVLPD_STORE', 'Mq,Vq'),
  only128('NP.0F.WIG 16 mem', 'VMOVHPS_LOAD', 'Vdq,Hdq,Mq'),
  only128('NP.0F.WIG 16 reg', 'VMOVLHPS', 'Vdq,Hdq,Uq'),
  only128('66.0F.WIG 16 mem', 'VMOVHPD_LOAD', 'Vdq,Hdq,Mq'),
  only128('NP.0F.WIG 17 mem', 'VMOVHPS_STORE', 'Mq,Vdq'),
  only128('66.0F.WIG 17 mem', 'VMOVHPD_STORE', 'Mq,Vdq'),
  ...pair('28', 'VMOVA', load, ALIGNED),
  ...pair('29', 'VMOVA', store, ALIGNED),
  ...pair('2B mem', 'VMOVNT', storeOnly),
  only128('66.0F.WIG 6E', 'VMOVD_LOAD', 'Vy,Ey'),
  ...lengths('66.0F.WIG 6F', 'VMOVDQA', 'Vx,Wx', ALIGNED),
  ...lengths('F3.0F.WIG 6F', 'VMOVDQU', 'Vx,Wx'),
  only128('NP.0F.WIG 77', 'VZEROUPPER', ''),
  only256('NP.0F.WIG 77', 'VZEROALL', '', AVX),
  only128('66.0F.WIG 7E', 'VMOVD_STORE', 'Ey,Vy'),
  only128('F3.0F.WIG 7E', 'VMOVQ_LOAD', 'Vq,Wq'),
  ...lengths('66.0F.WIG 7F', 'VMOVDQA', 'Wx,Vx', ALIGNED),
  ...lengths('F3.0F.WIG 7F', 'VMOVDQU', 'Wx,Vx'),
  only128('NP.0F.WIG AE /2 mem', 'VLDMXCSR', 'Md'),
  only128('NP.0F.WIG AE /3 mem', 'VSTMXCSR', 'Md'),
  only128('66.0F.WIG D6 mem', 'VMOVQ_STORE', 'Mq,Vq'),
  only128('66.0F.WIG D6 reg', 'VMOVQ_LOAD', 'Uq,Vq'),
  ...integer('66.0F.WIG D7 reg', 'VPMOVMSKB', 'Gd,Ux'),
  ...lengths('66.0F.WIG E7 mem', 'VMOVNTDQ', 'Mx,Vx'),
  ...lengths('F2.0F.WIG F0 mem', 'VLDDQU', 'Vx,Mx'),
  only128('66.0F.WIG F7 reg', 'VMASKMOVDQU', 'Vdq,Udq'),
  ...integer('66.0F38.WIG 2A mem', 'VMOVNTDQA', 'Vx,Mx'),

  // Logic and packed integers.
  ...pair('54', 'VAND', three),
  ...pair('55', 'VANDN', three),
  ...pair('56', 'VOR', three),
  ...pair('57', 'VXOR', three),
  ...run('0F', 0x60, 'PUNPCKLBW PUNPCKLWD PUNPCKLDQ PACKSSWB PCMPGTB PCMPGTW PCMPGTD PACKUSWB PUNPCKHBW PUNPCKHWD PUNPCKHDQ PACKSSDW PUNPCKLQDQ PUNPCKHQDQ'),
  ...integer('66.0F.WIG 70', 'VPSHUFD', 'Vx,Wx,Ib'),
  ...integer('F3.0F.WIG 70', 'VPSHUFHW', 'Vx,Wx,Ib'),
  ...integer('F2.0F.WIG 70', 'VPSHUFLW', 'Vx,Wx,Ib'),
  ...shift('71', 2, 'VPSRLW_IMMEDIATE'),
  ...shift('71', 4, 'VPSRAW_IMMEDIATE'),
  ...shift('71', 6, 'VPSLLW_IMMEDIATE'),
  ...shift('72', 2, 'VPSRLD_IMMEDIATE'),
  ...shift('72', 4, 'VPSRAD_IMMEDIATE'),
  ...shift('72', 6, 'VPSLLD_IMMEDIATE'),
  ...shift('73', 2, 'VPSRLQ_IMMEDIATE'),
  ...shift('73', 3, 'VPSRLDQ'),
  ...shift('73', 6, 'VPSLLQ_IMMEDIATE'),
  ...shift('73', 7, 'VPSLLDQ'),
  ...run('0F', 0x74, 'PCMPEQB PCMPEQW PCMPEQD'),
  only128('66.0F.WIG C4 mem', 'VPINSRW', 'Vdq,Hdq,Mw,Ib'),
  only128('66.0F.WIG C4 reg', 'VPINSRW', 'Vdq,Hdq,Rd,Ib'),
  only128('66.0F.WIG C5 reg', 'VPEXTRW', 'Gd,Udq,Ib'),
  ...run('0F', 0xd1, 'PSRLW PSRLD PSRLQ', 'Vx,Hx,Wdq'),
  ...run('0F', 0xd4, 'PADDQ PMULLW . . PSUBUSB PSUBUSW PMINUB PAND PADDUSB PADDUSW PMAXUB PANDN PAVGB'),
  ...run('0F', 0xe1, 'PSRAW PSRAD', 'Vx,Hx,Wdq'),
  ...run('0F', 0xe3, 'PAVGW PMULHUW PMULHW . . PSUBSB PSUBSW PMINSW POR PADDSB PADDSW PMAXSW PXOR'),
  ...run('0F', 0xf1, 'PSLLW PSLLD PSLLQ', 'Vx,Hx,Wdq'),
  ...run('0F', 0xf4, 'PMULUDQ PMADDWD PSADBW . PSUBB PSUBW PSUBD PSUBQ PADDB PADDW PADDD'),
  ...run('0F38', 0x00, 'PSHUFB PHADDW PHADDD PHADDSW PMADDUBSW PHSUBW PHSUBD PHSUBSW PSIGNB PSIGNW PSIGND PMULHRSW'),
  ...lengths('66.0F38.W0 0E', 'VTESTPS', 'Vps,Wps'),
  ...lengths('66.0F38.W0 0F', 'VTESTPD', 'Vpd,Wpd'),
  ...lengths('66.0F38.WIG 17', 'VPTEST', 'Vx,Wx'),
  ...run('0F38', 0x1c, 'PABSB PABSW PABSD', 'Vx,Wx'),
  ...extensions(0x20, 'VPMOVSX'),
  ...run('0F38', 0x28, 'PMULDQ PCMPEQQ . PACKUSDW'),
  ...extensions(0x30, 'VPMOVZX'),
  ...run('0F38', 0x37, 'PCMPGTQ PMINSB PMINSD PMINUW PMINUD PMAXSB PMAXSD PMAXUW PMAXUD PMULLD'),
  only128('66.0F38.WIG 41', 'VPHMINPOSUW', 'Vdq,Wdq'),
  ...both('45', 'VPSRLV', 'Vx,Hx,Wx'),
  ...both('46', 'VPSRAV', 'Vx,Hx,Wx', ['D']),
  ...both('47', 'VPSLLV', 'Vx,Hx,Wx'),
  only128('66.0F38.WIG DB', 'VAESIMC', 'Vdq,Wdq'),
  only128('66.0F38.WIG DC', 'VAESENC', 'Vdq,Hdq,Wdq'),
  only128('66.0F38.WIG DD', 'VAESENCLAST', 'Vdq,Hdq,Wdq'),
  only128('66.0F38.WIG DE', 'VAESDEC', 'Vdq,Hdq,Wdq'),
  only128('66.0F38.WIG DF', 'VAESDECLAST', 'Vdq,Hdq,Wdq'),
  ...integer('66.0F3A.WIG 0E', 'VPBLENDW', 'Vx,Hx,Wx,Ib'),
  ...integer('66.0F3A.WIG 0F', 'VPALIGNR', 'Vx,Hx,Wx,Ib'),
  only128('66.0F3A.WIG 14 mem', 'VPEXTRB', 'Mb,Vdq,Ib'),
  only128('66.0F3A.WIG 14 reg', 'VPEXTRB', 'Rd,Vdq,Ib'),
  only128('66.0F3A.WIG 15 mem', 'VPEXTRW', 'Mw,Vdq,Ib'),
  only128('66.0F3A.WIG 15 reg', 'VPEXTRW', 'Rd,Vdq,Ib'),
  only128('66.0F3A.WIG 16', 'VPEXTRD', 'Ey,Vdq,Ib'),
  only128('66.0F3A.WIG 17', 'VEXTRACTPS', 'Ed,Vdq,Ib'),
  only128('66.0F3A.WIG 20 mem', 'VPINSRB', 'Vdq,Hdq,Mb,Ib'),
  only128('66.0F3A.WIG 20 reg', 'VPINSRB', 'Vdq,Hdq,Rd,Ib'),
  only128('66.0F3A.WIG 21 mem', 'VINSERTPS_LOAD', 'Vdq,Hdq,Md,Ib'),
  only128('66.0F3A.WIG 21 reg', 'VINSERTPS', 'Vdq,Hdq,Udq,Ib'),
  only128('66.0F3A.WIG 22', 'VPINSRD', 'Vdq,Hdq,Ey,Ib'),
  ...integer('66.0F3A.WIG 42', 'VMPSADBW', 'Vx,Hx,Wx,Ib'),
  only128('66.0F3A.WIG 44', 'VPCLMULQDQ', 'Vdq,Hdq,Wdq,Ib'),
  ...integer('66.0F3A.W0 4C', 'VPBLENDVB', 'Vx,Hx,Wx,Lx'),
  only128('66.0F3A.WIG 60', 'VPCMPESTRM', 'Vdq,Wdq,Ib', { feature: 'AVX', size: 'y' }),
  only128('66.0F3A.WIG 61', 'VPCMPESTRI', 'Vdq,Wdq,Ib', { feature: 'AVX', size: 'y' }),
  only128('66.0F3A.WIG 62', 'VPCMPISTRM', 'Vdq,Wdq,Ib'),
  only128('66.0F3A.WIG 63', 'VPCMPISTRI', 'Vdq,Wdq,Ib'),
  only128('66.0F3A.WIG DF', 'VAESKEYGENASSIST', 'Vdq,Wdq,Ib'),

  // Permutations across the halves, broadcasts, masked moves.
  only256('66.0F38.W0 16', 'VPERMPS', 'Vps,Hps,Wps'),
  only256('66.0F38.W0 36', 'VPERMD', 'Vx,Hx,Wx'),
  only256('66.0F3A.W1 00', 'VPERMQ', 'Vx,Wx,Ib'),
  only256('66.0F3A.W1 01', 'VPERMPD', 'Vpd,Wpd,Ib'),
  ...lengths('66.0F3A.W0 02', 'VPBLENDD', 'Vx,Hx,Wx,Ib', AVX2),
  only256('66.0F3A.W0 06', 'VPERM2F128', 'Vx,Hx,Wx,Ib', AVX),
  only256('66.0F3A.W0 18', 'VINSERTF128', 'Vx,Hx,Wdq,Ib', AVX),
  only256('66.0F3A.W0 19', 'VEXTRACTF128', 'Wdq,Vx,Ib', AVX),
  only256('66.0F3A.W0 38', 'VINSERTI128', 'Vx,Hx,Wdq,Ib'),
  only256('66.0F3A.W0 39', 'VEXTRACTI128', 'Wdq,Vx,Ib'),
  only256('66.0F3A.W0 46', 'VPERM2I128', 'Vx,Hx,Wx,Ib'),
  ...broadcast('58', 'VPBROADCASTD', 'Md'),
  ...broadcast('59', 'VPBROADCASTQ', 'Mq'),
  only256('66.0F38.W0 5A mem', 'VBROADCASTI128', 'Vx,Mdq'),
  ...broadcast('78', 'VPBROADCASTB', 'Mb'),
  ...broadcast('79', 'VPBROADCASTW', 'Mw'),
  ...gathers('W0 90', 'VPGATHERDD', 'Md', 'dq', 'qq'),
  ...gathers('W1 90', 'VPGATHERDQ', 'Mq', 'dq', 'qq'),
  ...gathers('W0 91', 'VPGATHERQD', 'Md', 'q', 'dq'),
  ...gathers('W1 91', 'VPGATHERQQ', 'Mq', 'dq', 'qq'),
  ...gathers('W0 92', 'VGATHERDPS', 'Md', 'dq', 'qq'),
  ...gathers('W1 92', 'VGATHERDPD', 'Mq', 'dq', 'qq'),
  ...gathers('W0 93', 'VGATHERQPS', 'Md', 'q', 'dq'),
  ...gathers('W1 93', 'VGATHERQPD', 'Mq', 'dq', 'qq'),
  ...lengths('66.0F38.W0 2C mem', 'VMASKMOVPS_LOAD', 'Vps,Hps,Mps'),
  ...lengths('66.0F38.W0 2D mem', 'VMASKMOVPD_LOAD', 'Vpd,Hpd,Mpd'),
  ...lengths('66.0F38.W0 2E mem', 'VMASKMOVPS_STORE', 'Mps,Hps,Vps'),
  ...lengths('66.0F38.W0 2F mem', 'VMASKMOVPD_STORE', 'Mpd,Hpd,Vpd'),
  ...lengths('66.0F38.W0 8C mem', 'VPMASKMOVD_LOAD', 'Vx,Hx,Mx', AVX2),
  ...lengths('66.0F38.W1 8C mem', 'VPMASKMOVQ_LOAD', 'Vx,Hx,Mx', AVX2),
  ...lengths('66.0F38.W0 8E mem', 'VPMASKMOVD_STORE', 'Mx,Hx,Vx', AVX2),
  ...lengths('66.0F38.W1 8E mem', 'VPMASKMOVQ_STORE', 'Mx,Hx,Vx', AVX2),
]
