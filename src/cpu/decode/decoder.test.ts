import { describe, expect, test } from 'vitest'
import { features, rows } from '../isa/rows.ts'
import { Decoder } from './decoder.ts'
import type { CodeSize } from './instruction.ts'
import { DecodeFailure, Instruction } from './instruction.ts'
import { fillWithCandidates, seededRandom } from './testing/random-code.ts'

const decoder = new Decoder(features())

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.split(' '), (byte) => parseInt(byte, 16))
}

function decode(hex: string, codeSize: CodeSize = 64): Instruction & { mnemonic: string } {
  const instruction = new Instruction()
  const bytes = bytesOf(hex)
  const length = decoder.decode(bytes, 0, bytes.length, codeSize, instruction)
  expect(length).toBe(bytes.length)
  return { ...instruction, mnemonic: rows[instruction.row].mnemonic }
}

function failure(hex: string, codeSize: CodeSize = 64): number {
  const bytes = bytesOf(hex)
  return decoder.decode(bytes, 0, bytes.length, codeSize, new Instruction())
}

describe('prefixes', () => {
  test('REX counts only right before the opcode', () => {
    expect(decode('48 89 c8')).toMatchObject({ mnemonic: 'MOV', operandSize: 64, rex: true })
    expect(decode('48 66 89 c8')).toMatchObject({ operandSize: 16, rex: false })
    expect(decode('48 40 89 c8')).toMatchObject({ operandSize: 32, rex: true })
    expect(decode('48', 32)).toMatchObject({ mnemonic: 'DEC' })
  })

  test('REX.W overrides 66', () => {
    expect(decode('66 48 05 01 02 03 04')).toMatchObject({ operandSize: 64, immediate: 0x04030201 })
  })

  test('the last of F2 and F3 chooses the row, and beats 66', () => {
    expect(decode('f3 f2 0f 58 c1').mnemonic).toBe('ADDSD')
    expect(decode('f2 66 f3 0f 58 c1').mnemonic).toBe('ADDSS')
    expect(decode('66 0f 58 c1').mnemonic).toBe('ADDPD')
    expect(failure('f3 66 0f 14 c1')).toBe(DecodeFailure.INVALID)
  })

  test('the last segment override wins; in 64-bit mode only FS and GS override', () => {
    expect(decode('26 36 8b 00', 32).segment).toBe(2)
    expect(decode('64 26 8b 00').segment).toBe(4)
    expect(decode('36 8b 00').segment).toBe(3)
  })

  test('LOCK is legal only on certain instructions with a memory destination', () => {
    expect(decode('f0 01 08')).toMatchObject({ mnemonic: 'ADD', lock: true })
    for (const hex of ['f0 01 c8', 'f0 03 08', 'f0 89 08', 'f0 90', 'f0 38 08']) expect(failure(hex)).toBe(DecodeFailure.INVALID)
  })

  test('REP counts where the row repeats', () => {
    expect(decode('f3 a4').repeat).toBe(1)
    expect(decode('f2 a4').repeat).toBe(1)
    expect(decode('f2 a6').repeat).toBe(2)
    expect(decode('f3 a6').repeat).toBe(1)
    expect(decode('f3 01 08').repeat).toBe(0)
  })

  test('90 is NOP, PAUSE or, with REX.B, XCHG', () => {
    expect(['90', 'f3 90', '41 90', '48 90'].map((hex) => decode(hex).mnemonic)).toEqual(['NOP', 'PAUSE', 'XCHG', 'NOP'])
    expect(decode('41 90')).toMatchObject({ rm: 8, operandSize: 32 })
  })

  test('REX.W makes CMPXCHG8B CMPXCHG16B', () => {
    expect(decode('0f c7 08').mnemonic).toBe('CMPXCHG8B')
    expect(decode('48 0f c7 08').mnemonic).toBe('CMPXCHG16B')
  })
})

describe('VEX', () => {
  test('has the registers\' fourth bits and a third register, inverted', () => {
    expect(decode('c5 f0 58 c2')).toMatchObject({ mnemonic: 'VADDPS', reg: 0, vvvv: 1, rm: 2 })
    expect(decode('c4 41 04 58 c2')).toMatchObject({ mnemonic: 'VADDPS', reg: 8, vvvv: 15, rm: 10 })
    expect(decode('c4 a1 70 58 04 c8')).toMatchObject({ base: 0, index: 9, scale: 3 })
  })

  test('W chooses the row or the operand size', () => {
    expect(decode('c4 e2 71 b8 c2').mnemonic).toBe('VFMADD231PS')
    expect(decode('c4 e2 f1 b8 c2').mnemonic).toBe('VFMADD231PD')
    expect(decode('c4 e1 f2 2a c2')).toMatchObject({ mnemonic: 'VCVTSI2SS', operandSize: 64 })
    expect(decode('c4 e1 f2 2a c2', 32)).toMatchObject({ mnemonic: 'VCVTSI2SS', operandSize: 32 })
  })

  test('is LES and LDS outside 64-bit mode, where ModRM addresses memory', () => {
    expect(decode('c5 30', 32).mnemonic).toBe('LDS')
    expect(decode('c4 30', 32).mnemonic).toBe('LES')
    expect(decode('c5 f0 58 c2', 32).mnemonic).toBe('VADDPS')
    // The fourth bits have no effect there.
    expect(decode('c4 c1 00 58 c2', 32)).toMatchObject({ reg: 0, vvvv: 7, rm: 2 })
  })
})

