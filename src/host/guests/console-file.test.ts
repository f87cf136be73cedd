import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ConsoleFile } from './console-file.ts'
import { followLog, readLog } from './console-log-reader.ts'
import { GuestConsole } from './guest-console.ts'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tenon-console-'))
  path = join(folder, 'console.log')
})
afterEach(() => rmSync(folder, { recursive: true }))

async function textOf(log: AsyncIterable<Uint8Array>): Promise<string> {
  let text = ''
  for await (const bytes of log) text += Buffer.from(bytes).toString()
  return text
}

test('a log goes on where it was, and is kept to a size', async () => {
  writeFileSync(path, 'old ')
  const file = new ConsoleFile(path, () => {}, 10)
  for (const word of ['one ', 'two ', 'three ', 'four ']) file.write(Buffer.from(word))
  file.close()
  expect(readFileSync(`${path}.1`, 'utf8')).toBe('old one two ')
  expect(readFileSync(path, 'utf8')).toBe('three four ')
  expect(await textOf(readLog(path))).toBe('old one two three four ')
})

test('what cannot be written is lost, told once, and the next is written', () => {
  const told: string[] = []
  mkdirSync(path)
  const file = new ConsoleFile(path, reason => told.push(reason))
  file.write(Buffer.from('a'))
  file.write(Buffer.from('b'))
  rmSync(path, { recursive: true })
  file.write(Buffer.from('c'))
  file.close()
  expect([told.length, readFileSync(path, 'utf8')]).toEqual([1, 'c'])
})

test('a log that was not begun is empty, and can be followed over a rotation', async () => {
  expect(await textOf(readLog(path))).toBe('')
  const end = new AbortController()
  const text = textOf(followLog(path, end.signal))
  const pause = (): Promise<unknown> => new Promise(resolve => setTimeout(resolve, 600))
  await pause()
  writeFileSync(path, 'one ')
  await pause()
  appendFileSync(path, 'two ')
  renameSync(path, `${path}.1`)
  writeFileSync(path, 'three')
  await pause()
  end.abort()
  expect(await text).toBe('one two three')
})

test('who attaches gets the line that stands, or all since the start', () => {
  const console_ = new GuestConsole(new ConsoleFile(path, () => {}))
  console_.output(Buffer.from('booted\nlog'))
  console_.output(Buffer.from('in: '))
  const heard = { line: '', start: '' }
  const stop = console_.attach(bytes => { heard.line += Buffer.from(bytes).toString() }, 'line')
  console_.attach(bytes => { heard.start += Buffer.from(bytes).toString() }, 'start')
  console_.output(Buffer.from('root'))
  stop()
  console_.output(Buffer.from('!'))
  expect(heard).toEqual({ line: 'login: root', start: 'booted\nlogin: root!' })
})

test('a console keeps its last part only', () => {
  const console_ = new GuestConsole(new ConsoleFile(path, () => {}))
  for (let count = 0; count < 40; count++) console_.output(new Uint8Array(16 * 1024).fill(count))
  let size = 0
  console_.attach(bytes => { size += bytes.length }, 'start')
  expect(size).toBeGreaterThanOrEqual(256 * 1024)
  expect(size).toBeLessThan(256 * 1024 + 16 * 1024)
})
