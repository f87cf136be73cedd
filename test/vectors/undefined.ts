/**
 * What the SDM leaves undefined, or where the recording processor (AMD) is known to differ from Intel's in what is defined: bits of a
 * vector's expected state that an engine need not reproduce. One table, used by compare.ts.
 */
import { Flat } from './environment.ts'
import { Rflags, selector, Word } from './state.ts'
import type { Outcome } from './target.ts'
import type { Exception, Vector } from './vector.ts'

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
  { mnemonics: 'TZCNT LZCNT', flags: OF | SF | AF | PF },
  { mnemonics: 'ANDN BLSR BLSMSK BLSI BZHI', flags: AF | PF },
  { mnemonics: 'BEXTR', flags: SF | AF | PF },
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
  return /^V?R(CP|SQRT)[PS]S$/.test(mnemonic) ? { kind: 'single', amount: -10 } : undefined
}

interface Exemption {
  readonly mnemonics: RegExp
  readonly reason: string
  /** Applies to this vector and what an engine made of it. */
  readonly when: (vector: Vector, outcome: Outcome) => boolean
}

const vectorOf = ({ exception }: { readonly exception: Exception | undefined }): number => exception?.vector ?? -1
const UPPER_HALF = 0xffff800000000000n
const LARGEST_AREA = 576n
const AMD_MISALIGNED_MODE = 0x20000n

/** Where processors differ, or the recorder saw more than the instruction. Such a vector is not compared if an engine differs so. */
const exemptions: readonly Exemption[] = [
  {
    mnemonics: /^INT1$/, reason: 'a hypervisor under the recorder leaves RIP on the instruction: it is a trap',
    when: (vector, outcome) => vectorOf(outcome) === 1 && outcome.state[Word.RIP] === vector.initial[Word.RIP] + BigInt(vector.code.length),
  },
  {
    mnemonics: /^(RET_FAR|IRET)$/, reason: 'AMD reads the frame in another order, all of it before it looks at the selector',
    when: (vector, outcome) => [12, 14].includes(vectorOf(vector)) && outcome.exception !== undefined,
  },
  {
    mnemonics: /^CALL_FAR$/, reason: 'AMD already pushes as compatibility mode does when it goes there',
    when: (vector) => vector.initial[Word.GPR + 4] >> 32n !== 0n && selector(vector.expected, 1) !== Flat.CODE64,
  },
  {
    mnemonics: /^SH[LR]D$/, reason: 'undefined for counts above the size',
    when: (vector) => operandBits(vector) === 16 && shiftCount(vector) > 16,
  },
  {
    mnemonics: /^INVPCID$/, reason: 'CPUID says here that it is not there',
    when: (vector, outcome) => vectorOf(vector) === 13 && vectorOf(outcome) === 6,
  },
  {
    mnemonics: /^(FX|X)RSTOR$/, reason: 'bit 17 of MXCSR is AMD\'s and reserved elsewhere',
    when: (vector, outcome) => (vector.expected[Word.MXCSR] & AMD_MISALIGNED_MODE) !== 0n && vectorOf(outcome) === 13,
  },
  {
    mnemonics: /^(FXSAVE|FXRSTOR|XSAVE|XSAVEOPT|XRSTOR)$/, reason: 'a fault may name any byte of the area',
    when: (vector, outcome) => isNearFault(vector.exception, outcome.exception),
  },
  {
    mnemonics: /./, reason: 'AMD checks alignment before the stack segment\'s limit',
    when: (vector, outcome) => vector.mode !== 64 && isAligned(vector) && vectorOf(vector) === 13 && vectorOf(outcome) === 12,
  },
  {
    mnemonics: /^(PUSHA|POPA)$/, reason: 'a processor may have done some of it before the fault',
    when: (vector, outcome) => vectorOf(vector) >= 0 && vectorOf(vector) === vectorOf(outcome),
  },
  {
    mnemonics: /^ARPL$/, reason: 'AMD writes only where something changes, and then reads without the intention to',
    when: (vector, outcome) => outcome.exception !== undefined && (vector.exception === undefined || vector.exception.errorCode === 4),
  },
  {
    mnemonics: /./, reason: 'AMD raises #GP where an address is canonical only with the base of FS or GS',
    when: (vector, outcome) => vectorOf(vector) === 13 && vectorOf(outcome) === 14 && outcome.exception!.address >= UPPER_HALF,
  },
]

/** The row has a memory operand that must be aligned. */
const isAligned = ({ row }: Vector): boolean => /(W(dq|p[sd])|Mfx|\bM$)/.test(row)

function isNearFault(a: Exception | undefined, b: Exception | undefined): boolean {
  if (a?.vector !== 14 || b?.vector !== 14 || a.errorCode !== b.errorCode) return false
  const distance = a.address - b.address
  return distance < LARGEST_AREA && distance > -LARGEST_AREA
}

/** Why an engine may differ from the vector in this way; undefined if it may not. */
export function exemption(vector: Vector, mnemonic: string, outcome: Outcome): string | undefined {
  return exemptions.find(({ mnemonics, when }) => mnemonics.test(mnemonic) && when(vector, outcome))?.reason
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
