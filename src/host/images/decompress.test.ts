import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { decompressStream, KERNEL_DECOMPRESSORS } from './decompress.ts'
import type { CompressedFormat } from './decompress.ts'

const invalid = expect.objectContaining({ code: 'ARCHIVE_FORMAT_INVALID' })
const text = 'All work and no play makes a dull machine. '.repeat(20)

/** `text`, by xz 5.4 and zstd 1.5. */
const FILES: Readonly<Record<CompressedFormat, Uint8Array>> = {
  gz: gzipSync(text),
  xz: Buffer.from('/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4ANbADRdACCbLEB3N5xr//KMOGKw+Qc1orsYc8VbKUPYe+h3tV+4gkjuEOeFTYpYYD1m7/yzwLq9QAAATkhU7MouqI8AAVDcBgAAAK4RtaaxxGf7AgAAAAAEWVo=', 'base64'),
  zst: Buffer.from('KLUv/QRYpQEAtAJBbGwgd29yayBhbmQgbm8gcGxheSBtYWtlcyBhIGR1bGwgbWFjaGluZS4gAQBz6SpVBkr8idQ=', 'base64'),
}

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function decompress(bytes: Uint8Array, format: CompressedFormat, limit = text.length): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of decompressStream(inPieces(bytes, 10), format, limit, 'it')) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

describe.each(Object.keys(FILES) as CompressedFormat[])('%s', format => {
  test('gives the text', async () => {
    expect(await decompress(FILES[format], format)).toBe(text)
  })

  test('rejects a truncated stream', async () => {
    await expect(decompress(FILES[format].subarray(0, -12), format)).rejects.toEqual(invalid)
  })

  test('rejects garbage, and nothing', async () => {
    await expect(decompress(Buffer.from('this is no compressed data at all'), format)).rejects.toEqual(invalid)
    await expect(decompress(new Uint8Array(0), format)).rejects.toEqual(invalid)
  })

  test('stops at its limit', async () => {
    await expect(decompress(FILES[format], format, text.length - 1)).rejects.toEqual(invalid)
  })

  test('can be left early, and again', async () => {
    for (let times = 0; times < 2; times++) {
      for await (const chunk of decompressStream(inPieces(FILES[format], 10), format, text.length, 'it')) {
        expect(chunk.length).toBeGreaterThan(0)
        break
      }
    }
    expect(await decompress(FILES[format], format)).toBe(text)
  })
})

test.each([['gzip', 'gz'], ['xz', 'xz'], ['zstd', 'zst']] as const)('a kernel of %s is decompressed whole, or not at all', async (name, format) => {
  expect(Buffer.from(await KERNEL_DECOMPRESSORS[name](FILES[format], text.length)).toString()).toBe(text)
  await expect((async () => KERNEL_DECOMPRESSORS[name](FILES[format], text.length - 1))()).rejects.toThrow(/larger|decompressed/)
})
