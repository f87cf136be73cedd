import { bootError, formatSize } from './errors.ts'
import { decompressLz4Legacy } from './lz4.ts'

/** How a kernel's payload can be compressed (Linux Documentation/arch/x86/boot.rst, payload_offset). */
export type Compression = 'gzip' | 'bzip2' | 'lzma' | 'xz' | 'lzo' | 'lz4' | 'zstd'

/**
 * Decompressors by format. Each gives at most `size` bytes, or throws. `compressed` holds one complete stream and nothing behind
 * it. LZ4 is here; the host adds what its platform has.
 */
export type Decompressors = Readonly<Partial<Record<Compression, Decompressor>>>
export type Decompressor = (compressed: Uint8Array, size: number) => Uint8Array | Promise<Uint8Array>

export const BUILT_IN_DECOMPRESSORS: Decompressors = { lz4: decompressLz4Legacy }

const MAGIC: readonly (readonly [Compression, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b, 0x08]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['lzma', [0x5d, 0x00, 0x00]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['lzo', [0x89, 0x4c, 0x5a, 0x4f, 0x00]],
  ['lz4', [0x02, 0x21, 0x4c, 0x18]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
]

/** Recognises a compressed stream by its first bytes. */
export function detectCompression(bytes: Uint8Array): Compression | undefined {
  return MAGIC.find(([, magic]) => magic.every((value, index) => bytes[index] === value))?.[0]
}

/** Kernels compress to a fourth or a sixth; what claims far more is no kernel, and is not given the memory. */
const MAXIMUM_RATIO = 256

/**
 * Decompresses a payload: the stream, then its decompressed size in 4 bytes, which for gzip are the stream's own last field. Throws
 * TenonError KERNEL_CORRUPT.
 */
export async function decompressPayload(
  payload: Uint8Array, compression: Compression, decompress: Decompressor,
): Promise<Uint8Array> {
  if (payload.length < 8) throw damaged(compression, `has ${payload.length} bytes`)
  const size = new DataView(payload.buffer, payload.byteOffset).getUint32(payload.length - 4, true)
  if (size > payload.length * MAXIMUM_RATIO) {
    throw damaged(compression, `of ${formatSize(payload.length)} claims ${formatSize(size)}`)
  }
  const stream = compression === 'gzip' ? payload : payload.subarray(0, -4)
  const output = await attempt(async () => decompress(stream, size), cause => damaged(compression, 'cannot be decompressed', cause))
  if (output.length !== size) throw damaged(compression, `gives ${output.length} bytes of ${size}`)
  return output
}

async function attempt<Result>(work: () => Promise<Result>, failure: (cause: unknown) => Error): Promise<Result> {
  try {
    return await work()
  } catch (cause) {
    throw failure(cause)
  }
}

function damaged(compression: Compression, what: string, cause?: unknown): Error {
  return bootError('KERNEL_CORRUPT', `the kernel's ${compression} payload ${what}: the file is damaged, fetch it again`, cause)
}
