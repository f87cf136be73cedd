/** Bytes from a stream in pieces of a bounded size, taken when they are asked for: what is not asked for is not read. */
export class ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array | string>
  #rest: Uint8Array = new Uint8Array(0)
  #ended = false

  constructor(chunks: AsyncIterable<Uint8Array | string>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  /** From 1 to `limit` bytes, or none at the end. Errors of the stream pass through. */
  async next(limit: number): Promise<Uint8Array> {
    while (this.#rest.length === 0 && !this.#ended) {
      const { done, value } = await this.#chunks.next()
      if (done) this.#ended = true
      else this.#rest = typeof value === 'string' ? new TextEncoder().encode(value) : value
    }
    const piece = this.#rest.subarray(0, limit)
    this.#rest = this.#rest.subarray(limit)
    return piece
  }
}
