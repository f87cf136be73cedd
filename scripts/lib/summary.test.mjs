import { describe, expect, it } from 'vitest'
import { closingLine, oneCheck, total, vitestTally } from './summary.mjs'

const file = (status, ...tests) => ({ status, assertionResults: tests.map(each => ({ status: each })) })

describe('the tally of a Vitest run', () => {
  it('has the report\'s counts', () => {
    const report = { numPassedTests: 3, numFailedTests: 1, numPendingTests: 2, numTodoTests: 1, testResults: [file('failed', 'failed', 'passed')] }
    expect(vitestTally(report, 1)).toEqual({ passed: 3, failed: 1, skipped: 3 })
  })

  it('counts a file that fails before its first test', () => {
    const report = { numPassedTests: 3, numFailedTests: 1, testResults: [file('failed'), file('failed', 'failed')] }
    expect(vitestTally(report, 1).failed).toBe(2)
  })

  it('counts a run that fails otherwise', () => {
    expect(vitestTally(undefined, 1)).toEqual({ passed: 0, failed: 1, skipped: 0 })
    expect(vitestTally({ numPassedTests: 5, testResults: [] }, 1)).toEqual({ passed: 5, failed: 1, skipped: 0 })
  })

  it('has no failures where there are none', () => {
    expect(vitestTally({ numPassedTests: 5, testResults: [file('passed', 'passed')] }, 0)).toEqual({ passed: 5, failed: 0, skipped: 0 })
  })
})

describe('the closing line', () => {
  it('leaves out what was not skipped', () => {
    expect(closingLine({ passed: 12, failed: 0, skipped: 0 })).toBe('12 passed, 0 failed')
    expect(closingLine({ passed: 12, failed: 1, skipped: 2 })).toBe('12 passed, 1 failed, 2 skipped')
  })

  it('is of all checks together', () => {
    const tallies = [oneCheck(true), oneCheck(false), { passed: 5, failed: 1, skipped: 2 }]
    expect(closingLine(total(tallies))).toBe('6 passed, 2 failed, 2 skipped')
  })
})
