import { expect, test } from 'vitest'
import { blockNodeContract } from '../testing/contract.ts'
import { VirtualTimer } from '../testing/virtual-timer.ts'
import { MemoryNode } from './memory.ts'
import { RawNode } from './raw.ts'
import { ThrottleGroup } from './throttle-group.ts'
import { ThrottleNode } from './throttle.ts'

blockNodeContract('throttle', async ({ store, size, create, readOnly }) => {
  const group = new ThrottleGroup({ bytesPerSecond: 1 << 20, requestsPerSecond: 300 }, new VirtualTimer(true))
  const file = store.file('disk', readOnly)
  return new ThrottleNode(create ? await RawNode.create(file, size) : new RawNode(file), group.member(100))
}, { resizable: true, crashes: 10 })

const SIZE = 1 << 20

/** Requests of 4 KiB, so many at a time, until told to stop. */
function load(node: ThrottleNode, depth: number, length = 4096): { done: number, stop: () => Promise<void> } {
  const state = { done: 0, running: true, stop: async () => {} }
  const workers = Array.from({ length: depth }, async () => {
    const buffer = new Uint8Array(length)
    while (state.running) {
      await node.read(0, [buffer])
      state.done++
    }
  })
  state.stop = async () => {
    state.running = false
    await Promise.all([...workers, node.close()])
  }
  return state
}

const disk = (group: ThrottleGroup, weight = 100): ThrottleNode => new ThrottleNode(new MemoryNode({ size: SIZE }), group.member(weight))

test('bytes keep to their rate', async () => {
  const timer = new VirtualTimer()
  const work = load(disk(new ThrottleGroup({ bytesPerSecond: 1_000_000, bytesBurst: 50_000 }, timer)), 4, 10_000)
  await timer.pass(0)
  expect(work.done).toBe(5)
  await timer.pass(10_000)
  expect(work.done * 10_000).toBeGreaterThan(10_000_000)
  expect(work.done * 10_000).toBeLessThanOrEqual(10_000_000 + 50_000 + 10_000)
  await work.stop()
})

test('requests keep to theirs', async () => {
  const timer = new VirtualTimer()
  const work = load(disk(new ThrottleGroup({ requestsPerSecond: 200, requestsBurst: 10 }, timer)), 32)
  await timer.pass(5000)
  expect(work.done).toBeGreaterThanOrEqual(1000)
  expect(work.done).toBeLessThanOrEqual(1012)
  await work.stop()
})

test('after a rest no more than the burst passes at once', async () => {
  const timer = new VirtualTimer()
  const group = new ThrottleGroup({ requestsPerSecond: 100, requestsBurst: 20 }, timer)
  await timer.pass(3_600_000)
  const work = load(disk(group), 64)
  await timer.pass(0)
  expect(work.done).toBe(20)
  await work.stop()
})

test('a request larger than the burst passes, and is paid for', async () => {
  const timer = new VirtualTimer()
  const work = load(disk(new ThrottleGroup({ bytesPerSecond: 1000, bytesBurst: 100 }, timer)), 1, 10_000)
  await timer.pass(0)
  expect(work.done).toBe(1)
  await timer.pass(9_800)
  expect(work.done).toBe(1)
  await timer.pass(200)
  expect(work.done).toBe(2)
  await work.stop()
})

test('disks that share a budget get it by their weight, and what one leaves the other takes', async () => {
  const timer = new VirtualTimer()
  const group = new ThrottleGroup({ requestsPerSecond: 400 }, timer)
  const heavy = load(disk(group, 300), 16)
  const light = load(disk(group, 100), 16)
  await timer.pass(10_000)
  expect(heavy.done + light.done).toBeGreaterThan(3990)
  expect(heavy.done / light.done).toBeGreaterThan(2.8)
  expect(heavy.done / light.done).toBeLessThan(3.2)
  await heavy.stop()
  const before = light.done
  await timer.pass(10_000)
  expect(light.done - before).toBeGreaterThan(3950)
  await light.stop()
})

test('closing does not wait for turns', async () => {
  const timer = new VirtualTimer()
  const group = new ThrottleGroup({ requestsPerSecond: 1, requestsBurst: 1 }, timer)
  const node = disk(group)
  const reads = Array.from({ length: 5 }, () => node.read(0, [new Uint8Array(1)]))
  await timer.pass(0)
  expect(group.backlog).toBe(4)
  await node.close()
  await Promise.all(reads)
  expect(group.backlog).toBe(0)
})
