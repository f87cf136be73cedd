import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { ConsoleLog } from './console-log.ts'
import { encodeSession, encodeStdin, encodeWindowSize, GuestMessageReader } from './protocol.ts'

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

test('messages come whole, however their bytes come', () => {
  const reader = new GuestMessageReader()
  const messages = [...'ready 2\nstdin\nexit 137\n'].flatMap(character => reader.read(Buffer.from(character)))
  expect(messages).toEqual([{ kind: 'ready', version: 2 }, { kind: 'stdin' }, { kind: 'exit', status: 137 }])
})

test.each(['hello', 'exit', 'exit 256', 'exit -1', 'stdin 1', 'ready', '', 'exit 1 2', `ready ${'1'.repeat(100)}`])('rejects %j', line => {
  expect(() => new GuestMessageReader().read(Buffer.from(`${line}\n`))).toThrow(expect.objectContaining({ code: 'GUEST_PROTOCOL' }))
})

test('a line without an end is rejected before it fills the memory', () => {
  const reader = new GuestMessageReader()
  expect(() => reader.read(Buffer.alloc(100, 'a'))).toThrow(expect.objectContaining({ code: 'GUEST_PROTOCOL' }))
})

test('a session says its length', () => {
  const encoded = encodeSession({ mode: 'on_console', argv: ['sh'], environment: {}, windowSize: { rows: 24, columns: 80 } }, 'abc')
  const [head, script] = [text(encoded).split('\n', 1)[0], text(encoded).slice(text(encoded).indexOf('\n') + 1)]
  expect(head).toBe(`session ${Buffer.byteLength(script)}`)
  expect(script).toContain('stty -F /dev/ttyS0 rows 24 cols 80\n')
})

test.skipIf(process.platform === 'win32')('a shell gets the arguments and the environment exactly', () => {
  const argv = ['a\'b', '"c" \\d', 'new\nline', '$HOME `x`', '', '*', '-n', 'é€']
  const environment = { MODE: 'it\'s', mode: 'two\nlines' }
  const encoded = text(encodeSession({ mode: 'with_pipes', argv, environment }, 'abc'))
  const script = `${encoded.slice(encoded.indexOf('\n') + 1)}\necho "$mode"; apply_environment; for each in "$@" "$MODE" "$mode"; do printf '%s\\0' "$each"; done`
  expect(spawnSync('sh', ['-c', script]).stdout.toString()).toBe(`with_pipes\n${[...argv, 'it\'s', 'two\nlines'].map(each => `${each}\0`).join('')}`)
})

test('stdin goes in counted pieces, and window sizes in lines', () => {
  expect(encodeStdin(Uint8Array.of(0, 10, 255))).toEqual(Uint8Array.of(0x33, 10, 0, 10, 255))
  expect(text(encodeStdin(new Uint8Array(0)))).toBe('0\n')
  expect(text(encodeWindowSize({ rows: 5, columns: 10 }))).toBe('size 5 10\n')
})

test('the console\'s log finds a panic in what is left of it', () => {
  const log = new ConsoleLog(1000)
  log.append(Buffer.from('x'.repeat(5000)))
  expect(log.panic).toBeUndefined()
  log.append(Buffer.from('\n[ 1.0] Kernel panic - not sync'))
  log.append(Buffer.from('ing: No working init found.\r\n[ 1.0] CPU: 0\r\n'))
  expect(log.panic).toBe('No working init found.')
})
