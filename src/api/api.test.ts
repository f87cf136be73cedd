import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { Command } from './command.ts'
import { ConsolePipe } from './console.ts'
import { Machine } from './machine.ts'
import { memoryBytes } from './memory-size.ts'

const withCode = (code: string) => expect.objectContaining({ name: 'TenonError', code })

test.each([['256M', 268_435_456], ['2G', 2 ** 31], ['1024k', 2 ** 20], ['64MiB', 2 ** 26], [3 * 2 ** 20, 3 * 2 ** 20]])('%j of memory', (memory, bytes) => {
  expect(memoryBytes(memory)).toBe(bytes)
})

test.each(['256', '', 'M', '-1M', '1.5G', '1K', 1000, 0, -(2 ** 20), NaN, 2 ** 20 + 1])('%j is no memory size', memory => {
  expect(() => memoryBytes(memory)).toThrow(withCode('MEMORY_SIZE_INVALID'))
})

test.each([
  [{ image: 'nope' }, 'IMAGE_UNKNOWN'], [{ initrd: '/initrd' }, 'OPTIONS_CONFLICT'], [{ image: 'busybox', kernel: '/vmlinuz' }, 'OPTIONS_CONFLICT'],
  [{ kernel: '/no/such/file' }, 'FILE_UNREADABLE'], [{ memory: 'much' }, 'MEMORY_SIZE_INVALID'], [{ cpu: 'i386' as 'max' }, 'CPU_UNKNOWN'],
  [{ engine: 'steam' as 'auto' }, 'ENGINE_UNKNOWN'], [{ engine: 'interpret' as const, lockstep: true }, 'OPTIONS_CONFLICT'],
  [{ cpu: 'i386' as 'max', kernel: '/no/such/file' }, 'CPU_UNKNOWN'],
])('%j cannot be started: %s', async (options, code) => {
  await expect(Machine.start(options)).rejects.toEqual(withCode(code))
})

async function inputOf(command: Command): Promise<string> {
  let text = ''
  for await (const chunk of command.streams.stdin) text += Buffer.from(chunk).toString()
  return text
}

test('a command\'s input is text, bytes or a stream of both', async () => {
  const inputs = ['', 'text', Buffer.from('bytes'), (async function* () { yield 'a'; yield Buffer.from('b') })()]
  expect(await Promise.all(inputs.map(stdin => inputOf(new Command(['x'], { stdin }))))).toEqual(['', 'text', 'bytes', 'ab'])
})

test('a command\'s output is in its result, or in streams', () => {
  const stderr = new PassThrough()
  const command = new Command(['x'], { stderr })
  command.streams.stdout.write(Buffer.from('€').subarray(0, 2))
  command.streams.stdout.write(Buffer.from('€').subarray(2))
  command.streams.stderr.write('warning')
  expect(command.result(3)).toEqual({ status: 3, stdout: '€', stderr: '' })
  expect(String(stderr.read())).toBe('warning')
})

test('a result has a limit', () => {
  const command = new Command(['x'], { maxOutput: 10 })
  command.streams.stdout.write('0123456789')
  expect(command.result(0).stdout).toHaveLength(10)
  command.streams.stdout.write('x')
  expect(() => command.result(0)).toThrow(withCode('OUTPUT_TOO_LARGE'))
})

test('a console is read to its end and written to', async () => {
  const pipe = new ConsolePipe()
  const sent: Uint8Array[] = []
  const console = pipe.open(async bytes => void sent.push(bytes))
  await console.write('é')
  await console.write(Uint8Array.of(3))
  pipe.output.write('one ')
  pipe.output.end('two')
  let text = ''
  for await (const chunk of console) text += Buffer.from(chunk).toString()
  expect([text, sent.map(bytes => [...bytes])]).toEqual(['one two', [[0xc3, 0xa9], [3]]])
})
