import { gunzipSync } from 'node:zlib'
import { hostError } from '../errors.ts'

/**
 * Decompression in the host, whole or as a stream, bounded: what grows beyond its limit is rejected, so that a small hostile file
 * cannot fill the memory. Gzip is Node's, XZ and Zstandard are libraries, loaded when they are needed.
 */
export type CompressedFormat = 'gz' | 'xz' | 'zst'

/** Decompresses a stream. Throws TenonError ARCHIVE_FORMAT_INVALID where it is damaged or gives more than `limit` bytes. */
export async function* decompressStream(
  compressed: AsyncIterable<Uint8Array>, format: CompressedFormat, limit: number, name: string,
): AsyncGenerator<Uint8Array> {
  let total = 0
  try {
    for await (const chunk of STREAMS[format](compressed)) {
      total += chunk.length
      if (total > limit) throw new RangeError(`gives more than ${limit} bytes`)
      if (chunk.length > 0) yield chunk
    }
  } catch (cause) {
    throw hostError('ARCHIVE_FORMAT_INVALID', `${name} cannot be decompressed (${format}): it is damaged, fetch it again`, cause)
  }
}

const STREAMS: Readonly<Record<CompressedFormat, (compressed: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>>> = {
  gz: gunzipStream,
  xz: unxzStream,
  zst: unzstdStream,
}

async function* gunzipStream(compressed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const { createGunzip } = await import('node:zlib')
  const { pipeline, Readable } = await import('node:stream')
  const gunzip = createGunzip()
  // The error reaches the loop below through `gunzip` itself.
  pipeline(Readable.from(compressed), gunzip, () => {})
  yield* gunzip
}

async function* unxzStream(compressed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const { XzReadableStream } = (await import('xz-decompress')).default
  const reader = new XzReadableStream(toWebStream(compressed)).getReader()
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value
  } finally {
    // The library decodes one stream at a time: one that is left early would keep the next from starting. It has nothing more to say.
    await reader.cancel().catch(() => {})
  }
}

async function* unzstdStream(compressed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const { Decompress } = await import('fzstd')
  const ready: Uint8Array[] = []
  const decompressor = new Decompress(chunk => ready.push(chunk))
  let previous = new Uint8Array(0)
  for await (const chunk of compressed) {
    decompressor.push(previous)
    previous = new Uint8Array(chunk)
    yield* ready.splice(0)
  }
  if (previous.length === 0) throw new RangeError('the stream is empty')
  decompressor.push(previous, true)
  yield* ready.splice(0)
}

function toWebStream(chunks: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]()
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await iterator.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
  })
}

/**
 * For compressed kernels, beside what the machine has built in (`Decompressors` in src/vmm/boot/payload.ts): each gives at most `size`
 * bytes, or throws.
 */
export const KERNEL_DECOMPRESSORS = {
  gzip: (compressed: Uint8Array, size: number): Uint8Array => gunzipSync(compressed, { maxOutputLength: size }),
  xz: (compressed: Uint8Array, size: number): Promise<Uint8Array> => collect(compressed, 'xz', size),
  zstd: (compressed: Uint8Array, size: number): Promise<Uint8Array> => collect(compressed, 'zst', size),
}

async function collect(compressed: Uint8Array, format: CompressedFormat, size: number): Promise<Uint8Array> {
  const output = new Uint8Array(size)
  let filled = 0
  for await (const chunk of decompressStream(oneChunk(compressed), format, size, 'the kernel')) {
    output.set(chunk, filled)
    filled += chunk.length
  }
  return output.subarray(0, filled)
}

async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
