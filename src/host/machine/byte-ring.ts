/**
 * A queue of bytes in shared memory between two threads, of which one only writes and the other only reads. Neither waits: what does
 * not fit is refused, what is not there is -1.
 */
export class ByteRing {
  /** Bytes ever written and ever read, modulo 2^32. Each has one thread that changes it. */
  readonly #counters: Int32Array
  readonly #bytes: Uint8Array
  readonly #mask: number

  /** Takes `byteLength(capacity)` bytes of `memory` from `offset`, a multiple of 4. `capacity` is a power of two. */
  constructor(memory: SharedArrayBuffer, offset: number, capacity: number) {
    this.#counters = new Int32Array(memory, offset, 2)
    this.#bytes = new Uint8Array(memory, offset + 8, capacity)
    this.#mask = capacity - 1
  }

  static byteLength(capacity: number): number {
    return 8 + capacity
  }

  /** Bytes that wait. */
  get used(): number {
    return Atomics.load(this.#counters, WRITTEN) - Atomics.load(this.#counters, READ) >>> 0
  }

  /** Forgets what is in it. Neither thread may use it meanwhile. */
  clear(): void { this.#counters.fill(0) }

  /** Adds a byte. False if there is no room. */
  push(byte: number): boolean {
    const written = Atomics.load(this.#counters, WRITTEN)
    if ((written - Atomics.load(this.#counters, READ) >>> 0) > this.#mask) return false
    this.#bytes[written & this.#mask] = byte
    Atomics.store(this.#counters, WRITTEN, written + 1)
    return true
  }

  /** Adds as many of the bytes as there is room for, and returns how many. */
  write(bytes: Uint8Array): number {
    const written = Atomics.load(this.#counters, WRITTEN)
    const count = Math.min(bytes.length, this.#bytes.length - this.used)
    const start = written & this.#mask
    const first = Math.min(count, this.#bytes.length - start)
    this.#bytes.set(bytes.subarray(0, first), start)
    this.#bytes.set(bytes.subarray(first, count), 0)
    Atomics.store(this.#counters, WRITTEN, written + count)
    return count
  }

  /** Takes the oldest byte, or -1. */
  shift(): number {
    const read = Atomics.load(this.#counters, READ)
    if (read === Atomics.load(this.#counters, WRITTEN)) return -1
    const byte = this.#bytes[read & this.#mask]
    Atomics.store(this.#counters, READ, read + 1)
    return byte
  }

  /** Takes up to `limit` bytes, as a copy outside the shared memory. */
  read(limit: number): Uint8Array {
    const bytes = new Uint8Array(Math.min(limit, this.used))
    this.readInto(bytes)
    return bytes
  }

  /** Takes as many bytes as there are and fit, and returns how many. */
  readInto(bytes: Uint8Array): number {
    const read = Atomics.load(this.#counters, READ)
    const count = Math.min(bytes.length, this.used)
    const start = read & this.#mask
    const first = Math.min(count, this.#bytes.length - start)
    bytes.set(this.#bytes.subarray(start, start + first))
    bytes.set(this.#bytes.subarray(0, count - first), first)
    Atomics.store(this.#counters, READ, read + count)
    return count
  }
}

const [WRITTEN, READ] = [0, 1]
