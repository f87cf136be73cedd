import { expect, it } from 'vitest'
import { Random } from '../base/testing/random.ts'
import { LARGEST_FRAME, plainFrame } from '../machine/frame.ts'
import type { Frame, Segmentation } from '../machine/frame.ts'
import { FrameRing } from './frame-ring.ts'

const kinds: readonly Segmentation[] = ['none', 'tcp4', 'tcp6', 'udp']

function copyOf(frame: Frame) {
  const { bytes, start, length, ...rest } = frame
  return { ...rest, content: Buffer.from(bytes.slice(start, start + length)).toString('latin1') }
}

function randomFrame(random: Random): Frame {
  const longest = random.pick([60, 1514, 9000, LARGEST_FRAME])
  return {
    ...plainFrame(random.bytes(random.below(longest + 1))), checksumStart: random.below(100) - 1, checksumOffset: random.below(0x10000),
    checksumValid: random.below(2) === 0, segmentation: random.pick(kinds), segmentSize: random.below(0x10000),
  }
}

it('gives frames as they were put in, in order, wherever the ring ends', () => {
  const random = new Random(1)
  const ring = FrameRing.private()
  const waiting: Frame[] = []
  let wanted = false
  let refusals = 0
  let total = 0
  for (let round = 0; round < 800; round++) {
    const frame = randomFrame(random)
    if (random.below(2) === 0) {
      const room = ring.reserve(frame.length)
      if (room === null) wanted = true
      else {
        room.bytes.set(frame.bytes, room.start)
        ring.push({ ...frame, bytes: room.bytes, start: room.start })
        waiting.push(frame)
      }
    } else if (ring.push(frame)) waiting.push(frame)
    else wanted = true
    if (wanted) refusals++
    for (let takes = random.below(3); takes > 0; takes--) {
      const next = ring.peek()
      expect(next === null).toBe(waiting.length === 0)
      if (next === null) continue
      expect(copyOf(next)).toEqual(copyOf(waiting.shift()!))
      expect(ring.shift()).toBe(wanted)
      wanted = false
      total++
    }
  }
  expect([total > 300, refusals > 20, ring.isEmpty]).toEqual([true, true, waiting.length === 0])
})

it('holds the largest frame, and refuses a larger one', () => {
  const ring = FrameRing.private()
  expect(ring.reserve(LARGEST_FRAME + 1)).toBeNull()
  for (let round = 0; round < 20; round++) {
    expect(ring.push(plainFrame(new Uint8Array(LARGEST_FRAME)))).toBe(true)
    expect(ring.push(plainFrame(new Uint8Array(round)))).toBe(true)
    for (let take = 0; take < 2; take++) {
      ring.peek()
      ring.shift()
    }
    expect(ring.used).toBe(0)
  }
})
