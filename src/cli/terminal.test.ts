import { EventEmitter } from 'node:events'
import type { ReadStream } from 'node:tty'
import { expect, test } from 'vitest'
import { ByteQueue, openTerminal } from './terminal.ts'
import type { TerminalInput } from './terminal.ts'

class FakeTerminal extends EventEmitter {
  readonly modes: boolean[] = []

  setRawMode(mode: boolean): void {
    this.modes.push(mode)
  }

  type(text: string): void {
    this.emit('data', Buffer.from(text))
  }
}

function open(): { keyboard: FakeTerminal, input: TerminalInput, events: string[] } {
  const keyboard = new FakeTerminal()
  const events: string[] = []
  const input = openTerminal(keyboard as unknown as ReadStream, { onAction: action => events.push(action), onInterrupt: () => events.push('interrupt') })
  return { keyboard, input, events }
}

async function first(input: TerminalInput): Promise<string> {
  for await (const bytes of input) return Buffer.from(bytes).toString()
  return ''
}

test('Ctrl-C is ours until the guest takes it', async () => {
  const { keyboard, input, events } = open()
  keyboard.type('\x03')
  expect(events).toEqual(['interrupt'])
  input.passInterrupts()
  keyboard.type('\x03')
  expect([events, await first(input)]).toEqual([['interrupt'], '\x03'])
})

test('what is typed while the guest boots waits for it', async () => {
  const { keyboard, input, events } = open()
  keyboard.type('ls\r')
  keyboard.type('\x01h')
  expect([await first(input), events]).toEqual(['ls\r', ['help']])
})

test('the terminal is raw until the process exits', () => {
  const before = process.listeners('exit')
  const { keyboard } = open()
  const [restore] = process.listeners('exit').filter(listener => !before.includes(listener))
  restore(0)
  process.off('exit', restore)
  expect(keyboard.modes).toEqual([true, false])
})

test('a queue gives what was pushed, waits, and ends', async () => {
  const queue = new ByteQueue()
  const waiting = queue.next()
  queue.push(Uint8Array.of(1))
  queue.push(Uint8Array.of(2, 3))
  expect([await waiting, queue.size]).toEqual([{ done: false, value: Uint8Array.of(1) }, 2])
  queue.end()
  expect([await queue.next(), await queue.next()]).toEqual([{ done: false, value: Uint8Array.of(2, 3) }, { done: true, value: undefined }])
})
