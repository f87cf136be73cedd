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

  /** One for each socket. */
  reader(): Reader { return new Reader(this.views) }
}

/** How much a socket reads at a time. */
class Reader {
  private readonly views: readonly Buffer[]
  private index = 0

  constructor(views: readonly Buffer[]) { this.views = views }

  /** Asked before each read. */
  next(): Uint8Array { return this.views[this.index] }

  /** Told how many bytes came. */
  read(count: number): void {
    if (count === SIZES[this.index]) this.index = Math.min(this.index + 1, SIZES.length - 1)
    else if (count < SIZES[this.index] / 4) this.index = Math.max(0, this.index - 1)
  }
}
