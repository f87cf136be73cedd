import { expect, test } from 'vitest'
import { Block } from '../state/layout.ts'
import { VcpuState } from '../state/vcpu-state.ts'
import { compareStrings } from './string-compare.ts'

const state = new VcpuState(new ArrayBuffer(0x4000), 1024, 4096)
const IMPLICIT = 0xffff
const [CF, ZF, SF, OF] = [1, 0x40, 0x80, 0x800]

function text(content: string, words = false): Uint8Array {
  const bytes = new Uint8Array(16)
  for (let n = 0; n < content.length; n++) bytes[words ? n * 2 : n] = content.charCodeAt(n)
  return bytes
}

function compare(first: Uint8Array, second: Uint8Array, immediate: number, lengths = IMPLICIT): { bits: number; flags: number } {
  state.u8.set(first, state.block + Block.ARGUMENTS)
  state.u8.set(second, state.block + Block.ARGUMENTS + 16)
  state.setBlockU32(Block.ARGUMENTS + 32, immediate)
  state.setBlockU32(Block.ARGUMENTS + 48, lengths)
  compareStrings({ state })
  const result = state.blockU32(Block.RESULT)
  return { bits: result & 0xffff, flags: result >>> 16 }
}

test('equal any finds the characters of a set', () => {
  expect(compare(text('aeiou'), text('interpreter'), 0)).toEqual({ bits: 0b1010001001, flags: CF | ZF | SF | OF })
})

test('ranges: an element between the bounds of a pair, signed or not', () => {
  expect(compare(text('azAZ'), text('a1B-z'), 4).bits).toBe(0b10101)
  const bounds = Uint8Array.from([0x80, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
  expect(compare(bounds, text('ab'), 6).bits).toBe(0b11)
  expect(compare(bounds, text('ab'), 4).bits).toBe(0)
})

test('equal each: ends are equal to ends only', () => {
  expect(compare(text('same'), text('some'), 8).bits).toBe(0b1111111111111101)
  expect(compare(text('same'), text('sam'), 8).bits).toBe(0b1111111111110111)
})

test('equal ordered finds a text within another, up to the end of the register', () => {
  expect(compare(text('ab'), text('xabyabxxxxxxxxxa'), 12).bits).toBe(1 << 1 | 1 << 4 | 1 << 15)
  expect(compare(text(''), text('abc'), 12).bits).toBe(0xffff)
})

test('negative polarity, everywhere or within the second text', () => {
  expect(compare(text('a'), text('abc'), 0x10).bits).toBe(0xfffe)
  expect(compare(text('a'), text('abc'), 0x30).bits).toBe(0b110)
})

test('words have half as many elements', () => {
  expect(compare(text('b', true), text('abab', true), 1)).toEqual({ bits: 0b1010, flags: CF | ZF | SF })
  expect(compare(text('b', true), text('abab', true), 0x11).bits).toBe(0b11110101)
})

test('explicit lengths reach past null elements, and no further than the register', () => {
  expect(compare(text('\0'), text('a\0b\0'), 0, 1 | 4 << 8)).toEqual({ bits: 0b1010, flags: CF | ZF | SF })
  expect(compare(text('a'), text('aaaaaaaaaaaaaaaa'), 0, 16 | 16 << 8)).toEqual({ bits: 0xffff, flags: CF | OF })
})
