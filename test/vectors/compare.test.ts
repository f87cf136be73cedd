import { describe, expect, it } from 'vitest'
import { differences } from './compare.ts'
import { backgroundState } from './environment.ts'
import { Rflags, Word } from './state.ts'
import type { CodeSize } from './state.ts'
import type { Outcome } from './target.ts'
import { operandBits, undefinedFlags, undefinedX87 } from './undefined.ts'
import { dataAfter } from './vector.ts'
import type { Vector } from './vector.ts'

function vector(row: string, code: readonly number[], mode: CodeSize = 64): Vector {
  const initial = backgroundState(1, mode)
  return { row, seed: 1, mode, code: Uint8Array.from(code), initial, patches: [], expected: initial.slice(), exception: undefined, writes: [] }
}

/** A correct outcome, with some words exclusive-ored. */
function outcome(of: Vector, changes: Readonly<Record<number, bigint>> = {}): Outcome {
  const state = of.expected.slice()
  for (const [word, bits] of Object.entries(changes)) state[Number(word)] ^= bits
  return { state, exception: of.exception, data: dataAfter(of) }
}

describe('differences', () => {
  const add = vector('01 Ev,Gv', [0x01, 0xd8])

  it('are none for the recorded outcome', () => {
    expect(differences(add, 'ADD', outcome(add))).toEqual([])
  })

  it('name registers, flags and memory', () => {
    const wrong = outcome(add, { 3: 1n, [Word.RFLAGS]: Rflags.AF, [Word.XMM + 5]: 1n })
    wrong.data[0x10] ^= 0xff
    const lines = differences(add, 'ADD', wrong)
    expect(lines.map((line) => line.split(':')[0])).toEqual(['RBX', 'RFLAGS', 'XMM2 high', 'memory at 20000010'])
  })

  it('tell exceptions apart', () => {
    const fault = { ...add, exception: { vector: 14, errorCode: 7, address: 0x20002000n } }
    expect(differences(fault, 'ADD', outcome(fault))).toEqual([])
    expect(differences(fault, 'ADD', outcome(add))[0]).toMatch(/expected vector 14, error code 7, address 20002000, got none/)
  })

  it('leave out undefined flags of instructions that complete, TF and RF', () => {
    const and = vector('21 Ev,Gv', [0x21, 0xd8])
    expect(differences(and, 'AND', outcome(and, { [Word.RFLAGS]: Rflags.AF | 0x10100n }))).toEqual([])
    expect(differences(and, 'AND', outcome(and, { [Word.RFLAGS]: Rflags.CF }))).toHaveLength(1)
    const fault = { ...and, exception: { vector: 13, errorCode: 0, address: 0n } }
    expect(differences(fault, 'AND', outcome(fault, { [Word.RFLAGS]: Rflags.AF }))).toHaveLength(1)
  })

  it('leave out high halves outside 64-bit mode', () => {
    const inc = vector('40+r Zv', [0x40], 32)
    expect(differences(inc, 'INC', outcome(inc, { 0: 1n << 32n, 9: 1n, [Word.FS_BASE]: 1n }))).toEqual([])
    expect(differences(inc, 'INC', outcome(inc, { 0: 1n }))).toHaveLength(1)
  })

  it('allow approximations their error and no more', () => {
    const sine = vector('D9 /7 reg rm=6', [0xd9, 0xfe])
    sine.expected[Word.STACK] = 0x8000000000000005n
    expect(differences(sine, 'FSIN', outcome(sine, { [Word.STACK]: 2n }))).toEqual([])
    expect(differences(sine, 'FSIN', outcome(sine, { [Word.STACK]: 0x10n }))).toHaveLength(1)
    expect(differences(sine, 'FSQRT', outcome(sine, { [Word.STACK]: 1n }))).toHaveLength(1)
    const reciprocal = vector('NP 0F 53 Vps,Wps', [0x0f, 0x53, 0xc1])
    reciprocal.expected[Word.XMM] = 0x3f8000003f800000n
    expect(differences(reciprocal, 'RCPPS', outcome(reciprocal, { [Word.XMM]: 0x1000n }))).toEqual([])
    expect(differences(reciprocal, 'RCPPS', outcome(reciprocal, { [Word.XMM]: 0x100000n }))).toHaveLength(1)
  })
})

describe('undefined results', () => {
  it('depend on the shift count', () => {
    const shl = (count: number) => undefinedFlags(vector('C0 /4 Eb,Ib', [0xc0, 0xe0, count]), 'SHL')
    expect(shl(0)).toBe(0n)
    expect(shl(32)).toBe(0n)
    expect(shl(1)).toBe(Rflags.AF)
    expect(shl(2)).toBe(Rflags.AF | Rflags.OF)
    expect(shl(8)).toBe(Rflags.AF | Rflags.OF | Rflags.CF)
  })

  it('mask counts by the operand size', () => {
    const byRegister = vector('D3 /7 Ev,CL', [0x48, 0xd3, 0xf8])
    byRegister.initial[1] = 32n
    expect(undefinedFlags(byRegister, 'SAR')).toBe(Rflags.AF | Rflags.OF)
    expect(undefinedFlags({ ...byRegister, code: Uint8Array.of(0xd3, 0xf8) }, 'SAR')).toBe(0n)
  })

  it('see sizes in prefixes', () => {
    expect(operandBits(vector('01 Ev,Gv', [0x01, 0xd8]))).toBe(32)
    expect(operandBits(vector('01 Ev,Gv', [0x66, 0x01, 0xd8]))).toBe(16)
    expect(operandBits(vector('01 Ev,Gv', [0x66, 0x48, 0x01, 0xd8]))).toBe(64)
    expect(operandBits(vector('01 Ev,Gv', [0x01, 0xd8], 16))).toBe(16)
    expect(operandBits(vector('01 Ev,Gv', [0x66, 0x01, 0xd8], 16))).toBe(32)
    expect(operandBits(vector('00 Eb,Gb', [0x00, 0xd8]))).toBe(8)
  })

  it('are condition codes only where x87 leaves them open', () => {
    expect(undefinedX87('FADD')).toBe(0x4500n << 16n)
    expect(undefinedX87('FCOM')).toBe(0n)
    expect(undefinedX87('FXAM')).toBe(0n)
    expect(undefinedX87('FPREM')).toBe(0n)
    expect(undefinedX87('FSIN')).toBe(0x4300n << 16n)
  })
})
