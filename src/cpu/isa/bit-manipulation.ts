/** Bit manipulation and long arithmetic in general registers: LZCNT, BMI1, BMI2, ADX (SDM Vol. 2D tables ). */
import type { Row } from './row.ts'
import { row } from './row.ts'

/** VEX encodings are #UD in real and virtual-8086 mode, but need no AVX state. */
const BMI1 = { feature: 'BMI1', protectedOnly: true }
const BMI2 = { feature: 'BMI2', protectedOnly: true }

export const bitManipulationRows: readonly Row[] = [
  row('F3 0F BC', 'TZCNT', 'Gv,Ev', { feature: 'BMI1' }),
  row('F3 0F BD', 'LZCNT', 'Gv,Ev', { feature: 'LZCNT' }),
  row('66 0F 38 F6', 'ADCX', 'Gy,Ey', { feature: 'ADX' }),
  row('F3 0F 38 F6', 'ADOX', 'Gy,Ey', { feature: 'ADX' }),
  row('VEX.128.NP.0F38.WIG F2', 'ANDN', 'Gy,By,Ey', BMI1),
  row('VEX.128.NP.0F38.WIG F3 /1', 'BLSR', 'By,Ey', BMI1),
  row('VEX.128.NP.0F38.WIG F3 /2', 'BLSMSK', 'By,Ey', BMI1),
  row('VEX.128.NP.0F38.WIG F3 /3', 'BLSI', 'By,Ey', BMI1),
  row('VEX.128.NP.0F38.WIG F5', 'BZHI', 'Gy,Ey,By', BMI2),
  row('VEX.128.F3.0F38.WIG F5', 'PEXT', 'Gy,By,Ey', BMI2),
  row('VEX.128.F2.0F38.WIG F5', 'PDEP', 'Gy,By,Ey', BMI2),
  row('VEX.128.F2.0F38.WIG F6', 'MULX', 'Gy,By,Ey', BMI2),
  row('VEX.128.NP.0F38.WIG F7', 'BEXTR', 'Gy,Ey,By', BMI1),
  row('VEX.128.66.0F38.WIG F7', 'SHLX', 'Gy,Ey,By', BMI2),
  row('VEX.128.F3.0F38.WIG F7', 'SARX', 'Gy,Ey,By', BMI2),
  row('VEX.128.F2.0F38.WIG F7', 'SHRX', 'Gy,Ey,By', BMI2),
  row('VEX.128.F2.0F3A.WIG F0', 'RORX', 'Gy,Ey,Ib', BMI2),
]
