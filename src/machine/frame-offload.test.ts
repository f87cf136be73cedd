import { describe, expect, it } from 'vitest'
import { Random } from '../base/testing/random.ts'
import { fold, sumBytes } from '../base/internet-checksum.ts'
import { plainFrame } from './frame.ts'
import type { Frame } from './frame.ts'
import { FrameFinisher, completeChecksum } from './frame-offload.ts'

const UDP = 17
const TCP = 6

/** A UDP or TCP datagram over IPv6, behind a VLAN tag, with only the pseudo header's sum as its checksum. */
function frameV6(protocol: number, payload: number, random: Random): Frame {
  const headerLength = protocol === UDP ? 8 : 20
  const bytes = random.bytes(14 + 4 + 40 + headerLength + payload)
  bytes.set([0x81, 0, 0, 5, 0x86, 0xdd, 0x60, 0, 0, 0, (headerLength + payload) >> 8, (headerLength + payload) & 0xff, protocol, 64], 12)
  const transport = 58
  if (protocol === UDP) bytes.set([(8 + payload) >> 8, (8 + payload) & 0xff], transport + 4)
  else bytes[transport + 12] = 0x50
  const offset = protocol === UDP ? 6 : 16
  const sum = fold(sumBytes(bytes, 26, 32, protocol + headerLength + payload))
  bytes.set([sum >> 8, sum & 0xff], transport + offset)
  const segmentation = protocol === UDP ? 'udp' : 'tcp6'
  return { ...plainFrame(bytes), checksumStart: transport, checksumOffset: offset, segmentation, segmentSize: 1200 }
}

function checksumIsRight({ bytes, length }: Frame, protocol: number): boolean {
  const pseudo = sumBytes(bytes, 26, 32, protocol + length - 58)
  return fold(sumBytes(bytes, 58, length - 58, pseudo)) === 0xffff
}

describe('frame offloads', () => {
  it.each([['TCP', TCP], ['UDP', UDP]])('cuts %s over IPv6 behind a tag', (_, protocol) => {
    const random = new Random(protocol)
    const finisher = new FrameFinisher(2000)
    for (const payload of [1, 1200, 1201, 5000, 60_000]) {
      const frame = frameV6(protocol, payload, random)
      const header = 58 + (protocol === UDP ? 8 : 20)
      const whole = frame.bytes.slice(header)
      expect([finisher.begin(frame), finisher.plan.count]).toEqual([true, Math.ceil(payload / 1200)])
      const parts: Uint8Array[] = []
      for (let index = 0; index < finisher.plan.count; index++) {
        finisher.cut(frame, index)
        const { segment } = finisher
        expect([checksumIsRight(segment, protocol), segment.bytes[22] << 8 | segment.bytes[23]]).toEqual([true, segment.length - 58])
        parts.push(segment.bytes.slice(header, segment.length))
      }
      expect(Buffer.concat(parts)).toEqual(Buffer.from(whole))
    }
  })

  it('completes a checksum, and writes the other zero for UDP', () => {
    const bytes = new Uint8Array(50)
    bytes.set([0xff, 0xff], 40)
    const frame = { ...plainFrame(bytes), checksumStart: 34, checksumOffset: 6 }
    completeChecksum(frame)
    expect([bytes[40], bytes[41], frame.checksumStart]).toEqual([0xff, 0xff, -1])
  })

  it('refuses what is too small a piece, or no frame of that kind', () => {
    const random = new Random(3)
    const finisher = new FrameFinisher(2000)
    expect(finisher.begin({ ...frameV6(TCP, 60_000, random), segmentSize: 30 })).toBe(false)
    expect(finisher.begin({ ...frameV6(TCP, 60_000, random), segmentSize: 1990 })).toBe(false)
    expect(finisher.begin({ ...frameV6(TCP, 600, random), segmentation: 'tcp4' })).toBe(false)
    expect(finisher.begin({ ...frameV6(TCP, 600, random), checksumStart: 50 })).toBe(false)
  })

  it('lives with anything', () => {
    const random = new Random(4)
    const finisher = new FrameFinisher(1600)
    let cut = 0
    for (let round = 0; round < 20_000; round++) {
      const frame = { ...frameV6(random.pick([TCP, UDP]), random.below(200), random), segmentSize: random.below(100) }
      for (let slips = random.below(3); slips > 0; slips--) frame.bytes[random.below(frame.length)] = random.value()
      if (random.below(4) === 0) frame.length = random.below(frame.length + 1)
      if (random.below(4) === 0) frame.checksumStart = random.below(100) - 1
      if (random.below(4) === 0) frame.checksumOffset = random.pick([6, 16, random.below(70_000)])
      if (finisher.begin(frame)) for (let index = 0; index < finisher.plan.count; index++, cut++) finisher.cut(frame, index)
      completeChecksum(frame)
      finisher.complete(frame)
    }
    expect(cut).toBeGreaterThan(5000)
  })
})
