import { expect, test } from 'vitest'
import { AgentMessageReader } from './message-reader.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1')

test('cuts messages at newlines, whatever the pieces', () => {
  const whole = bytes('{"a":1}\n\r\n\xff{"b":2}\nrest')
  const expected = [{ kind: 'message', text: '{"a":1}' }, { kind: 'mark' }, { kind: 'message', text: '{"b":2}' }]
  for (let size = 1; size <= whole.length; size++) {
    const reader = new AgentMessageReader(100)
    const events = []
    for (let at = 0; at < whole.length; at += size) events.push(...reader.read(whole.subarray(at, at + size)))
    expect(events).toEqual(expected)
  }
})

test('a mark ends what had begun', () => {
  const reader = new AgentMessageReader(10)
  expect(reader.read(bytes('half\xffwhole\n'))).toEqual([{ kind: 'mark' }, { kind: 'message', text: 'whole' }])
  expect(reader.read(bytes('x'.repeat(50)))).toEqual([])
  expect(reader.read(bytes('\xffok\n'))).toEqual([{ kind: 'mark' }, { kind: 'message', text: 'ok' }])
})

test('a message that is too long is left out, and the next is not', () => {
  const reader = new AgentMessageReader(10)
  expect(reader.read(bytes('0123456789\n01234567890'))).toEqual([{ kind: 'message', text: '0123456789' }])
  for (let round = 0; round < 1000; round++) expect(reader.read(bytes('more'))).toEqual([])
  expect(reader.read(bytes('\nnext\n'))).toEqual([{ kind: 'overflow' }, { kind: 'message', text: 'next' }])
})
