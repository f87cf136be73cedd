import { describe, expect, it } from 'vitest'
import { checkedTimes, readOwnTime } from './own-times.ts'

const check = (text: string, span: number): Record<string, number> => checkedTimes({ loop: readOwnTime(text) }, { loop: span })

describe('checkedTimes', () => {
  it('gives the workload\'s own time, however long its programs take to start', () => {
    expect(check('0.250000000 7.00 7.30', 0.31)).toEqual({ loop: 0.25 })
    expect(check('1.505 100.20 110.90', 10.99)).toEqual({ loop: 1.505 })
  })

  it('allows more than the span for work that was not finished', () => {
    expect(check('3 7.00 9.00', 2)).toEqual({ loop: 3 })
  })

  it.each([
    ['a clock that is slow', '0.5 7.00 8.00', 5], ['a clock that is fast', '0.5 7.00 9.00', 0.9], ['a clock that goes back', '0.5 7.00 6.00', 0.9],
    ['more than it can be', '3 7.00 7.70', 0.9], ['less than nothing', '-1 7.00 7.70', 0.7], ['nothing', '0 7.00 7.70', 0.7],
    ['no time', ' 7.00 7.70', 0.7], ['words', 'fast 7.00 7.70', 0.7], ['no clock', '0.5', 0.7], ['two times', '0.1 0.2 7.00 7.70', 0.7],
  ])('rejects %s', (_, text, span) => {
    expect(() => check(text, span)).toThrow(expect.objectContaining({ code: 'BENCH_CLOCK_WRONG' }) as Error)
  })
})
