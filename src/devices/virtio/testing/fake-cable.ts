import { plainFrame } from '../../../machine/frame.ts'
import type { Frame, FrameBackend, FrameEnd, FrameRoom } from '../../../machine/frame.ts'
import type { PlainData } from '../../../machine/lifecycle.ts'
import { StateReader } from '../../../machine/state-reader.ts'
import type { SavedBackend } from './guest-part.ts'

/** A frame as it came, its bytes copied. */
export interface SentFrame extends Omit<Frame, 'bytes' | 'start' | 'length'> { readonly bytes: Uint8Array }

/** The other end of a card's cable: takes `room` frames. */
export class FakeCable implements FrameBackend, FrameEnd, SavedBackend {
  readonly mtu = 1500
  room = Infinity
  /** From the guest; the last of them. */
  readonly sent: SentFrame[] = []
  /** How often the card said that it has room again. */
  readied = 0
  /** The sum of all that was sent. */
  sum = 0
  card!: FrameEnd
  /** Given by `reserve`, if frames are to be put together here. */
  readonly place: FrameRoom | undefined

  constructor(place?: Uint8Array) { this.place = place && { bytes: place, start: 100 } }

  connect(card: FrameEnd): FrameEnd {
    this.card = card
    return this
  }

  reserve(length: number): FrameRoom | null {
    if (this.place === undefined) return { bytes: new Uint8Array(length), start: 0 }
    return this.room > 0 && length + 100 <= this.place.bytes.length ? this.place : null
  }

  receive(frame: Frame): boolean {
    if (this.room <= 0) return false
    this.room--
    const { start, length, ...rest } = frame
    const bytes = frame.bytes.slice(start, start + length)
    bytes.forEach((byte) => { this.sum = this.sum * 31 + byte >>> 0 })
    this.sent.push({ ...rest, bytes })
    if (this.sent.length > 50) this.sent.shift()
    return true
  }

  ready(): void { this.readied++ }

  /** Gives the guest a frame. */
  give(bytes: Uint8Array, rest: Partial<Frame> = {}): boolean { return this.card.receive({ ...plainFrame(bytes), ...rest }) }

  save(): PlainData { return { room: Math.min(this.room, 1e9), sum: this.sum, readied: this.readied } }

  restore(saved: PlainData): void {
    const state = new StateReader('fake-cable', saved)
    this.room = state.integer('room', 0, 1e9)
    this.sum = state.u32('sum')
    this.readied = state.integer('readied', 0, 1e9)
  }

  reset(): void { this.room = this.sum = this.readied = this.sent.length = 0 }
}
