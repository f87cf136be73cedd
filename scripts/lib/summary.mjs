/** What the gate's checks come to. */

/** @typedef {{ passed: number, failed: number, skipped: number }} Tally */

/** A check that is one thing: it passed or it did not. */
export function oneCheck(hasPassed) {
  return { passed: hasPassed ? 1 : 0, failed: hasPassed ? 0 : 1, skipped: 0 }
}

/** @param {readonly Tally[]} tallies */
export function total(tallies) {
  return tallies.reduce((sum, { passed, failed, skipped }) => (
    { passed: sum.passed + passed, failed: sum.failed + failed, skipped: sum.skipped + skipped }), { passed: 0, failed: 0, skipped: 0 })
}

/**
 * The tally of a Vitest run, from its JSON report and its exit status. A file that fails before its first test counts as a failed
 * test, and so does a run that fails for another reason: no test found, no report, an error outside the tests.
 */
export function vitestTally(report, status) {
  const files = report?.testResults ?? []
  const broken = files.filter(file => file.status === 'failed' && !file.assertionResults.some(test => test.status === 'failed')).length
  const failed = (report?.numFailedTests ?? 0) + broken
  return {
    passed: report?.numPassedTests ?? 0,
    failed: failed === 0 && status !== 0 ? 1 : failed,
    skipped: (report?.numPendingTests ?? 0) + (report?.numTodoTests ?? 0),
  }
}

/** The gate's last line. */
export function closingLine({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}
