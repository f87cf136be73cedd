import { expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { BitMap } from './bit-map.ts'

test('it is a set of numbers, with runs', () => {
  const random = new Random(1)
  const bits = new BitMap()
  const model = new Uint8Array(100_000)
  for (let round = 0; round < 200; round++) {
    const first = random.below(model.length)
    const end = Math.min(model.length, first + random.below(random.pick([2, 50, 5000])))
    bits.set(first, end)
    model.fill(1, first, end)
    const cleared = random.below(model.length)
    bits.clear(cleared)
    model[cleared] = 0
  }
  for (let at = 0; at < model.length;) {
    const { isSet, end } = bits.run(at, model.length)
    expect(isSet).toBe(model[at] === 1)
    const next = model.indexOf(1 - model[at], at)
    expect(end).toBe(next < 0 ? model.length : next)
    at = end
  }
})

test('runs end where they are told to', () => {
  const bits = new BitMap()
  bits.set(10, 20)
  expect(bits.run(0, 5)).toEqual({ isSet: false, end: 5 })
  expect(bits.run(12, 15)).toEqual({ isSet: true, end: 15 })
  expect(bits.run(12, 2 ** 40)).toEqual({ isSet: true, end: 20 })
  expect(bits.run(20, 2 ** 30)).toEqual({ isSet: false, end: 2 ** 30 })
})
