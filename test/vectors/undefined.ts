/**
 * What the SDM leaves undefined, or where the recording processor (AMD) is known to differ from Intel's in what is defined: bits of a
 * vector's expected state that an engine need not reproduce. One table, used by compare.ts.
 */
import { Rflags, Word } from './state.ts'
import type { Vector } from './vector.ts'

const { CF, PF, AF, ZF, SF, OF } = Rflags

interface FlagRule {
  readonly mnemonics: string
  readonly flags: bigint
  /** Applies to vectors for which this holds; always without it. */
  readonly when?: (vector: Vector, mnemonic: string) => boolean
}

/** RFLAGS that are undefined after an instruction (SDM Vol. 2, "Flags Affected" of each). */
const flagRules: readonly FlagRule[] = [
  { mnemonics: 'AND OR XOR TEST', flags: AF },
  { mnemonics: 'MUL IMUL1 IMUL2 IMUL3', flags: SF | ZF | AF | PF },
  { mnemonics: 'DIV IDIV', flags: CF | OF | SF | ZF | AF | PF },
  { mnemonics: 'SHL SHR SAR SHLD SHRD', flags: AF, when: (vector) => shiftCount(vector) !== 0 },
  { mnemonics: 'SHL SHR SAR SHLD SHRD ROL ROR RCL RCR', flags: OF, when: (vector) => shiftCount(vector) > 1 },
  { mnemonics: 'SHL SHR', flags: CF, when: (vector) => shiftCount(vector) >= operandBits(vector) },
  { mnemonics: 'BT BTS BTR BTC', flags: OF | SF | AF | PF },
  { mnemonics: 'BSF BSR', flags: CF | OF | SF | AF | PF },
  { mnemonics: 'DAA DAS', flags: OF },
  { mnemonics: 'AAA AAS', flags: OF | SF | ZF | PF },
  { mnemonics: 'AAM AAD', flags: OF | AF | CF },
]

const C0_C2_C3 = 0x4500n
const C1 = 0x200n

/** x87 condition codes that are undefined (SDM Vol. 2, "FPU Flags Affected"). Processors mostly leave them as they were. */
const conditionRules: readonly { readonly mnemonics: RegExp; readonly bits: bigint }[] = [
  { mnemonics: /^(FFREEP?|FLDCW|FNCLEX|FNSTCW|FNSTENV|FNSTSW|FNOP|FNENI|FNDISI|FNSETPM)$/, bits: C0_C2_C3 | C1 },
  { mnemonics: /^F(I?(ADD|SUBR?|MUL|DIVR?)P?|ABS|CHS|I?LD|BLD|LD[1LPZ].*|I?STT?P?|STPNCE|BSTP|XCH|XTRACT|RNDINT|SCALE|SQRT|CMOV.*)$/, bits: C0_C2_C3 },
  { mnemonics: /^F(2XM1|YL2X|YL2XP1|PATAN|INCSTP|DECSTP)$/, bits: C0_C2_C3 },
  // C1 says how the result was rounded, which differs with the last bit; C0 and C3 are undefined.
  { mnemonics: /^F(SIN|COS|SINCOS|PTAN|2XM1|YL2X|YL2XP1|PATAN)$/, bits: 0x4300n },
]

/** How far an approximation may be off: `extended` in units of the last place, `single` as a power of two of the relative error. */
export interface Tolerance {
  readonly kind: 'extended' | 'single'
  readonly amount: number
}

/** Flags of `mnemonic` that a vector leaves undefined. */
export function undefinedFlags(vector: Vector, mnemonic: string): bigint {
  let mask = 0n
  for (const rule of flagRules) {
    if (rule.mnemonics.split(' ').includes(mnemonic) && (rule.when?.(vector, mnemonic) ?? true)) mask |= rule.flags
  }
  return mask
}

/** Bits of the state's x87 word (FSW is bits 16 to 31) that a vector leaves undefined. */
export function undefinedX87(mnemonic: string): bigint {
  return conditionRules.reduce((mask, rule) => rule.mnemonics.test(mnemonic) ? mask | rule.bits << 16n : mask, 0n)
}

/** How far results may be from the recorded ones; transcendental functions and reciprocal approximations only. */
export function toleranceOf(mnemonic: string): Tolerance | undefined {
  if (/^F(SIN|COS|SINCOS|PTAN|2XM1|YL2X|YL2XP1|PATAN)$/.test(mnemonic)) return { kind: 'extended', amount: 2 }
  // Relative error at most 1.5 * 2^-12 of the true value each, so of each other at most 3 * 2^-12.
  return /^R(CP|SQRT)[PS]S$/.test(mnemonic) ? { kind: 'single', amount: -10 } : undefined
}

/** Bits of the operand: from the row's key and the prefixes. */
export function operandBits({ row, code, mode }: Vector): 8 | 16 | 32 | 64 {
  if (/ (Eb|AL)\b/.test(row)) return 8
  const prefixes = prefixesOf(code, mode)
  if (prefixes.rexW) return 64
  return prefixes.operandSize === (mode === 16) ? 32 : 16 // the prefix chooses the other one
}

function prefixesOf(code: Uint8Array, mode: number): { operandSize: boolean; rexW: boolean } {
  const legacy = [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]
  let at = 0
  let operandSize = false
  for (; legacy.includes(code[at]); at++) operandSize ||= code[at] === 0x66
  return { operandSize, rexW: mode === 64 && (code[at] & 0xf8) === 0x48 }
}

/** The count that a shift or rotate uses, after masking to five or six bits. */
function shiftCount(vector: Vector): number {
  const raw = vector.row.endsWith(',1') ? 1 : vector.row.endsWith('CL') ? Number(vector.initial[Word.GPR + 1] & 0xffn) : vector.code.at(-1)!
  return raw & (operandBits(vector) === 64 ? 63 : 31)
}
