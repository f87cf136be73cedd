/** Connections that have nothing to say hold no memory for data. */
import { expect, test } from 'vitest'
import { Control } from './segment.ts'
import { Bench } from './testing/bench.ts'

const FLOWS = 1000
const REQUEST = new Uint8Array(1000).fill(1)
const ANSWER = new Uint8Array(5000).fill(2)

test('flows have buffers while data is under way, and none when they are idle', () => {
  const bench = new Bench()
  /** What each guest's port has to acknowledge. */
  const ends: number[] = []
  for (let port = 1; port <= FLOWS; port++) {
    bench.give({ control: Control.SYN, sourcePort: port, sequence: 0, maximumSegmentSize: 1460, windowScale: 7 })
    const stream = bench.streams[port - 1]
    stream.events.connected()
    const [{ segment }] = bench.take()
    const ours = segment.sequence + 1 | 0
    // The stream takes half of the request, and the last bytes come before those in the middle.
    stream.room = REQUEST.length / 2
    const common = { control: Control.ACK, sourcePort: port, acknowledgment: ours }
    bench.give({ ...common, sequence: 1, payload: REQUEST })
    bench.give({ ...common, sequence: 1 + REQUEST.length + 10, payload: REQUEST })
    stream.events.data(ANSWER)
    ends[port] = Math.max(...bench.take().map(sent => sent.segment.sequence + sent.segment.payloadLength))
  }
  expect(bench.tcp.pool.used).toBeGreaterThanOrEqual(FLOWS * (REQUEST.length + ANSWER.length))
  for (let port = 1; port <= FLOWS; port++) {
    const stream = bench.streams[port - 1]
    stream.room = Infinity
    stream.events.writable()
    const gap = REQUEST.subarray(0, 10)
    bench.give({ control: Control.ACK, sourcePort: port, sequence: 1 + REQUEST.length, acknowledgment: ends[port], payload: gap })
    expect(stream.received).toHaveLength(2 * REQUEST.length + 10)
  }
  expect([bench.tcp.flows, bench.tcp.pool.used]).toEqual([FLOWS, 0])
})
