import { expect, test } from 'vitest'
import { Random } from '../base/testing/random.ts'
import { RangeLock } from './range-lock.ts'

test('what conflicts is never held at once, and everybody gets a turn', async () => {
  const random = new Random(1)
  const lock = new RangeLock()
  const held = new Set<{ start: number, end: number, exclusive: boolean }>()
  let most = 0
  const work = async (): Promise<void> => {
    const start = random.below(100)
    const each = { start, end: start + random.below(30), exclusive: random.below(2) === 0 }
    await lock.run(each.start, each.end - each.start, each.exclusive, async () => {
      for (const other of held) {
        const overlap = each.start < other.end && other.start < each.end
        expect(overlap && (each.exclusive || other.exclusive)).toBe(false)
      }
      held.add(each)
      most = Math.max(most, held.size)
      for (let turn = random.below(10); turn > 0; turn--) await Promise.resolve()
      held.delete(each)
    })
  }
  await Promise.all(Array.from({ length: 500 }, () => work()))
  expect(held.size).toBe(0)
  expect(most).toBeGreaterThan(2)
})

test('who comes first goes first: readers do not starve a writer', async () => {
  const lock = new RangeLock()
  const order: string[] = []
  let finish = (): void => {}
  const first = lock.run(0, 10, false, () => new Promise<void>((resolve) => { finish = resolve }))
  const writer = lock.run(5, 1, true, async () => { order.push('writer') })
  const reader = lock.run(0, 10, false, async () => { order.push('reader') })
  const elsewhere = lock.run(6, 4, false, async () => { order.push('elsewhere') })
  await elsewhere
  finish()
  await Promise.all([first, writer, reader])
  expect(order).toEqual(['elsewhere', 'writer', 'reader'])
})

test('a range is free again after a failure', async () => {
  const lock = new RangeLock()
  await expect(lock.run(0, 1, true, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(await lock.run(0, 1, true, async () => 'yes')).toBe('yes')
})
