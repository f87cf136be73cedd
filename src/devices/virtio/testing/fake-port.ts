import type { BytePortBackend } from '../../../machine/byte-port.ts'
import type { PlainData } from '../../../machine/lifecycle.ts'
import { StateReader } from '../../../machine/state-reader.ts'
import type { SavedBackend } from './guest-part.ts'

/** The host's end of a byte port: takes `room` bytes, gives those of `input`. */
export class FakePort implements BytePortBackend, SavedBackend {
  room = Infinity
  input = ''
  /** From the guest; the last of it. */
  output = ''
  readonly opened: boolean[] = []

  transmit(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, this.room)
    this.room -= count
    this.output = (this.output + String.fromCharCode(...bytes.subarray(0, count))).slice(-KEPT)
    return count
  }

  receive(into: Uint8Array): number {
    const count = Math.min(into.length, this.input.length)
    for (let index = 0; index < count; index++) into[index] = this.input.charCodeAt(index)
    this.input = this.input.slice(count)
    return count
  }

  guestOpened(open: boolean): void { this.opened.push(open) }

  save(): PlainData { return { room: Math.min(this.room, 1e9), input: this.input, output: this.output } }

  restore(state: PlainData): void {
    this.room = new StateReader('fake-port', state).integer('room', 0, 1e9)
    const { input, output } = state as { input: string, output: string }
    this.input = typeof input === 'string' ? input : ''
    this.output = typeof output === 'string' ? output : ''
  }

  reset(): void {
    this.room = 0
    this.input = this.output = ''
  }
}

const KEPT = 10_000
