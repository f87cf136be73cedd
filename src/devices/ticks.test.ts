import { expect, it } from 'vitest'
import { PIT_RATE, PM_TIMER_RATE, RTC_RATE } from './ticks.ts'

it('runs at the nominal frequencies', () => {
  expect([PIT_RATE, PM_TIMER_RATE, RTC_RATE].map((rate) => rate.ticksAt(1e9))).toEqual([1_193_181, 3_579_545, 32_768])
})

it('finds the first nanosecond of every tick, near and far', () => {
  for (const rate of [PIT_RATE, PM_TIMER_RATE, RTC_RATE]) {
    for (const tick of [0, 1, 2, 3, 1000, 12_345_678, 4e10 + 7]) {
      const time = rate.timeOf(tick)
      expect(rate.ticksAt(time)).toBe(tick)
      if (tick > 0) expect(rate.ticksAt(time - 1)).toBe(tick - 1)
    }
    expect(rate.ticksAt(rate.timeOf(4e12 + 7))).toBe(4e12 + 7)
  }
})
