import { expect, test } from 'vitest'
import { ATTACHED_GUEST, EscapeKeys } from './escape-keys.ts'

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

test.each([
  ['plain', 'ls\r', 'ls\r', []],
  ['quit', 'ab\x01xcd', 'ab', ['quit']],
  ['help', 'a\x01hb\x01?c', 'abc', ['help', 'help']],
  ['figures', 'a\x01sb', 'ab', ['statistics']],
  ['a Ctrl-A of its own', 'a\x01\x01b', 'a\x01b', []],
  ['an unknown key, dropped', 'a\x01qb', 'ab', []],
  ['the keys without Ctrl-A', 'xh?', 'xh?', []],
  ['bytes beyond ASCII', '\xff\x00\x03', '\xff\x00\x03', []],
])('%s', (_, typed, forGuest, actions) => {
  const result = new EscapeKeys().feed(Buffer.from(typed, 'latin1'))
  expect([text(result.forGuest), result.actions]).toEqual([forGuest, actions])
})

test('the keys may come one at a time', () => {
  const keys = new EscapeKeys()
  expect(keys.feed(Buffer.from('a\x01')).actions).toEqual([])
  expect(keys.feed(Buffer.from('x')).actions).toEqual(['quit'])
})

test('a guest in the background is left by other keys', () => {
  const keys = new EscapeKeys(ATTACHED_GUEST)
  const { forGuest, actions } = keys.feed(Buffer.from('a\x01sb\x01hc\x01dnot for it'))
  expect([Buffer.from(forGuest).toString(), actions]).toEqual(['abc', ['help', 'detach']])
  expect(keys.feed(Buffer.from('\x01x')).actions).toEqual(['quit'])
})
