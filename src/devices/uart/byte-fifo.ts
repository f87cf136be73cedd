import { StateReader } from '../../machine/state-reader.ts'

export type ByteFifoState = { readonly bytes: Uint8Array, readonly flags: Uint8Array }

const SIZE = 16

/** A 16-byte queue in which each byte carries flags (the receiver's error bits). */
export class ByteFifo {
  private readonly bytes = new Uint8Array(SIZE)
  private readonly flags = new Uint8Array(SIZE)
  private head = 0
  private used = 0

  get count(): number { return this.used }
  get full(): boolean { return this.used === SIZE }

  /** The oldest byte and its flags; 0 when empty. */
  get first(): number { return this.used > 0 ? this.bytes[this.head] : 0 }
  get firstFlags(): number { return this.used > 0 ? this.flags[this.head] : 0 }

  /** True if any byte in the queue has flags. */
  get flagged(): boolean {
    for (let i = 0; i < this.used; i++) if (this.flags[this.head + i & SIZE - 1] !== 0) return true
    return false
  }

  /** Ignored when full. */
  push(byte: number, flags = 0): void {
    if (this.full) return
    const at = this.head + this.used & SIZE - 1
    this.bytes[at] = byte
    this.flags[at] = flags
    this.used++
  }

  shift(): void {
    if (this.used === 0) return
    this.head = this.head + 1 & SIZE - 1
    this.used--
  }

  clear(): void { this.used = 0 }

  save(): ByteFifoState {
    const order = Array.from({ length: this.used }, (_, i) => this.head + i & SIZE - 1)
    return { bytes: Uint8Array.from(order, (at) => this.bytes[at]), flags: Uint8Array.from(order, (at) => this.flags[at]) }
  }

  restore(state: StateReader): void {
    const bytes = state.bytes('bytes', 0, SIZE)
    const flags = state.bytes('flags', bytes.length)
    this.clear()
    bytes.forEach((byte, i) => this.push(byte, flags[i]))
  }
}
