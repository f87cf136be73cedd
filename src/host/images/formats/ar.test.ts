import { expect, test } from 'vitest'
import { makeAr } from '../testing/fake-archive.ts'
import { readAr } from './ar.ts'

const archive = makeAr([{ name: 'odd', data: Buffer.from('abc') }, { name: 'even/', data: Buffer.from('de') }])

test('gives the members with their data', () => {
  expect(readAr(archive, 'x').map(({ name, data }) => [name, Buffer.from(data).toString()])).toEqual([['odd', 'abc'], ['even', 'de']])
})

test.each([
  ['is no archive', Buffer.from('hello, world')],
  ['ends within data', archive.subarray(0, archive.length - 1)],
  ['ends within a header', archive.subarray(0, 100)],
  ['has a size that is no number', Buffer.from(Buffer.from(archive).toString('latin1').replace('3         `', '-3        `'), 'latin1')],
])('rejects what %s', (_, bytes) => {
  expect(() => readAr(bytes, 'x')).toThrow(expect.objectContaining({ code: 'ARCHIVE_FORMAT_INVALID' }))
})
