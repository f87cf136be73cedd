/** The one-byte opcode map (SDM Vol. 2D table A-2) with its groups 1 to 5 and 11, in the order of the opcodes. x87 is in x87.ts. */
import type { Row } from './row.ts'
import { hex, row } from './row.ts'

const LOCK = { lock: true }
const ENDS = { ends: true }
const INVALID64 = { invalid64: true }
const D64 = { d64: true, size: 'v' } as const
const BRANCH = { f64: true, ends: true, size: 'v' } as const
const FAR = { ends: true, size: 'v' } as const
const PUSH_LEGACY = { invalid64: true, size: 'v' } as const
const POP_SEGMENT = { ends: true, ...PUSH_LEGACY }

/** The six encodings that the eight basic operations have each, `base` to `base + 5`. */
function arithmetic(base: number, mnemonic: string): Row[] {
  const lock = { lock: mnemonic !== 'CMP' }
  return [
    row(hex(base), mnemonic, 'Eb,Gb', lock),
    row(hex(base + 1), mnemonic, 'Ev,Gv', lock),
    row(hex(base + 2), mnemonic, 'Gb,Eb'),
    row(hex(base + 3), mnemonic, 'Gv,Ev'),
    row(hex(base + 4), mnemonic, 'AL,Ib'),
    row(hex(base + 5), mnemonic, 'rAX,sIz'),
  ]
}

/** Group 1: opcodes 80 to 83. 82 is 80 again, outside 64-bit mode. */
const group1 = ['ADD', 'OR', 'ADC', 'SBB', 'AND', 'SUB', 'XOR', 'CMP'].flatMap((mnemonic, n) => {
  const lock = { lock: mnemonic !== 'CMP' }
  return [
    row(`80 /${n}`, mnemonic, 'Eb,Ib', lock),
    row(`81 /${n}`, mnemonic, 'Ev,sIz', lock),
    row(`82 /${n}`, mnemonic, 'Eb,Ib', { ...lock, invalid64: true }),
    row(`83 /${n}`, mnemonic, 'Ev,sIb', lock),
  ]
})

/** Group 2: shifts and rotates. /6 is undocumented and equals /4 on real processors. */
const group2 = ['ROL', 'ROR', 'RCL', 'RCR', 'SHL', 'SHR', 'SHL', 'SAR'].flatMap((mnemonic, n) => [
  row(`C0 /${n}`, mnemonic, 'Eb,Ib'),
  row(`C1 /${n}`, mnemonic, 'Ev,Ib'),
  row(`D0 /${n}`, mnemonic, 'Eb,1'),
  row(`D1 /${n}`, mnemonic, 'Ev,1'),
  row(`D2 /${n}`, mnemonic, 'Eb,CL'),
  row(`D3 /${n}`, mnemonic, 'Ev,CL'),
])

