/** Seeded random input for both sides: whatever comes, it ends with a TenonError or well, in bounded time, and leaves nothing running. */
import { expect, test } from 'vitest'
import { TenonError } from '../../base/errors.ts'
import { Random } from '../../base/testing/random.ts'
import { MemoryNode } from '../nodes/memory.ts'
import type { ByteStream } from './byte-stream.ts'
import { openNbdClient } from './client.ts'
import { NbdServer } from './server.ts'
import { streamPair, TestTimers } from './testing/streams.ts'

const SIZE = 1 << 16
const ROUNDS = 150

/** Passes on what a stream writes, changed: bits flipped, bytes left out, doubled or made up. */
function tampered(stream: ByteStream, random: Random, chance: number): ByteStream {
  return {
    peer: stream.peer,
    read: () => stream.read(),
    close: () => stream.close(),
    write: pieces => stream.write(pieces.map(piece => random.below(chance) === 0 ? tamper(piece, random) : piece)),
  }
}

function tamper(bytes: Uint8Array, random: Random): Uint8Array {
  const changed = bytes.slice()
  if (changed.length === 0) return random.bytes(random.below(40))
  const at = random.below(changed.length)
  const kind = random.below(5)
  if (kind === 0) return changed.subarray(0, at)
  if (kind === 1) return new Uint8Array([...changed, ...changed])
  if (kind === 2) return random.bytes(changed.length)
  if (kind === 3 && changed.length >= 4) new DataView(changed.buffer).setUint32(0, 0xffffffff)
  changed[at] = random.value()
  return changed
}

async function session(random: Random, timers: TestTimers, connect: () => ByteStream): Promise<void> {
  const node = await openNbdClient({ name: 'nbd://fuzz/', exportName: 'disk', timers, timeout: 1000, retries: 1, connect: async () => connect() })
  const calls = Array.from({ length: 6 }, () => {
    const offset = random.below(SIZE - 8192)
    const length = 1 + random.below(8192)
    switch (random.below(6)) {
      case 0: return node.write(offset, [random.bytes(length)])
      case 1: return node.writeZeroes(offset, length, true)
      case 2: return node.extent(offset, length)
      case 3: return node.flush()
      default: return node.read(offset, [new Uint8Array(length)])
    }
  })
  const results = await Promise.allSettled([...calls, Promise.allSettled(calls).then(() => node.close())])
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

function fuzz(name: string, seed: number, connect: (random: Random, timers: TestTimers, server: NbdServer) => ByteStream): void {
  test(name, async () => {
    const random = new Random(seed)
    let failures = 0
    for (let round = 0; round < ROUNDS; round++) {
      const timers = new TestTimers()
      const server = new NbdServer({ timers, handshakeTimeout: 2000 })
      server.add({ name: 'disk', node: new MemoryNode({ size: SIZE }) })
      const error = await timers.until(session(random, timers, () => connect(random, timers, server)).catch((error: unknown) => error))
      if (error !== undefined) {
        expect(error).toBeInstanceOf(TenonError)
        failures++
      }
      await timers.until(server.close())
      expect([server.clientCount, timers.count]).toEqual([0, 0])
    }
    expect(failures).toBeGreaterThan(ROUNDS / 10)
    expect(failures).toBeLessThan(ROUNDS)
  })
}

fuzz('a client of a server that lies', 11, (random, _, server) => {
  const [near, far] = streamPair(random)
  void server.serve(tampered(far, random, 30))
  return near
})

fuzz('a server of a client that lies', 12, (random, _, server) => {
  const [near, far] = streamPair(random)
  void server.serve(far)
  return tampered(near, random, 30)
})

test('a server of somebody who sends anything at all', async () => {
  const random = new Random(13)
  for (let round = 0; round < ROUNDS; round++) {
    const timers = new TestTimers()
    const server = new NbdServer({ timers })
    const [near, far] = streamPair(random)
    const served = server.serve(far)
    const greeting = round % 2 === 0 ? [0, 0, 0, 3, 0x49, 0x48, 0x41, 0x56, 0x45, 0x4f, 0x50, 0x54, 0, 0, 0, random.below(12), 0, 0, 0, random.below(50)] : []
    await near.write([new Uint8Array(greeting), random.bytes(random.below(2000))]).catch(() => {})
    near.close()
    await timers.until(served)
    expect([server.clientCount, timers.count]).toEqual([0, 0])
  }
})
