import { expect, it } from 'vitest'
import type { PlannedBlock, RegionPlan } from './plan.ts'
import { endingBehind, wayThrough } from './shorten-plan.ts'

const block = (at: number, count: number, next: number, target = -1, expected = -1): PlannedBlock =>
  ({ at, count, next, target, expected: expected < 0 ? [] : [expected] })

/** 10, 11, 12 branches to 20 or goes on at 13; 20 jumps back to 10; 13 calls 30, which is taken in and returns to 14. */
const plan: RegionPlan = {
  id: 1, tier: 'quick', stores: 'early', pages: [{ delta: 0, bytes: new Uint8Array(4096) }],
  blocks: [block(10, 3, 1, 2), block(13, 1, -1, 3), block(20, 2, -1, 0), block(30, 1, -1, -1, 4), block(14, 1, -1)], entries: [2],
}

const wayOf = (...addresses: number[]): string =>
  wayThrough(plan, addresses).map(({ block: number, index }) => `${number}.${index}`).join(' ')

it('finds the way through a region', () => {
  expect(wayOf(10, 11, 12, 13, 30, 14, 15)).toBe('0.0 0.1 0.2 1.0 3.0 4.0')
  expect(wayOf(10, 11)).toBe('0.0 0.1')
  expect(wayOf(10, 11, 12, 99)).toBe('0.0 0.1 0.2')
})

it('begins at entries only, and ends where it would be in a loop', () => {
  expect(wayOf(20, 21, 10, 11, 12, 20, 21, 10)).toBe('2.0 2.1 0.0 0.1 0.2')
  expect(wayOf(13, 30)).toBe('')
  expect(wayOf()).toBe('')
})

it('lets a region end behind an instruction', () => {
  const { blocks, ...rest } = endingBehind(plan, { block: 0, index: 1 })
  expect(blocks).toEqual([block(10, 2, -1), ...plan.blocks.slice(1)])
  expect(rest).toEqual({ ...plan, blocks: undefined })
})