export const oneByteRows: readonly Row[] = [
  ...arithmetic(0x00, 'ADD'),
  row('06', 'PUSH_SREG', 'ES', PUSH_LEGACY),
  row('07', 'POP_SREG', 'ES', POP_SEGMENT),
  ...arithmetic(0x08, 'OR'),
  row('0E', 'PUSH_SREG', 'CS', PUSH_LEGACY),
  ...arithmetic(0x10, 'ADC'),
  row('16', 'PUSH_SREG', 'SS', PUSH_LEGACY),
  row('17', 'POP_SREG', 'SS', POP_SEGMENT),
  ...arithmetic(0x18, 'SBB'),
  row('1E', 'PUSH_SREG', 'DS', PUSH_LEGACY),
  row('1F', 'POP_SREG', 'DS', POP_SEGMENT),
  ...arithmetic(0x20, 'AND'),
  row('27', 'DAA', '', INVALID64),
  ...arithmetic(0x28, 'SUB'),
  row('2F', 'DAS', '', INVALID64),
  ...arithmetic(0x30, 'XOR'),
  row('37', 'AAA', '', INVALID64),
  ...arithmetic(0x38, 'CMP'),
  row('3F', 'AAS', '', INVALID64),

  // 40 to 4F are the REX prefixes in 64-bit mode.
  row('40+r', 'INC', 'Zv', INVALID64),
  row('48+r', 'DEC', 'Zv', INVALID64),
  row('50+r', 'PUSH', 'Zv', D64),
  row('58+r', 'POP', 'Zv', D64),
  row('60', 'PUSHA', '', PUSH_LEGACY),
  row('61', 'POPA', '', PUSH_LEGACY),
  row('62 mem', 'BOUND', 'Gv,Ma', INVALID64),
  row('63', 'ARPL', 'Ew,Gw', { invalid64: true, protectedOnly: true }),
  row('63', 'MOVSXD', 'Gv,Ez', { only64: true }),
  row('68', 'PUSH', 'sIz', D64),
  row('69', 'IMUL3', 'Gv,Ev,sIz'),
  row('6A', 'PUSH', 'sIb', D64),
  row('6B', 'IMUL3', 'Gv,Ev,sIb'),
  row('6C', 'INS', 'Yb,DX', { repeat: 'rep' }),
  row('6D', 'INS', 'Yz,DX', { repeat: 'rep' }),
  row('6E', 'OUTS', 'DX,Xb', { repeat: 'rep' }),
  row('6F', 'OUTS', 'DX,Xz', { repeat: 'rep' }),
  row('70+cc', 'Jcc', 'Jb', BRANCH),

  ...group1,
  row('84', 'TEST', 'Eb,Gb'),
  row('85', 'TEST', 'Ev,Gv'),
  row('86', 'XCHG', 'Eb,Gb', LOCK),
  row('87', 'XCHG', 'Ev,Gv', LOCK),
  row('88', 'MOV', 'Eb,Gb'),
  row('89', 'MOV', 'Ev,Gv'),
  row('8A', 'MOV', 'Gb,Eb'),
  row('8B', 'MOV', 'Gv,Ev'),
  row('8C /0 /1 /2 /3 /4 /5 mem', 'MOV_FROM_SREG', 'Mw,Sw'),
  row('8C /0 /1 /2 /3 /4 /5 reg', 'MOV_FROM_SREG', 'Rv,Sw'),
  row('8D mem', 'LEA', 'Gv,M'),
  row('8E /0 /2 /3 /4 /5', 'MOV_TO_SREG', 'Sw,Ew', ENDS),
  row('8F /0', 'POP', 'Ev', D64),

  row('90 b0', 'NOP'),
  row('F3 90 b0', 'PAUSE'),
  row('90+r', 'XCHG', 'Zv,rAX'),
  row('98', 'CBW', '', { size: 'v' }),
  row('99', 'CWD', '', { size: 'v' }),
  row('9A', 'CALL_FAR', 'Ap', { ...FAR, invalid64: true }),
  row('9B', 'FWAIT'),
  row('9C', 'PUSHF', '', D64),
  row('9D', 'POPF', '', { ...D64, ends: true }),
  row('9E', 'SAHF'),
  row('9F', 'LAHF'),

  row('A0', 'MOV', 'AL,Ob'),
  row('A1', 'MOV', 'rAX,Ov'),
  row('A2', 'MOV', 'Ob,AL'),
  row('A3', 'MOV', 'Ov,rAX'),
  row('A4', 'MOVS', 'Yb,Xb', { repeat: 'rep' }),
  row('A5', 'MOVS', 'Yv,Xv', { repeat: 'rep' }),
  row('A6', 'CMPS', 'Xb,Yb', { repeat: 'repe' }),
  row('A7', 'CMPS', 'Xv,Yv', { repeat: 'repe' }),
  row('A8', 'TEST', 'AL,Ib'),
  row('A9', 'TEST', 'rAX,sIz'),
  row('AA', 'STOS', 'Yb,AL', { repeat: 'rep' }),
  row('AB', 'STOS', 'Yv,rAX', { repeat: 'rep' }),
  row('AC', 'LODS', 'AL,Xb', { repeat: 'rep' }),
  row('AD', 'LODS', 'rAX,Xv', { repeat: 'rep' }),
  row('AE', 'SCAS', 'AL,Yb', { repeat: 'repe' }),
  row('AF', 'SCAS', 'rAX,Yv', { repeat: 'repe' }),
  row('B0+r', 'MOV', 'Zb,Ib'),
  row('B8+r', 'MOV', 'Zv,Iv'),

  ...group2,
  row('C2', 'RET', 'Iw', BRANCH),
  row('C3', 'RET', '', BRANCH),
  // Outside 64-bit mode LES and LDS are memory forms only: the register forms, and all forms in 64-bit mode, begin VEX.
  row('C4 mem', 'LES', 'Gv,Mp', INVALID64),
  row('C5 mem', 'LDS', 'Gv,Mp', INVALID64),
  row('C6 /0', 'MOV', 'Eb,Ib'),
  row('C7 /0', 'MOV', 'Ev,sIz'),
  row('C8', 'ENTER', 'Iw,Ib', D64),
  row('C9', 'LEAVE', '', D64),
  row('CA', 'RET_FAR', 'Iw', FAR),
  row('CB', 'RET_FAR', '', FAR),
  row('CC', 'INT3', '', ENDS),
  row('CD', 'INT', 'Ib', ENDS),
  row('CE', 'INTO', '', { invalid64: true, ends: true }),
  row('CF', 'IRET', '', FAR),
  row('D4', 'AAM', 'Ib', INVALID64),
  row('D5', 'AAD', 'Ib', INVALID64),
  row('D6', 'SALC', '', INVALID64),
  row('D7', 'XLAT', '', { size: 'b' }),

  row('E0', 'LOOPNE', 'Jb', BRANCH),
  row('E1', 'LOOPE', 'Jb', BRANCH),
  row('E2', 'LOOP', 'Jb', BRANCH),
  row('E3', 'JCXZ', 'Jb', BRANCH),
  row('E4', 'IN', 'AL,Ib'),
  row('E5', 'IN', 'eAX,Ib'),
  row('E6', 'OUT', 'Ib,AL'),
  row('E7', 'OUT', 'Ib,eAX'),
  row('E8', 'CALL', 'Jz', BRANCH),
  row('E9', 'JMP', 'Jz', BRANCH),
  row('EA', 'JMP_FAR', 'Ap', { ...FAR, invalid64: true }),
  row('EB', 'JMP', 'Jb', BRANCH),
  row('EC', 'IN', 'AL,DX'),
  row('ED', 'IN', 'eAX,DX'),
  row('EE', 'OUT', 'DX,AL'),
  row('EF', 'OUT', 'DX,eAX'),

  row('F1', 'INT1', '', ENDS),
  row('F4', 'HLT', '', ENDS),
  row('F5', 'CMC'),
  // Group 3. /1 is undocumented and equals /0 on real processors.
  row('F6 /0 /1', 'TEST', 'Eb,Ib'),
  row('F6 /2', 'NOT', 'Eb', LOCK),
  row('F6 /3', 'NEG', 'Eb', LOCK),
  row('F6 /4', 'MUL', 'Eb'),
  row('F6 /5', 'IMUL1', 'Eb'),
  row('F6 /6', 'DIV', 'Eb'),
  row('F6 /7', 'IDIV', 'Eb'),
  row('F7 /0 /1', 'TEST', 'Ev,sIz'),
  row('F7 /2', 'NOT', 'Ev', LOCK),
  row('F7 /3', 'NEG', 'Ev', LOCK),
  row('F7 /4', 'MUL', 'Ev'),
  row('F7 /5', 'IMUL1', 'Ev'),
  row('F7 /6', 'DIV', 'Ev'),
  row('F7 /7', 'IDIV', 'Ev'),
  row('F8', 'CLC'),
  row('F9', 'STC'),
  row('FA', 'CLI', '', ENDS),
  row('FB', 'STI', '', ENDS),
  row('FC', 'CLD'),
  row('FD', 'STD'),
  // Groups 4 and 5.
  row('FE /0', 'INC', 'Eb', LOCK),
  row('FE /1', 'DEC', 'Eb', LOCK),
  row('FF /0', 'INC', 'Ev', LOCK),
  row('FF /1', 'DEC', 'Ev', LOCK),
  row('FF /2', 'CALL_INDIRECT', 'Ev', BRANCH),
  row('FF /3 mem', 'CALL_FAR', 'Mp', FAR),
  row('FF /4', 'JMP_INDIRECT', 'Ev', BRANCH),
  row('FF /5 mem', 'JMP_FAR', 'Mp', FAR),
  row('FF /6', 'PUSH', 'Ev', D64),
]
