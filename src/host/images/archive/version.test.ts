import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { randomOf } from '../testing/random.ts'
import { compareVersions, isVersion, satisfies } from './version.ts'
import type { VersionOperator } from './version.ts'

const hasDpkg = spawnSync('dpkg', ['--version']).status === 0

test.each([
  ['1.0', '1.0', 0], ['1.0', '1.0-0', 0], ['1.0', '0:1.0', 0], ['1', '1.0', -1], ['1.0~rc1', '1.0', -1], ['1.0~~', '1.0~', -1],
  ['1.0a', '1.0', 1], ['1.0a', '1.0+', -1], ['1.10', '1.9', 1], ['1:0.1', '9', 1], ['1.0-1', '1.0-1+b1', -1],
  ['12.4+deb12u9', '12.4+deb12u15', -1], ['1-2-3', '1-2-4', -1], ['0009', '9', 0], ['1'.repeat(40), '2'.repeat(39), 1],
])('%s against %s', (a, b, order) => {
  expect(Math.sign(compareVersions(a, b))).toBe(order)
  expect(Math.sign(compareVersions(b, a)) + order).toBe(0)
})

test('knows what can be a version', () => {
  expect(['1', '1:2-3', '2.36-9+deb12u10', '1~'].every(isVersion)).toBe(true)
  expect(['', 'a:1', '1 2', '1;2', '9999999999:1', '1\n'].some(isVersion)).toBe(false)
})

test.skipIf(!hasDpkg)('agrees with dpkg about random versions', () => {
  const random = randomOf(1)
  const OPERATORS: Readonly<Record<VersionOperator, string>> = { '<<': 'lt', '<=': 'le', '=': 'eq', '>=': 'ge', '>>': 'gt' }
  const alphabet = ['0', '1', '10', '.', '~', '+', 'a', 'Z', '-', '00', '9']
  const part = (): string => Array.from({ length: 1 + random(6) }, () => alphabet[random(alphabet.length)]).join('')
  const version = (): string => `${random(5) === 0 ? '1:' : ''}${random(10)}${part()}1`
  const cases = Array.from({ length: 150 }, () => {
    const a = version()
    return [a, random(8) === 0 ? a : version(), Object.keys(OPERATORS)[random(5)] as VersionOperator] as const
  })
  const script = cases.map(([a, b, operator]) => `dpkg --compare-versions '${a}' ${OPERATORS[operator]} '${b}'; echo $?`).join('\n')
  const answers = spawnSync('sh', ['-c', script], { encoding: 'utf8' }).stdout.trim().split('\n')
  expect(cases.map(([a, b, operator]) => [a, operator, b, satisfies(a, operator, b)])).toEqual(
    cases.map(([a, b, operator], index) => [a, operator, b, answers[index] === '0']),
  )
})
