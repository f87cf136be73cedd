import type { MessageSink } from '../../machine/interrupts.ts'
import type { MmioDevice, PortSize } from '../../machine/io.ts'
import { StateReader } from '../../machine/state-reader.ts'
import type { Capability } from './config-space.ts'

/**
 * MSI-X: the capability and the table and pending bits behind a BAR. Source: PCI Local Bus Specification 3.0, §6.8.2.
 *
 *   capability 0x11: 2  MsixControl (table size - 1 10:0, function mask 14, enable 15)
 *     4  MsixTable  8  MsixPending (offset and BAR)
 *   table entry, 16 bytes: 0 message address, 4 upper address, 8 message data, 12 vector control (mask 0)
 *   pending bits: one for each vector
 *
 * Left out on purpose: addresses above 4 GiB in the upper address (kept, and the message is then not sent: nothing stands there).
 */
export interface MsixPlace {
  readonly bar: number
  /** Offsets in the BAR, multiples of 8. */
  readonly tableOffset: number
  readonly pendingOffset: number
}

export type MsixState = { readonly table: readonly number[], readonly pending: readonly number[], readonly control: number }

const CAPABILITY_ID = 0x11
const FUNCTION_MASK = 0x4000
const ENABLE = 0x8000
const ENTRY_WORDS = 4
const [ADDRESS, UPPER_ADDRESS, DATA, VECTOR_CONTROL] = [0, 1, 2, 3]

export class Msix {
  readonly capability: Capability
  readonly table: MmioDevice
  readonly pendingBits: MmioDevice
  private readonly vectors: number
  private readonly sink: MessageSink
  private readonly words: Uint32Array
  private readonly pending: Uint32Array
  private control = 0

  /** `vectors` is 1 to 2048. */
  constructor(vectors: number, place: MsixPlace, sink: MessageSink) {
    this.vectors = vectors
    this.sink = sink
    this.words = new Uint32Array(vectors * ENTRY_WORDS)
    this.pending = new Uint32Array(Math.ceil(vectors / 32))
    this.capability = this.describe(place)
    this.table = {
      readMmio: (offset, size) => readWords(this.words, offset, size),
      writeMmio: (offset, size, value) => this.writeTable(offset, size, value),
    }
    this.pendingBits = { readMmio: (offset, size) => readWords(this.pending, offset, size), writeMmio: () => undefined }
    this.reset()
  }

  /** False: the function uses INTx. */
  get enabled(): boolean { return (this.control & ENABLE) !== 0 }

  /** Sends a vector's message, or keeps it while the vector is masked. Vectors the table does not have are ignored. */
  notify(vector: number): void {
    if (vector < 0 || vector >= this.vectors || !this.enabled) return
    if (this.masked(vector)) this.pending[vector >> 5] |= 1 << (vector & 31)
    else this.send(vector)
  }

  reset(): void {
    this.words.fill(0)
    this.pending.fill(0)
    this.control = 0
    for (let vector = 0; vector < this.vectors; vector++) this.words[vector * ENTRY_WORDS + VECTOR_CONTROL] = 1
  }

  save(): MsixState { return { table: Array.from(this.words), pending: Array.from(this.pending), control: this.control } }

  restore(state: StateReader): void {
    this.words.set(state.integers('table', this.words.length, 0, 0xffffffff))
    this.pending.set(state.integers('pending', this.pending.length, 0, 0xffffffff))
    this.control = state.u16('control') & (FUNCTION_MASK | ENABLE)
  }

  private describe(place: MsixPlace): Capability {
    return {
      id: CAPABILITY_ID, length: 12,
      rows: [
        {
          name: 'MsixControl', offset: 2, width: 2, reset: this.vectors - 1, writable: FUNCTION_MASK | ENABLE,
          written: (stored) => this.setControl(stored & (FUNCTION_MASK | ENABLE)),
        },
        { name: 'MsixTable', offset: 4, width: 4, reset: place.tableOffset | place.bar },
        { name: 'MsixPending', offset: 8, width: 4, reset: place.pendingOffset | place.bar },
      ],
    }
  }

  private setControl(control: number): void {
    this.control = control
    for (let vector = 0; vector < this.vectors; vector++) this.release(vector)
  }

  private masked(vector: number): boolean {
    return (this.control & FUNCTION_MASK) !== 0 || (this.words[vector * ENTRY_WORDS + VECTOR_CONTROL] & 1) !== 0
  }

  private writeTable(offset: number, size: PortSize, value: number): void {
    const index = offset >> 2
    if (size !== 4 || index >= this.words.length) return
    this.words[index] = (index & 3) === VECTOR_CONTROL ? value & 1 : (index & 3) === ADDRESS ? value & ~3 : value
    this.release(index >> 2)
  }

  /** Sends what waited for the mask. */
  private release(vector: number): void {
    const bit = 1 << (vector & 31)
    if (!this.enabled || (this.pending[vector >> 5] & bit) === 0 || this.masked(vector)) return
    this.pending[vector >> 5] &= ~bit
    this.send(vector)
  }

  private send(vector: number): void {
    const entry = vector * ENTRY_WORDS
    if (this.words[entry + UPPER_ADDRESS] === 0) this.sink.sendMessage(this.words[entry + ADDRESS], this.words[entry + DATA])
  }
}

function readWords(words: Uint32Array, offset: number, size: PortSize): number {
  const word = offset >> 2 < words.length ? words[offset >> 2] : 0
  return (word >>> 8 * (offset & 3) & 0xffffffff >>> 32 - 8 * size) >>> 0
}
