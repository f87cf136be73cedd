import { expect, test } from 'vitest'
import { useDamaged } from './testing/damage.ts'

const SEEDS = [2, 3, 4, 5, 6, 7, 8, 9]

test.each(SEEDS)('damaged images do no harm (seed %i)', async (seed) => {
  expect(await useDamaged(seed, 80)).toBeGreaterThan(20)
})
