/** Bytes that a slow end has not taken yet: a ring, made when it is first needed. */
export class StreamBuffer {
  readonly capacity: number
  length = 0
  private bytes: Uint8Array | null = null
  private start = 0

  constructor(capacity: number) { this.capacity = capacity }

  /** Appends; there must be room. */
  push(from: Uint8Array): void {
    this.bytes ??= new Uint8Array(this.capacity)
    const at = (this.start + this.length) % this.capacity
    const head = Math.min(from.length, this.capacity - at)
    this.bytes.set(from.subarray(0, head), at)
    this.bytes.set(from.subarray(head), 0)
    this.length += from.length
  }

  /** Offers what there is, in one or two pieces, as far as it is taken. Returns how much was. */
  drain(take: (bytes: Uint8Array) => number): number {
    const before = this.length
    while (this.bytes !== null && this.length > 0) {
      const piece = this.bytes.subarray(this.start, Math.min(this.start + this.length, this.capacity))
      const taken = take(piece)
      this.start = (this.start + taken) % this.capacity
      this.length -= taken
      if (taken < piece.length) break
    }
    return before - this.length
  }
}
