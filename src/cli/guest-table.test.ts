import { expect, test } from 'vitest'
import { duration, guestTable } from './guest-table.ts'

test('guests are a table, and what is wrong with one is a line', () => {
  const MIB = 1024 ** 2
  expect(guestTable([
    { name: 'web', state: 'running', image: 'debian:12', memoryBytes: 1024 * MIB, since: 0 },
    { name: 'broken', state: 'stopped', problem: 'guest.yaml:2: memory: is wrong' },
    { name: 'db', state: 'failed', image: 'debian:13', memoryBytes: 512 * MIB, since: 0, end: { reason: 'panic', detail: 'no root' } },
  ], 65_000)).toBe([
    'NAME     STATE     IMAGE       MEMORY     UPTIME',
    'web      running   debian:12   1024 MiB   1 min',
    'broken   stopped',
    '  guest.yaml:2: memory: is wrong',
    'db       failed    debian:13   512 MiB',
    '  its kernel panicked: no root',
    '',
  ].join('\n'))
  expect(guestTable([], 0)).toBe('NAME   STATE   IMAGE   MEMORY   UPTIME\n')
})

test.each([[-5, '0 s'], [59_999, '59 s'], [60_000, '1 min'], [7_500_000, '2 h 5 min'], [90_000_000, '1 d 1 h']])('%i ms are %s', (milliseconds, text) => {
  expect(duration(milliseconds)).toBe(text)
})
