/** AVX instructions that do to each 128 bits what SSE's do, and those that differ from SSE's in nothing but their name. */
import { define, definitionOf } from '../define.ts'
import { defineInLanes } from './lane-view.ts'
import { zero } from './operands.ts'
import './crypto.ts'
import './integer.ts'
import './move.ts'
import './shift.ts'
import './shuffle.ts'
import './string-compare.ts'

const IN_LANES = `
  ANDPS ANDPD ANDNPS ANDNPD ORPS ORPD XORPS XORPD PAND PANDN POR PXOR
  PADDB PADDW PADDD PADDQ PADDSB PADDSW PADDUSB PADDUSW PSUBB PSUBW PSUBD PSUBQ PSUBSB PSUBSW PSUBUSB PSUBUSW
  PMINSB PMINUB PMAXSB PMAXUB PMINSW PMINUW PMAXSW PMAXUW PMINSD PMINUD PMAXSD PMAXUD PAVGB PAVGW
  PMULLW PMULLD PMULHW PMULHUW PMULHRSW PMULUDQ PMULDQ PMADDWD PMADDUBSW PSADBW
  PCMPEQB PCMPEQW PCMPEQD PCMPEQQ PCMPGTB PCMPGTW PCMPGTD PCMPGTQ
  PHADDW PHADDD PHADDSW PHSUBW PHSUBD PHSUBSW PABSB PABSW PABSD PSIGNB PSIGNW PSIGND PHMINPOSUW
  PSLLW PSLLD PSLLQ PSRLW PSRLD PSRLQ PSRAW PSRAD PSLLDQ PSRLDQ
  PSLLW_IMMEDIATE PSLLD_IMMEDIATE PSLLQ_IMMEDIATE PSRLW_IMMEDIATE PSRLD_IMMEDIATE PSRLQ_IMMEDIATE PSRAW_IMMEDIATE PSRAD_IMMEDIATE
  PUNPCKLBW PUNPCKLWD PUNPCKLDQ PUNPCKLQDQ PUNPCKHBW PUNPCKHWD PUNPCKHDQ PUNPCKHQDQ PACKSSWB PACKSSDW PACKUSWB PACKUSDW
  PSHUFB PSHUFD PSHUFHW PSHUFLW PALIGNR PBLENDW PINSRB PINSRW PINSRD INSERTPS INSERTPS_LOAD
  AESENC AESENCLAST AESDEC AESDECLAST AESIMC AESKEYGENASSIST PCLMULQDQ
  MOVHPS_LOAD MOVHPD_LOAD MOVLHPS MOVHLPS
`
for (const mnemonic of IN_LANES.trim().split(/\s+/)) defineInLanes(mnemonic)

/** They write memory, general registers or flags, or nothing above XMM0. */
const RENAMED = `
  PEXTRB PEXTRW PEXTRD EXTRACTPS MOVD_STORE MOVQ_STORE MOVSS_STORE MOVLPS_STORE MOVLPD_STORE MOVHPS_STORE MOVHPD_STORE MASKMOVDQU
  PCMPISTRI PCMPESTRI
`
for (const mnemonic of RENAMED.trim().split(/\s+/)) rename(mnemonic, `V${mnemonic}`)
rename('MOVSD_XMM_STORE', 'VMOVSD_STORE')

function rename(mnemonic: string, name: string): void {
  const { access, emit } = definitionOf(mnemonic) ?? missing(mnemonic)
  define(name, access.join(','), emit)
}

/** The mask in XMM0 is all that remains of YMM0. */
for (const mnemonic of ['PCMPISTRM', 'PCMPESTRM']) {
  const { access, emit } = definitionOf(mnemonic) ?? missing(mnemonic)
  define(`V${mnemonic}`, access.join(','), (o) => {
    emit(o)
    o.setXmmHigh(0, zero(o))
  })
}

function missing(mnemonic: string): never { throw new Error(`${mnemonic} is not defined`) }
