import { describe, expect, test } from 'vitest'
import { Block, Slot } from '../state/layout.ts'
import { VcpuState } from '../state/vcpu-state.ts'
import { integerHelpers } from './integer-helpers.ts'
import { HelperOutcome } from './outcome.ts'

const state = new VcpuState(new ArrayBuffer(0x4000), 1024, 4096)

function call(name: string, ...args: bigint[]): { outcome: number; result: bigint } {
  args.forEach((value, n) => state.setBlockU64(Block.ARGUMENTS + 16 * n, BigInt.asUintN(64, value)))
  state.setSlotU32(Slot.EXIT_VECTOR, 0xff)
  const outcome = integerHelpers[name]({ state })
  return { outcome, result: state.blockU64(Block.RESULT) }
}

test('CRC32C of the digits 1 to 9, a byte or eight at a time', () => {
  const digits = [...'123456789'].map((digit) => BigInt(digit.charCodeAt(0)))
  const bytewise = digits.reduce((crc, digit) => call('crc32', crc, digit, 8n).result, 0xffffffffn)
  expect(bytewise ^ 0xffffffffn).toBe(0xe3069283n)
  const eight = digits.slice(0, 8).reduce((word, digit, n) => word | digit << BigInt(8 * n), 0n)
  expect(call('crc32', call('crc32', 0xffffffffn, eight, 64n).result, digits[8], 8n).result).toBe(bytewise)
})

test('bits deposited and extracted (SDM Vol. 2, figures of PDEP and PEXT)', () => {
  expect(call('PDEP', 0b1011n, 0b1010_0110n).result).toBe(0b1000_0110n)
  expect(call('PEXT', 0b1000_0110n, 0b1010_0110n).result).toBe(0b1011n)
  expect(call('PDEP', -1n, -1n).result).toBe((1n << 64n) - 1n)
  expect(call('PEXT', -1n, 0n).result).toBe(0n)
})

describe('128-bit division', () => {
  test('unsigned', () => {
    expect(call('divideUnsigned128', 5n, 1n, 3n)).toEqual({ outcome: HelperOutcome.OK, result: ((1n << 64n) + 5n) / 3n })
  })

  test('signed quotients round towards zero', () => {
    expect(call('divideSigned128', -7n, -1n, 2n)).toEqual({ outcome: HelperOutcome.OK, result: BigInt.asUintN(64, -3n) })
  })

  test('the most negative quotient fits, its opposite raises #DE', () => {
    expect(call('divideSigned128', 0n, -1n << 63n, 1n << 63n).outcome).toBe(HelperOutcome.FAULT)
    expect(call('divideSigned128', 1n << 63n, -1n, 1n)).toEqual({ outcome: HelperOutcome.OK, result: 1n << 63n })
    expect(call('divideSigned128', 1n << 63n, -1n, -1n).outcome).toBe(HelperOutcome.FAULT)
    expect(state.slotU32(Slot.EXIT_VECTOR)).toBe(0)
  })
})
