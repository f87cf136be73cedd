/**
 * Puts frames into a receive queue. Source: VIRTIO 1.2, §5.1.6.3 and §5.1.6.4.
 *
 * With mergeable buffers a frame takes as many of the driver's buffers as it needs, and the first says how many; without, it must fit
 * into one. A frame for which the driver has too few buffers takes none.
 */
import type { Frame } from '../../../machine/frame.ts'
import type { GuestMemory } from '../../../machine/memory.ts'
import { DescriptorChain } from '../descriptor-chain.ts'
import type { Virtqueue } from '../virtqueue.ts'
import { NET_HEADER_SIZE, NUM_BUFFERS } from './net-header.ts'
import type { NetHeader } from './net-header.ts'

export type Delivery = 'delivered' | 'no-room' | 'too-long'

/** Buffers for one frame: more than a driver ever needs. */
const MOST_BUFFERS = 1024

export class FrameReceiver {
  private readonly first: DescriptorChain
  private readonly next: DescriptorChain
  private readonly heads = new Uint16Array(MOST_BUFFERS)
  private readonly lengths = new Uint32Array(MOST_BUFFERS)
  private readonly count = new Uint8Array(2)

  constructor(memory: GuestMemory) {
    this.first = new DescriptorChain(memory)
    this.next = new DescriptorChain(memory)
  }

  /** `header` is the frame's. The driver is interrupted by `queue.signal`. */
  deliver(queue: Virtqueue, header: NetHeader, frame: Frame, merges: boolean): Delivery {
    const { first } = this
    if (!queue.peek(first)) return 'no-room'
    if (!merges && first.writableLength < NET_HEADER_SIZE + frame.length) return 'too-long'
    queue.consume(first)
    first.write(0, header.bytes)
    const room = Math.max(0, Math.min(frame.length, first.writableLength - NET_HEADER_SIZE))
    this.put(0, first, NET_HEADER_SIZE, frame, 0, room)
    const buffers = this.fillMore(queue, frame, room)
    if (buffers < 0) return 'no-room'
    if (buffers > 1) this.writeCount(buffers)
    for (let index = 0; index < buffers; index++) queue.complete(this.heads[index], this.lengths[index])
    return 'delivered'
  }

  /** Takes further buffers for what is left of the frame. How many there are then; -1: too few, and all were put back. */
  private fillMore(queue: Virtqueue, frame: Frame, done: number): number {
    let buffers = 1
    while (done < frame.length) {
      if (buffers === MOST_BUFFERS || !queue.peek(this.next)) {
        queue.putBack(this.heads, buffers)
        return -1
      }
      queue.consume(this.next)
      const room = Math.min(frame.length - done, this.next.writableLength)
      this.put(buffers++, this.next, 0, frame, done, room)
      done += room
    }
    return buffers
  }

  private put(index: number, chain: DescriptorChain, offset: number, frame: Frame, from: number, length: number): void {
    const start = frame.start + from
    chain.write(offset, frame.bytes.subarray(start, start + length))
    this.heads[index] = chain.head
    this.lengths[index] = Math.min(offset, chain.writableLength) + length
  }

  private writeCount(buffers: number): void {
    this.count[0] = buffers
    this.count[1] = buffers >> 8
    this.first.write(NUM_BUFFERS, this.count)
  }
}
