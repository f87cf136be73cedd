/** Vectors of one instruction, recorded from a processor by tools/vectors/x87. */
export interface VectorSection {
  readonly name: string
  /** The instruction's bytes in hexadecimal. */
  readonly code: string
  readonly count: number
  readonly size: number
  /** Record n is the `size` bytes from n × size. */
  readonly records: Uint8Array
}

/** Parses an uncompressed vector file: sections of a line of JSON followed by transposed records. For tests only. */
export function parseVectors(bytes: Uint8Array): VectorSection[] {
  const sections: VectorSection[] = []
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(10, at)
    const header = JSON.parse(String.fromCharCode(...bytes.subarray(at, end))) as Omit<VectorSection, 'records'>
    at = end + 1 + header.count * header.size
    sections.push({ ...header, records: untranspose(bytes.subarray(end + 1, at), header.count, header.size) })
  }
  return sections
}

function untranspose(columns: Uint8Array, count: number, size: number): Uint8Array {
  const records = new Uint8Array(columns.length)
  for (let column = 0; column < size; column++) {
    for (let i = 0; i < count; i++) records[i * size + column] = columns[column * count + i]
  }
  return records
}
