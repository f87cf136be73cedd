import { expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { MemoryStore } from '../testing/memory-file.ts'
import { StateRecord } from './state-record.ts'

const OPTIONS = { magic: 'TENONTST', what: 'test', capacity: 10_000 }
const payload = (value: number): Uint8Array => new Uint8Array(9000).fill(value)

test('a crash at any moment leaves the last state that was saved, or one that was being saved', async () => {
  const store = new MemoryStore()
  const record = StateRecord.create(store.file('state'), OPTIONS)
  await record.save(() => payload(0))
  store.settle()
  const saved: number[] = []
  for (let value = 1; value <= 20; value++) {
    await record.save(() => payload(value))
    saved.push(store.now)
  }
  const random = new Random(1)
  for (let crash = 0; crash < 200; crash++) {
    const at = random.below(store.now + 1)
    const { payload: found } = await StateRecord.open(store.crashed(at, random).file('state'), OPTIONS)
    const least = saved.filter(place => place <= at).length
    expect([least, least + 1]).toContain(found[0])
    expect(found.every(value => value === found[0])).toBe(true)
  }
})

test('a save that failed does not hurt the last one, nor the next', async () => {
  const store = new MemoryStore()
  const record = StateRecord.create(store.file('state'), OPTIONS)
  await record.save(() => payload(1))
  for (const failing of ['write', 'flush']) {
    store.fail = operation => operation === failing ? 'DISK_WRITE_FAILED' : null
    for (let time = 0; time < 3; time++) await expect(record.save(() => payload(2))).rejects.toMatchObject({ code: 'DISK_WRITE_FAILED' })
    const { payload: found } = await StateRecord.open(store.file('state'), OPTIONS)
    expect([1, 2]).toContain(found[0])
  }
  store.fail = null
  await record.save(() => payload(3))
  expect((await StateRecord.open(store.file('state'), OPTIONS)).payload[0]).toBe(3)
})

test('saves that come together share a writing, which has what the last one knew', async () => {
  const store = new MemoryStore()
  const record = StateRecord.create(store.file('state'), OPTIONS)
  let value = 0
  await Promise.all(Array.from({ length: 20 }, () => {
    value++
    return record.save(() => payload(value))
  }))
  expect(store.counts.write).toBeLessThanOrEqual(2)
  expect((await StateRecord.open(store.file('state'), OPTIONS)).payload[0]).toBe(20)
})
