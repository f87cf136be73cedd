/**
 * Where a Zstandard frame ends (RFC 8878 §3.1.1): compressed clusters have other bytes behind them, and decoders take those for another
 * frame. Nothing is decompressed here.
 */

const MAGIC = 0xfd2fb528
const CONTENT_SIZE_BYTES = [0, 2, 4, 8]
const DICTIONARY_ID_BYTES = [0, 1, 2, 4]
const RLE_BLOCK = 1

/** The frame at the start of `bytes`, without what follows; null if there is none that is whole. */
export function zstdFrame(bytes: Uint8Array): Uint8Array | null {
  if (bytes.length < 6 || new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) !== MAGIC) return null
  const descriptor = bytes[4]
  const singleSegment = (descriptor & 0x20) !== 0
  const contentSize = descriptor >>> 6
  const header = 5 + (singleSegment ? 0 : 1) + DICTIONARY_ID_BYTES[descriptor & 3] + (singleSegment && contentSize === 0 ? 1 : CONTENT_SIZE_BYTES[contentSize])
  const end = blocksEnd(bytes, header)
  if (end === null) return null
  const whole = end + ((descriptor & 4) !== 0 ? 4 : 0)
  return whole <= bytes.length ? bytes.subarray(0, whole) : null
}

function blocksEnd(bytes: Uint8Array, start: number): number | null {
  for (let at = start; at + 3 <= bytes.length;) {
    const header = bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16
    const size = header >>> 3
    at += 3 + ((header >>> 1 & 3) === RLE_BLOCK ? 1 : size)
    if ((header & 1) !== 0) return at
  }
  return null
}
