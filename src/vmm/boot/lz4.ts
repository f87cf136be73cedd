import { bootError } from './errors.ts'

/**
 * LZ4 as the Linux build uses it: the legacy frame (LZ4 Frame Format Description, "Legacy frame") of independent blocks (LZ4 Block
 * Format Description). Written here because the pure JavaScript packages know neither this frame nor bounds on hostile input.
 */

const LEGACY_MAGIC = 0x184c2102
const LEGACY_BLOCK_SIZE = 8 * 1024 ** 2
const MINIMUM_MATCH = 4

/** Decompresses a legacy frame to at most `size` bytes. Throws TenonError KERNEL_CORRUPT. */
export function decompressLz4Legacy(compressed: Uint8Array, size: number): Uint8Array {
  const view = new DataView(compressed.buffer, compressed.byteOffset, compressed.byteLength)
  const output = new Uint8Array(size)
  let produced = 0
  for (let at = 0; at < compressed.length;) {
    if (compressed.length - at < 4) throw corrupt('ends inside a block header')
    const word = view.getUint32(at, true)
    at += 4
    if (word === LEGACY_MAGIC) continue
    if (word > compressed.length - at) throw corrupt('ends inside a block')
    produced = new BlockDecoder(compressed.subarray(at, at + word), output, produced).decode()
    at += word
  }
  return output.subarray(0, produced)
}

/** Decodes one block to `output` from `start` on. Matches never reach back beyond `start`. */
class BlockDecoder {
  readonly #input: Uint8Array
  readonly #output: Uint8Array
  readonly #start: number
  readonly #limit: number
  #from = 0
  #to: number

  constructor(input: Uint8Array, output: Uint8Array, start: number) {
    this.#input = input
    this.#output = output
    this.#start = start
    this.#limit = Math.min(output.length, start + LEGACY_BLOCK_SIZE)
    this.#to = start
  }

  /** Returns where the block's bytes end in the output. */
  decode(): number {
    while (this.#from < this.#input.length) {
      const token = this.#input[this.#from++]
      this.#literals(this.#length(token >> 4))
      if (this.#from === this.#input.length) break // the last sequence has no match
      this.#match(this.#distance(), this.#length(token & 15) + MINIMUM_MATCH)
    }
    return this.#to
  }

  /** A length of 15 goes on: each byte adds its value, and the first below 255 is the last. */
  #length(length: number): number {
    if (length < 15) return length
    for (let more = 255; more === 255; length += more) {
      if (this.#from >= this.#input.length) throw corrupt('ends inside a length')
      more = this.#input[this.#from++]
    }
    return length
  }

  #distance(): number {
    if (this.#input.length - this.#from < 2) throw corrupt('ends inside a match offset')
    const distance = this.#input[this.#from] | this.#input[this.#from + 1] << 8
    this.#from += 2
    return distance
  }

  #literals(length: number): void {
    const [input, output, from, to] = [this.#input, this.#output, this.#from, this.#to]
    if (length > input.length - from || length > this.#limit - to) throw corrupt('has literals beyond its end')
    if (length > SHORT_COPY) output.set(input.subarray(from, from + length), to)
    else for (let index = 0; index < length; index++) output[to + index] = input[from + index]
    this.#from = from + length
    this.#to = to + length
  }

  /** A match may overlap what it writes: then it repeats its first `distance` bytes. */
  #match(distance: number, length: number): void {
    const [output, to] = [this.#output, this.#to]
    if (distance === 0 || distance > to - this.#start || length > this.#limit - to) throw corrupt('has a match outside its block')
    if (length > SHORT_COPY && distance >= length) output.copyWithin(to, to - distance, to - distance + length)
    else for (let index = 0; index < length; index++) output[to + index] = output[to + index - distance]
    this.#to = to + length
  }
}

/** A call to the typed array's own copy costs more than a loop this short. */
const SHORT_COPY = 32

function corrupt(what: string): Error {
  return bootError('KERNEL_CORRUPT', `the kernel's LZ4 payload ${what}: the file is damaged, fetch it again`)
}
