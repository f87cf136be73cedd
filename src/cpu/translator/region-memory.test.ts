import { expect, it } from 'vitest'
import { Pool } from '../../machine/pool.ts'
import { RegionHeader } from './exits.ts'
import { RegionMemory } from './region-memory.ts'

it('has headers that lie apart, and apart from exit tables', () => {
  const memory = new RegionMemory(Pool.create(16 << 20))
  const headers = Array.from({ length: 2000 }, (_, position) => memory.header(position))
  const tables = Array.from({ length: 20 }, () => memory.allocate(5000))
  const ranges = [...headers.map((at) => [at, at + RegionHeader.SIZE]), ...tables.map((at) => [at, at + 5000])].sort(([a], [b]) => a - b)
  expect(ranges.every(([at], index) => Number.isInteger(at) && (index === 0 || at >= ranges[index - 1][1]))).toBe(true)
  expect(memory.header(1000)).toBe(headers[1000])
})
