import { expect, test } from 'vitest'
import { Random } from './testing/random.ts'
import { decodeUtf8, encodeUtf8 } from './utf8.ts'

test('encodes and decodes as the platform does', () => {
  for (const text of ['', 'disk', 'Größe', '磁盘 10 €', '\u0000\u007f\u0080\u07ff\u0800\uffff', '💾'.repeat(3), String.fromCodePoint(0x10ffff)]) {
    expect([...encodeUtf8(text)]).toEqual([...new TextEncoder().encode(text)])
    expect(decodeUtf8(encodeUtf8(text))).toBe(text)
  }
  expect(decodeUtf8(encodeUtf8('a\ud800b'))).toBe('a\ufffdb')
})

test('takes any bytes', () => {
  const random = new Random(1)
  for (let round = 0; round < 2000; round++) {
    const bytes = random.bytes(random.below(12)).map(byte => random.below(3) === 0 ? byte | 0x80 : byte)
    let strict: string | null = null
    try { strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes) } catch { /* It is no UTF-8. */ }
    const text = decodeUtf8(bytes)
    if (strict === null) expect(text).toContain('\ufffd')
    else expect(text).toBe(strict)
  }
})
