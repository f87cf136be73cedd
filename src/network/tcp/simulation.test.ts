import { describe, expect, it } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { simulate } from './testing/simulation.ts'
import type { SimulatedEnd, SimulatedTime, Weather } from './testing/simulation.ts'

const HOUR = 3_600_000

function run(time: SimulatedTime, until: () => boolean, limit = HOUR): void {
  const end = time.now + limit
  while (!until() && time.step(end));
}

function joined(end: SimulatedEnd): Buffer { return Buffer.concat(end.received) }

/** Both ends send, and both close: every byte arrives once, in order, and nothing is left. */
function expectExchange(seed: number, weather: Weather, bytes: number, options: Parameters<typeof simulate>[2] = {}): number {
  const random = new Random(seed ^ 0x5555)
  const { time, client, server } = simulate(seed, weather, options)
  client.toSend = random.bytes(bytes)
  server.toSend = random.bytes(bytes >> 1)
  const start = time.now
  client.connection.open()
  client.settle()
  run(time, () => client.hasHeardEnd && server.hasHeardEnd)
  const took = time.now - start
  expect(joined(server).equals(client.toSend), `seed ${seed}`).toBe(true)
  expect(joined(client).equals(server.toSend), `seed ${seed}`).toBe(true)
  run(time, () => client.end !== null && server.end !== null)
  expect([client.end, server.end]).toEqual(['finished', 'finished'])
  expect([client.pool.used, server.pool.used]).toEqual([0, 0])
  return took
}

describe('two ends and a link between them', () => {
  it('exchanges on a clean link without a retransmission, and quickly', () => {
    const { time, client, server } = simulate(1, {})
    client.toSend = new Random(2).bytes(4 << 20)
    client.connection.open()
    client.settle()
    run(time, () => server.hasHeardEnd)
    expect(joined(server).equals(client.toSend)).toBe(true)
    expect(client.packets).toBeLessThan((4 << 20) / 1448 * 1.05)
    expect(time.now - 1000).toBeLessThan(100)
  })

  it.each([
    ['loses', { loss: 0.03 }],
    ['loses much', { loss: 0.2 }],
    ['reorders', { reordering: 0.3, lateness: 5 }],
    ['duplicates', { duplication: 0.3 }],
    ['does all of it', { loss: 0.05, duplication: 0.1, reordering: 0.2, lateness: 20, delay: 10 }],
    ['loses, and has no SACK', { loss: 0.03, swallows: [4] }],
    ['does all of it, and knows no options', { loss: 0.05, duplication: 0.1, reordering: 0.2, lateness: 20, swallows: [2, 3, 4, 8] }],
    ['has little room', { capacity: 20_000 }],
    ['has little room and loses', { capacity: 8000, loss: 0.02 }],
  ])('is right over a link that %s', (_name, weather) => {
    for (let seed = 1; seed <= 4; seed++) expectExchange(seed, weather, 60_000 + seed * 30_000)
  })

  it.each([['a queue of one round trip', 20_000], ['a short queue', 10_000]])('fills a narrow link with %s', (_name, queue) => {
    const { time, client, server } = simulate(4, { rate: 1000, queue, delay: 10 })
    client.toSend = new Random(6).bytes(4 << 20)
    client.connection.open()
    client.settle()
    run(time, () => server.hasHeardEnd)
    expect(joined(server).equals(client.toSend)).toBe(true)
    expect(client.dropped).toBeGreaterThan(0)
    expect((4 << 20) / (time.now - 1000)).toBeGreaterThan(queue === 20_000 ? 800 : 700) // of 1000 bytes in a ms
  })

  it('is right where the sequence numbers wrap', () => {
    for (const initial of [0xffffffff, 0xffffff00, 0x7fffffff, 0x7fffff00]) expectExchange(3, { loss: 0.02 }, 200_000, { initial })
  })

  it('is right with hardly any memory', () => {
    for (let seed = 1; seed <= 4; seed++) expectExchange(seed, { loss: 0.01 }, 100_000, { memory: 16_384 })
  })

  it('is right with large and small packets', () => {
    for (const mtu of [576, 9000, 65535]) expectExchange(5, { loss: 0.02 }, 300_000, { mtu })
  })
})
