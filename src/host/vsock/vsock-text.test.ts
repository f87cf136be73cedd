import { expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { parseGreeting } from './greeting.ts'
import { formatVsock, parseVsock } from './vsock-text.ts'

test.each([
  ['vsock', { path: '/home/vsock', cid: 3 }], ['/run/a b', { path: '/run/a b', cid: 3 }], ['./v,cid=4294967294', { path: '/home/v', cid: 4294967294 }],
])('%j is a vsock', (text, order) => {
  expect(parseVsock(text, '/home')).toEqual(order)
  expect(parseVsock(formatVsock(order), '/')).toEqual(order)
})

test.each(['', ',cid=3', 'v,cid=2', 'v,cid=4294967295', 'v,cid=', 'v,cid=x', 'v,cid=3,cid=4', 'v,other', 'a\0b'])('%j is none', text => {
  expect(() => parseVsock(text, '/')).toThrow(expect.objectContaining({ code: 'VSOCK_UNFIT' }) as Error)
})

test('a folder with a comma is none', () => {
  expect(() => parseVsock('v', '/a,b')).toThrow(expect.objectContaining({ code: 'VSOCK_UNFIT' }) as Error)
})

test.each([['CONNECT 52', 52], ['connect  0', 0], ['CONNECT 4294967295\r', 4294967295], ['CONNECT 52 ', 52]])('%j asks for a port', (line, port) => {
  expect(parseGreeting(line)).toBe(port)
})

test.each(['', 'CONNECT', 'CONNECT52', 'CONNECT -1', 'CONNECT 0x10', 'CONNECT 4294967296', 'CONNECT 1 2', ' CONNECT 1', 'OK 1'])('%j does not', line => {
  expect(parseGreeting(line)).toBeUndefined()
})

test('random bytes are no greeting', () => {
  const random = new Random(5)
  const pieces = ['CONNECT', ' ', '1', '99', '\r', '\0', 'é', '-']
  for (let count = 0; count < 3000; count++) {
    const line = Array.from({ length: random.below(6) }, () => random.pick(pieces)).join('')
    expect(parseGreeting(line) === undefined || /^CONNECT [ \d\r]+$/.test(line)).toBe(true)
  }
})
