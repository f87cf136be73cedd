/**
 * x87: the escape opcodes D8 to DF (SDM Vol. 2D tables ). Memory operands are real (`Md`, `Mq`, `Mt`), integer for FI*
 * (`Mw`, `Md`, `Mq`) or packed decimal for FB* (`Mt`). Undocumented aliases that real processors execute are listed as what they
 * do. The 66, F2 and F3 prefixes are ignored, but 66 chooses the 14-byte or 28-byte environment.
 */
import type { Row } from './row.ts'
import { row } from './row.ts'

const ENVIRONMENT = { size: 'z' } as const
const SSE3 = { feature: 'SSE3' }
const CMOV = { feature: 'CMOV' }

const operations = ['FADD', 'FMUL', 'FCOM', 'FCOMP', 'FSUB', 'FSUBR', 'FDIV', 'FDIVR']
/** As `operations`, for a memory integer. */
const integerOperations = ['FIADD', 'FIMUL', 'FICOM', 'FICOMP', 'FISUB', 'FISUBR', 'FIDIV', 'FIDIVR']

/** One row for each /n of `opcode`. */
function eight(opcode: string, mnemonics: readonly string[], operands: string, form: 'mem' | 'reg'): Row[] {
  return mnemonics.map((mnemonic, n) => row(`${opcode} /${n} ${form}`, mnemonic, operands))
}

/** Instructions without operands, one for each ModRM.rm from 0; '' where there is none. */
function constants(opcode: string, n: number, mnemonics: readonly string[]): Row[] {
  return mnemonics.flatMap((mnemonic, rm) => mnemonic === '' ? [] : [row(`${opcode} /${n} reg rm=${rm}`, mnemonic)])
}

