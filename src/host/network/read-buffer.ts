/** Sizes of a single read: a socket that fills its buffer gets the next larger one, one that does not, the next smaller one. */
const SIZES = [4096, 16_384, 65_536] as const

/**
 * The buffer that all sockets read into: what a read brings is passed on before the next read begins. A socket that has had little to
 * say reads little at a time, so that ten thousand of them, when all are heard at once, do not fill ten thousand times 64 KiB further on.
 */
export class ReadBuffer {
  private readonly views: readonly Buffer[]

  constructor() {
    const bytes = Buffer.allocUnsafeSlow(SIZES[SIZES.length - 1])
    this.views = SIZES.map(size => bytes.subarray(0, size))
  }

  /** One for each socket: `next` is asked before each read, `read` is told how many bytes came. */
  reader(): { next(): Uint8Array, read(count: number): void } {
    let index = 0
    return {
      next: () => this.views[index],
      read: count => {
        if (count === SIZES[index]) index = Math.min(index + 1, SIZES.length - 1)
        else if (count < SIZES[index] / 4) index = Math.max(0, index - 1)
      },
    }
  }
}
