/** 256 interrupt vectors, as in IRR, ISR and TMR: eight 32-bit registers. */
export class VectorSet {
  readonly words = new Uint32Array(8)

  has(vector: number): boolean { return (this.words[vector >> 5] >>> (vector & 31) & 1) !== 0 }
  add(vector: number): void { this.words[vector >> 5] |= 1 << (vector & 31) }
  delete(vector: number): void { this.words[vector >> 5] &= ~(1 << (vector & 31)) }
  clear(): void { this.words.fill(0) }

  /** The highest vector in the set, -1 if it is empty. */
  highest(): number {
    for (let word = 7; word >= 0; word--) {
      if (this.words[word] !== 0) return word * 32 + 31 - Math.clz32(this.words[word])
    }
    return -1
  }

  save(): number[] { return Array.from(this.words) }
  restore(words: readonly number[]): void { this.words.set(words) }
}