describe('operand size', () => {
  test('stack operations default to 64 bits in 64-bit mode', () => {
    expect(decode('50').operandSize).toBe(64)
    expect(decode('66 50').operandSize).toBe(16)
    expect(decode('50', 32).operandSize).toBe(32)
    expect(decode('6a ff')).toMatchObject({ operandSize: 64, immediate: -1, immediateHigh: -1 })
  })

  test('near branches are 64 bits in 64-bit mode, and ignore 66 as on Intel', () => {
    expect(decode('66 e8 00 00 00 80')).toMatchObject({ operandSize: 64, immediate: -0x80000000, immediateHigh: -1 })
    expect(decode('66 e8 00 80', 32)).toMatchObject({ operandSize: 16, immediate: -0x8000 })
    expect(decode('66 ff d0').operandSize).toBe(64)
  })

  test('far transfers default to 32 bits', () => {
    expect(decode('48 ff 18')).toMatchObject({ mnemonic: 'CALL_FAR', operandSize: 64 })
    expect(decode('ff 18').operandSize).toBe(32)
    expect(decode('9a 01 02 03 04', 16)).toMatchObject({ operandSize: 16, immediate: 0x201, immediate2: 0x403 })
  })

  test('is 8 for byte operands and 32 where there is none', () => {
    expect(decode('66 00 c8').operandSize).toBe(8)
    expect(decode('66 48 0f ef c8').operandSize).toBe(32)
    expect(decode('66 48 0f 6e c8').operandSize).toBe(64)
  })
})

describe('addresses', () => {
  test('SIB without base, without index, and with R12 and R13', () => {
    expect(decode('8b 04 25 00 00 00 80')).toMatchObject({ mod: 0, base: -1, index: -1, displacementHigh: -1 })
    expect(decode('8b 04 8d 01 00 00 00')).toMatchObject({ base: -1, index: 1, scale: 2, displacement: 1 })
    expect(decode('41 8b 04 24')).toMatchObject({ base: 12, index: -1, segment: 3 })
    expect(decode('42 8b 04 20')).toMatchObject({ base: 0, index: 12 })
    expect(decode('41 8b 45 00')).toMatchObject({ base: 13, displacement: 0, segment: 3 })
    expect(decode('8b 04 24')).toMatchObject({ base: 4, index: -1, segment: 2 })
    expect(decode('41 8b 44 25 80')).toMatchObject({ base: 13, index: -1, displacement: -128 })
  })

  test('is relative to RIP in 64-bit mode only', () => {
    expect(decode('8b 05 01 00 00 00')).toMatchObject({ base: 16, displacement: 1 })
    expect(decode('67 8b 05 01 00 00 00')).toMatchObject({ base: 16, addressSize: 32 })
    expect(decode('8b 05 01 00 00 00', 32)).toMatchObject({ base: -1, displacement: 1 })
  })

  test('16-bit forms', () => {
    expect(decode('8b 00', 16)).toMatchObject({ base: 3, index: 6, segment: 3 })
    expect(decode('8b 43 ff', 16)).toMatchObject({ base: 5, index: 7, displacement: -1, segment: 2 })
    expect(decode('8b 06 34 12', 16)).toMatchObject({ base: -1, index: -1, displacement: 0x1234, segment: 3 })
    expect(decode('67 8b 46 ff', 32)).toMatchObject({ base: 5, addressSize: 16 })
    expect(decode('67 8b 04 24', 16)).toMatchObject({ base: 4, addressSize: 32 })
  })

  test('moffs has the size of an address', () => {
    const wide = decode('a0 01 02 03 04 05 06 07 88')
    expect(wide).toMatchObject({ mod: 0, base: -1, displacement: 0x04030201, displacementHigh: 0x88070605 | 0 })
    expect(decode('67 a0 01 02 03 84')).toMatchObject({ displacement: 0x84030201 | 0, displacementHigh: 0 })
    expect(decode('a1 01 82', 16)).toMatchObject({ displacement: 0x8201, operandSize: 16 })
  })

  test('strings', () => {
    expect(decode('64 a5')).toMatchObject({ mnemonic: 'MOVS', segment: 4, mod: 3 })
    expect(decode('64 aa').segment).toBe(0)
  })

  test('MOV to and from control and debug registers ignores mod', () => {
    expect(decode('0f 20 04')).toMatchObject({ mod: 3, reg: 0, rm: 4, base: -1, operandSize: 64 })
    expect(decode('44 0f 20 c0').reg).toBe(8)
    for (const hex of ['0f 20 c8', '44 0f 20 c8', '44 0f 21 c0']) expect(failure(hex)).toBe(DecodeFailure.INVALID)
  })
})

