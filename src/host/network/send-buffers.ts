const LARGE = 65_536
const SMALL = 4096
/** Large buffers that wait for their next use. */
const KEPT_MAXIMUM = 64

/**
 * Buffers for bytes on their way to the kernel. Small ones are parts of a slab of Node's, which the garbage collector looks after; large
 * ones are used again.
 */
export class SendBuffers {
  private readonly unused: Buffer[] = []

  /** A buffer for `count` bytes, or for as many of them as it has room for. */
  take(count: number): Buffer {
    if (count <= SMALL) return Buffer.allocUnsafe(count)
    return this.unused.pop() ?? Buffer.allocUnsafeSlow(LARGE)
  }

  give(buffer: Buffer): void {
    if (buffer.length === LARGE && this.unused.length < KEPT_MAXIMUM) this.unused.push(buffer)
  }
}
