/** CRC-32C (Castagnoli) as ext4 uses it: reflected, without a final inversion, so that checksums can be continued. */
const POLYNOMIAL = 0x82f63b78

/** Eight tables, to take eight bytes at a time. */
const TABLES = Array.from({ length: 8 }, () => new Uint32Array(256))
for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >>> 1 ^ POLYNOMIAL : crc >>> 1
  TABLES[0][byte] = crc
}
for (let table = 1; table < 8; table++) {
  for (let byte = 0; byte < 256; byte++) {
    const before = TABLES[table - 1][byte]
    TABLES[table][byte] = before >>> 8 ^ TABLES[0][before & 0xff]
  }
}
const [T0, T1, T2, T3, T4, T5, T6, T7] = TABLES

export const CRC_START = 0xffffffff

/** The checksum of bytes that follow those with checksum `crc`; CRC_START for none. */
export function crc32c(crc: number, bytes: Uint8Array): number {
  let at = 0
  for (const end = bytes.length - 7; at < end; at += 8) {
    const low = crc ^ (bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24)
    crc = T7[low & 0xff] ^ T6[low >>> 8 & 0xff] ^ T5[low >>> 16 & 0xff] ^ T4[low >>> 24]
      ^ T3[bytes[at + 4]] ^ T2[bytes[at + 5]] ^ T1[bytes[at + 6]] ^ T0[bytes[at + 7]]
  }
  for (; at < bytes.length; at++) crc = crc >>> 8 ^ T0[(crc ^ bytes[at]) & 0xff]
  return crc >>> 0
}

export function crc32cOfWord(crc: number, word: number): number {
  return crc32c(crc, Uint8Array.of(word, word >>> 8, word >>> 16, word >>> 24))
}