describe('immediates', () => {
  test('are extended as the row says', () => {
    expect(decode('83 c0 80')).toMatchObject({ immediate: -128, immediateHigh: -1 })
    expect(decode('c1 e0 80')).toMatchObject({ immediate: 0x80, immediateHigh: 0 })
    expect(decode('d1 e0')).toMatchObject({ immediate: 1 })
    expect(decode('66 b8 ff ff')).toMatchObject({ immediate: 0xffff, immediateHigh: 0 })
    expect(decode('b8 ff ff ff ff')).toMatchObject({ immediate: -1, immediateHigh: 0 })
    expect(decode('48 b8 01 00 00 00 02 00 00 00')).toMatchObject({ immediate: 1, immediateHigh: 2 })
    expect(decode('c8 01 80 02')).toMatchObject({ mnemonic: 'ENTER', immediate: 0x8001, immediate2: 2 })
    expect(decode('c2 ff ff')).toMatchObject({ immediate: 0xffff })
  })
})

describe('failures', () => {
  test('fifteen bytes are allowed and sixteen are not', () => {
    const prefixes = (count: number) => Array(count).fill('66').join(' ')
    expect(decode(`${prefixes(14)} 90`).length).toBe(15)
    expect(failure(`${prefixes(15)} 90`)).toBe(DecodeFailure.TOO_LONG)
    expect(failure(prefixes(15))).toBe(DecodeFailure.TOO_LONG)
    expect(failure(prefixes(14))).toBe(DecodeFailure.TRUNCATED)
  })

  test('every proper prefix of a valid instruction is truncated, whatever follows it in memory', () => {
    const random = seededRandom(7)
    const bytes = new Uint8Array(20 * 5000)
    fillWithCandidates(bytes, 20, random)
    const instruction = new Instruction()
    for (const codeSize of [16, 32, 64] as const) {
      for (let at = 0; at < bytes.length; at += 20) {
        const length = decoder.decode(bytes, at, at + 20, codeSize, instruction)
        for (let end = at; end < at + length; end++) {
          expect(decoder.decode(bytes, at, end, codeSize, instruction)).toBe(DecodeFailure.TRUNCATED)
        }
      }
    }
  })

  test('encodings of other modes and of EVEX and XOP', () => {
    const not64 = [
      '06', '0e', '27', '60', '62 01', '82 c0 01', '9a', 'ce', 'd4 0a', 'd6', 'ea', '62 f1 7c 48 58 c0',
    ]
    const only64 = ['62 c0', '0f 05', '0f 01 f8', '8f c8 00']
    for (const hex of not64) expect(failure(hex)).toBe(DecodeFailure.INVALID)
    for (const hex of only64) expect(failure(hex, 32)).toBe(DecodeFailure.INVALID)
  })

  test('VEX behind a prefix that it replaces, with a register in vvvv that is not used, of a map that is not there', () => {
    for (const hex of ['66', 'f3', 'f2', 'f0', '48']) expect(failure(`${hex} c5 f8 58 c0`)).toBe(DecodeFailure.INVALID)
    for (const hex of ['c5 f0 51 c0', 'c4 e0 78 58 c0', 'c4 e4 78 58 c0']) expect(failure(hex)).toBe(DecodeFailure.INVALID)
    expect(failure('c5')).toBe(DecodeFailure.TRUNCATED)
    expect(failure('c5', 32)).toBe(DecodeFailure.TRUNCATED)
  })

  test('a missing feature makes its encodings invalid, or what they were before it', () => {
    const without = (feature: string) => new Decoder(new Set([...features()].filter((one) => one !== feature)))
    const instruction = new Instruction()
    expect(without('SSE3').decode(bytesOf('f2 0f f0 00'), 0, 4, 64, instruction)).toBe(DecodeFailure.INVALID)
    expect(without('RDTSCP').decode(bytesOf('0f 01 f9'), 0, 3, 64, instruction)).toBe(DecodeFailure.INVALID)
    expect(decode('f3 0f bc c1').mnemonic).toBe('TZCNT')
    expect(without('BMI1').decode(bytesOf('f3 0f bc c1'), 0, 4, 64, instruction)).toBe(4)
    expect(rows[instruction.row].mnemonic).toBe('BSF')
    expect(without('AVX').decode(bytesOf('c5 f0 58 c2'), 0, 4, 64, instruction)).toBe(DecodeFailure.INVALID)
    expect(decode('f3 0f 1e fa').mnemonic).toBe('NOP')
  })
})

test('a decoded instruction carries nothing over from the one before', () => {
  const reused = new Instruction()
  const random = seededRandom(11)
  const bytes = new Uint8Array(20 * 5000)
  fillWithCandidates(bytes, 20, random)
  for (let at = 0; at < bytes.length; at += 20) {
    const fresh = new Instruction()
    const length = decoder.decode(bytes, at, at + 20, 64, fresh)
    if (decoder.decode(bytes, at, at + 20, 64, reused) > 0) expect(reused).toEqual(fresh)
    else expect(length).toBeLessThanOrEqual(0)
  }
})