export const x87Rows: readonly Row[] = [
  ...eight('D8', operations, 'ST0,Md', 'mem'),
  ...eight('D8', operations, 'ST0,STi', 'reg'),

  row('D9 /0 mem', 'FLD', 'Md'),
  row('D9 /2 mem', 'FST', 'Md'),
  row('D9 /3 mem', 'FSTP', 'Md'),
  row('D9 /4 mem', 'FLDENV', 'Menv', ENVIRONMENT),
  row('D9 /5 mem', 'FLDCW', 'Mw'),
  row('D9 /6 mem', 'FNSTENV', 'Menv', ENVIRONMENT),
  row('D9 /7 mem', 'FNSTCW', 'Mw'),
  row('D9 /0 reg', 'FLD', 'STi'),
  row('D9 /1 reg', 'FXCH', 'ST0,STi'),
  row('D9 /2 reg rm=0', 'FNOP'),
  // FSTP1, an alias of DD /3 that raises no stack underflow.
  row('D9 /3 reg', 'FSTPNCE', 'STi'),
  ...constants('D9', 4, ['FCHS', 'FABS', '', '', 'FTST', 'FXAM']),
  ...constants('D9', 5, ['FLD1', 'FLDL2T', 'FLDL2E', 'FLDPI', 'FLDLG2', 'FLDLN2', 'FLDZ']),
  ...constants('D9', 6, ['F2XM1', 'FYL2X', 'FPTAN', 'FPATAN', 'FXTRACT', 'FPREM1', 'FDECSTP', 'FINCSTP']),
  ...constants('D9', 7, ['FPREM', 'FYL2XP1', 'FSQRT', 'FSINCOS', 'FRNDINT', 'FSCALE', 'FSIN', 'FCOS']),

  ...eight('DA', integerOperations, 'ST0,Md', 'mem'),
  row('DA /0 reg', 'FCMOVB', 'ST0,STi', CMOV),
  row('DA /1 reg', 'FCMOVE', 'ST0,STi', CMOV),
  row('DA /2 reg', 'FCMOVBE', 'ST0,STi', CMOV),
  row('DA /3 reg', 'FCMOVU', 'ST0,STi', CMOV),
  row('DA /5 reg rm=1', 'FUCOMPP'),

  row('DB /0 mem', 'FILD', 'Md'),
  row('DB /1 mem', 'FISTTP', 'Md', SSE3),
  row('DB /2 mem', 'FIST', 'Md'),
  row('DB /3 mem', 'FISTP', 'Md'),
  row('DB /5 mem', 'FLD', 'Mt'),
  row('DB /7 mem', 'FSTP', 'Mt'),
  row('DB /0 reg', 'FCMOVNB', 'ST0,STi', CMOV),
  row('DB /1 reg', 'FCMOVNE', 'ST0,STi', CMOV),
  row('DB /2 reg', 'FCMOVNBE', 'ST0,STi', CMOV),
  row('DB /3 reg', 'FCMOVNU', 'ST0,STi', CMOV),
  // FNENI, FNDISI and FNSETPM of the 8087 and 80287 do nothing today.
  ...constants('DB', 4, ['FNENI', 'FNDISI', 'FNCLEX', 'FNINIT', 'FNSETPM']),
  row('DB /5 reg', 'FUCOMI', 'ST0,STi', CMOV),
  row('DB /6 reg', 'FCOMI', 'ST0,STi', CMOV),

  ...eight('DC', operations, 'ST0,Mq', 'mem'),
  row('DC /0 reg', 'FADD', 'STi,ST0'),
  row('DC /1 reg', 'FMUL', 'STi,ST0'),
  // FCOM2 and FCOMP3, aliases of D8 /2 and /3.
  row('DC /2 reg', 'FCOM', 'ST0,STi'),
  row('DC /3 reg', 'FCOMP', 'ST0,STi'),
  row('DC /4 reg', 'FSUBR', 'STi,ST0'),
  row('DC /5 reg', 'FSUB', 'STi,ST0'),
  row('DC /6 reg', 'FDIVR', 'STi,ST0'),
  row('DC /7 reg', 'FDIV', 'STi,ST0'),

  row('DD /0 mem', 'FLD', 'Mq'),
  row('DD /1 mem', 'FISTTP', 'Mq', SSE3),
  row('DD /2 mem', 'FST', 'Mq'),
  row('DD /3 mem', 'FSTP', 'Mq'),
  row('DD /4 mem', 'FRSTOR', 'Mfsave', ENVIRONMENT),
  row('DD /6 mem', 'FNSAVE', 'Mfsave', ENVIRONMENT),
  row('DD /7 mem', 'FNSTSW', 'Mw'),
  row('DD /0 reg', 'FFREE', 'STi'),
  // FXCH4, an alias of D9 /1.
  row('DD /1 reg', 'FXCH', 'ST0,STi'),
  row('DD /2 reg', 'FST', 'STi'),
  row('DD /3 reg', 'FSTP', 'STi'),
  row('DD /4 reg', 'FUCOM', 'ST0,STi'),
  row('DD /5 reg', 'FUCOMP', 'ST0,STi'),

  ...eight('DE', integerOperations, 'ST0,Mw', 'mem'),
  row('DE /0 reg', 'FADDP', 'STi,ST0'),
  row('DE /1 reg', 'FMULP', 'STi,ST0'),
  // FCOMP5, an alias of D8 /3.
  row('DE /2 reg', 'FCOMP', 'ST0,STi'),
  row('DE /3 reg rm=1', 'FCOMPP'),
  row('DE /4 reg', 'FSUBRP', 'STi,ST0'),
  row('DE /5 reg', 'FSUBP', 'STi,ST0'),
  row('DE /6 reg', 'FDIVRP', 'STi,ST0'),
  row('DE /7 reg', 'FDIVP', 'STi,ST0'),

  row('DF /0 mem', 'FILD', 'Mw'),
  row('DF /1 mem', 'FISTTP', 'Mw', SSE3),
  row('DF /2 mem', 'FIST', 'Mw'),
  row('DF /3 mem', 'FISTP', 'Mw'),
  row('DF /4 mem', 'FBLD', 'Mt'),
  row('DF /5 mem', 'FILD', 'Mq'),
  row('DF /6 mem', 'FBSTP', 'Mt'),
  row('DF /7 mem', 'FISTP', 'Mq'),
  row('DF /0 reg', 'FFREEP', 'STi'),
  // FXCH7, FSTP8 and FSTP9, aliases of D9 /1 and DD /3.
  row('DF /1 reg', 'FXCH', 'ST0,STi'),
  row('DF /2 reg', 'FSTP', 'STi'),
  row('DF /3 reg', 'FSTP', 'STi'),
  row('DF /4 reg rm=0', 'FNSTSW', 'AX'),
  row('DF /5 reg', 'FUCOMIP', 'ST0,STi', CMOV),
  row('DF /6 reg', 'FCOMIP', 'ST0,STi', CMOV),
]
