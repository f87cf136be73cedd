/** A file's bytes, wherever they are. They can be read as often as need be, and are always the same. */
export interface FileContent {
  /** Bytes. */
  readonly size: number
  /** Chunks of any length, in order, `size` bytes in all. A chunk is valid until the next is asked for. */
  chunks(): AsyncIterable<Uint8Array>
}

export function contentOf(data: Uint8Array | string): FileContent {
  const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data
  return {
    size: bytes.length,
    async *chunks() {
      yield bytes
    },
  }
}

/** All of a content, for files that are known to be small. */
export async function readContent(content: FileContent): Promise<Uint8Array> {
  const bytes = new Uint8Array(content.size)
  let at = 0
  for await (const chunk of content.chunks()) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}
