import { expect, test } from 'vitest'
import { formatAlternatives, parseRelations, versionMatches } from './relation.ts'

const invalid = expect.objectContaining({ code: 'ARCHIVE_FORMAT_INVALID' })

test('reads groups, alternatives, versions and architectures', () => {
  expect(parseRelations('libc6 (>= 2.36), perl:any,, a|b(<<1:2~x-3) , c (> 1)', 'x')).toEqual([
    [{ name: 'libc6', operator: '>=', version: '2.36' }], [{ name: 'perl', qualifier: 'any' }],
    [{ name: 'a' }, { name: 'b', operator: '<<', version: '1:2~x-3' }], [{ name: 'c', operator: '>=', version: '1' }],
  ])
  expect(parseRelations('', 'x')).toEqual([])
})

test('formats what it has read', () => {
  const text = 'a:any (>= 1) | b'
  expect(formatAlternatives(parseRelations(text, 'x')[0])).toBe(text)
})

test.each(['A', 'a b', 'a (1)', 'a (>= )', 'a (=> 1)', 'a |', '../x', 'a [amd64]', 'a (>= 1;2)'])('rejects %s', text => {
  expect(() => parseRelations(text, 'x')).toThrow(invalid)
})

test('an unversioned provider is no version', () => {
  const [[versioned], [unversioned]] = parseRelations('a (>= 1), a', 'x')
  expect([versionMatches(versioned, undefined), versionMatches(versioned, '1'), versionMatches(unversioned, undefined)]).toEqual([false, true, true])
})
