import { expect, test } from 'vitest'
import { compareStrings } from './string-compare.ts'

const [CF, ZF, SF, OF] = [1, 0x40, 0x80, 0x800]

function text(content: string, words = false): Uint8Array {
  const bytes = new Uint8Array(16)
  for (let n = 0; n < content.length; n++) bytes[words ? n * 2 : n] = content.charCodeAt(n)
  return bytes
}

function compare(
  first: Uint8Array, second: Uint8Array, immediate: number, lengths?: readonly [number, number],
): { bits: number; flags: number } {
  const { bits, flags } = compareStrings(first, second, immediate, lengths)
  return { bits, flags }
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
  expect(compare(text('\0'), text('a\0b\0'), 0, [1, 4])).toEqual({ bits: 0b1010, flags: CF | ZF | SF })
  expect(compare(text('a'), text('aaaaaaaaaaaaaaaa'), 0, [16, 99])).toEqual({ bits: 0xffff, flags: CF | OF })
})

test('the index of the first or last element, or the number of elements', () => {
  expect([0, 0x40].map((immediate) => compareStrings(text('b'), text('abcb'), immediate).index)).toEqual([1, 3])
  expect([0, 1].map((immediate) => compareStrings(text('x'), text('abc'), immediate).index)).toEqual([16, 8])
})

test('masks of bits or of elements', () => {
  expect(compareStrings(text('b'), text('abcb'), 0).mask).toEqual(Uint8Array.of(0b1010, ...new Uint8Array(15)))
  expect(compareStrings(text('b', true), text('ab', true), 0x41).mask).toEqual(Uint8Array.of(0, 0, 255, 255, ...new Uint8Array(12)))
})
