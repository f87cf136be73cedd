import { isOwn, SLOTS, StreamFlag, Side } from './stream-channel.ts'
import type { SideNumber, StreamChannel, StreamSlot } from './stream-channel.ts'

/** A side's end of a stream, in its slot. */
export interface SlotStream {
  /** The other side has news of it. */
  look(): void
}

/**
 * The streams of one side by their slots: which has news, and which slots of this side are free. A slot whose stream is over for this side
 * alone lingers until the other is through as well.
 */
export class StreamTable<Stream extends SlotStream> {
  readonly #channel: StreamChannel
  readonly #side: SideNumber
  readonly #other: SideNumber
  readonly #streams = new Map<number, Stream>()
  readonly #free: number[]
  readonly #lingering = new Set<number>()

  constructor(channel: StreamChannel, side: SideNumber) {
    this.#channel = channel
    this.#side = side
    this.#other = side === Side.MACHINE ? Side.HOST : Side.MACHINE
    this.#free = Array.from({ length: SLOTS }, (_, slot) => slot).filter(slot => isOwn(side, slot)).reverse()
  }

  get streams(): Stream[] { return [...this.#streams.values()] }

  /** A slot for a stream that this side begins; undefined if there are too many. */
  take(): StreamSlot | undefined {
    const number = this.#free.pop()
    const slot = number === undefined ? undefined : this.#channel.slot(number)
    slot?.clear(this.#side)
    return slot
  }

  add(slot: StreamSlot, stream: Stream): void { this.#streams.set(slot.number, stream) }

  /** This side is through with a stream, or never had it. Nothing may be done with the slot afterwards. */
  leave(slot: StreamSlot, flags = 0): void {
    const { number } = slot
    this.#streams.delete(number)
    if (isOwn(this.#side, number)) this.#lingering.add(number)
    slot.raise(this.#side, flags | StreamFlag.CLOSED)
    this.#channel.mark(this.#other, number)
    this.#reclaim(slot)
  }

  /**
   * Has streams look at their news. `asked` is told of slots whose stream the other side begins; it may have given that up already, which
   * the new stream sees when it looks.
   */
  lookAtNews(asked: (slot: StreamSlot) => void): void {
    for (const number of this.#channel.takeNews(this.#side)) {
      const stream = this.#streams.get(number)
      if (stream !== undefined) stream.look()
      else if (isOwn(this.#side, number)) this.#reclaim(this.#channel.slot(number))
      else if (this.#isAsked(number)) asked(this.#channel.slot(number))
    }
  }

  #reclaim(slot: StreamSlot): void {
    const isThrough = (slot.flags(this.#other) & StreamFlag.CLOSED) !== 0
    if (isThrough && this.#lingering.delete(slot.number)) this.#free.push(slot.number)
  }

  #isAsked(number: number): boolean {
    const slot = this.#channel.slot(number)
    return (slot.flags(this.#other) & StreamFlag.ASKED) !== 0 && (slot.flags(this.#side) & StreamFlag.CLOSED) === 0
  }
}
