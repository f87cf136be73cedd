/**
 * What a machine's thread and the network thread share of one card: a ring of frames each way. A ring's reader is told of new frames by
 * its own bell (the doorbell, the machine's bell), and its writer of new room by the other's.
 */
import { FrameRing } from '../../network/frame-ring.ts'

/** Several of the largest frames, or some hundred of 1500 bytes. */
const CAPACITY = 1 << 19
const RING_SIZE = FrameRing.byteLength(CAPACITY)

export class CardChannel {
  readonly memory: SharedArrayBuffer
  readonly fromMachine: FrameRing
  readonly toMachine: FrameRing

  /** A new one, or that in this memory. */
  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(2 * RING_SIZE)) {
    this.memory = memory
    this.fromMachine = new FrameRing(memory, 0, CAPACITY)
    this.toMachine = new FrameRing(memory, RING_SIZE, CAPACITY)
  }
}
