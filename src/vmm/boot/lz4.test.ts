import { describe, expect, it } from 'vitest'
import { ByteWriter } from '../firmware/byte-writer.ts'
import { decompressLz4Legacy } from './lz4.ts'

function frame(...blocks: number[][]): Uint8Array {
  const writer = new ByteWriter().u32(0x184c2102)
  for (const block of blocks) writer.u32(block.length).bytes(block)
  return writer.toBytes()
}

const text = (value: string) => Array.from(value, character => character.charCodeAt(0))
const decode = (bytes: Uint8Array, size = 1000) => String.fromCharCode(...decompressLz4Legacy(bytes, size))

describe('LZ4 legacy frames', () => {
  it.each([
    ['literals alone', frame([0x50, ...text('hello')]), 'hello'],
    ['a match', frame([0x42, ...text('abcd'), 4, 0, 0x10, ...text('!')]), 'abcdabcdab!'],
    ['a match that repeats itself', frame([0x11, ...text('x'), 1, 0, 0x00]), 'xxxxxx'],
    ['lengths that go on', frame([0xff, 3, ...text('a'.repeat(18)), 1, 0, 255, 1, 0x10, ...text('b')]),
      'a'.repeat(18 + 15 + 255 + 1 + 4) + 'b'],
    ['a long match far back', frame([0xff, 35, ...text('0123456789'.repeat(5)), 50, 0, 21, 0x10, ...text('.')]),
      '0123456789'.repeat(9) + '.'],
    ['several blocks', frame([0x10, ...text('a')], [0x10, ...text('b')]), 'ab'],
    ['a frame behind a frame', Uint8Array.of(...frame([0x10, ...text('a')]), ...frame([0x10, ...text('b')])), 'ab'],
    ['nothing', frame(), ''],
  ])('decode %s', (_, bytes, expected) => expect(decode(bytes)).toBe(expected))

  it.each([
    ['a cut block header', frame([0x10, 1]).subarray(0, 6)],
    ['a cut block', frame([0x10, 1]).subarray(0, 9)],
    ['literals beyond the block', frame([0x50, 1])],
    ['a length without an end', frame([0xf0, 255, 255])],
    ['half an offset', frame([0x10, 1, 1])],
    ['an offset of zero', frame([0x10, 1, 0, 0, 0])],
    ['a match before the block', frame([0x10, 1], [0x10, 1, 2, 0, 0])],
    ['more than the output holds', frame([0x1f, 1, 1, 0, 255, 255, 255, 255, 0])],
  ])('refuse %s', (_, bytes) => {
    expect(() => decode(bytes)).toThrow(expect.objectContaining({ code: 'KERNEL_CORRUPT' }))
  })
})
