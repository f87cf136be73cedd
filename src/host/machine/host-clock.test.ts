import { expect, test } from 'vitest'
import { HostClock } from './host-clock.ts'

function clock(): { host: HostClock, pass: (monotonicMs: number, wallMs: number) => number } {
  let [monotonic, wall] = [1_000, 1_700_000_000_000]
  const host = new HostClock(() => monotonic, () => wall)
  const start = host.now()
  return {
    host,
    pass(monotonicMs, wallMs) {
      monotonic += monotonicMs
      wall += wallMs
      host.catchUp()
      return (host.now() - start) / 1e6
    },
  }
}

test('time goes as the monotonic clock does', () => {
  const { pass } = clock()
  expect([pass(10, 10), pass(5_000, 5_000)]).toEqual([10, 5_010])
})

test('a sleep of the host counts', () => {
  const { pass } = clock()
  expect([pass(10, 3_600_010), pass(10, 10)]).toEqual([3_600_010, 3_600_020])
})

test('a wall clock that is set back, or a little forward, changes nothing', () => {
  const { pass } = clock()
  expect([pass(10, -7_200_000), pass(10, 10), pass(10, 900)]).toEqual([10, 20, 30])
})
