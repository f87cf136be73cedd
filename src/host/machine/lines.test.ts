import { expect, test } from 'vitest'
import { ModemInput } from '../../machine/serial.ts'
import type { SerialPort } from '../../machine/serial.ts'
import { Bell, MachineChannel, OUTPUT_CAPACITY } from './channel.ts'
import { HostLine } from './host-line.ts'
import { LineBackend } from './line-backend.ts'

/** A UART that only notes what it is told. */
class FakePort implements SerialPort {
  clearToSend = true
  readyCalls = 0
  transmitReady(): void { this.readyCalls++ }
  receiveReady(): void {}
  receiveBreak(): boolean { return true }
  setModemInputs(levels: number): void { this.clearToSend = (levels & ModemInput.CTS) !== 0 }
}

const LINE = 2

function connect(accepts: (bytes: Uint8Array) => boolean = () => true) {
  const channel = new MachineChannel()
  const port = new FakePort()
  const backend = new LineBackend(new MachineChannel(channel.memory), LINE)
  backend.connect(port)
  const got: number[] = []
  let drained = 0
  const receive = (bytes: Uint8Array): boolean => {
    got.push(...bytes)
    return accepts(bytes)
  }
  const line = new HostLine(channel, LINE, { receive }, () => drained++)
  /** The guest sends until it is refused, or has sent so many; between, the thread's slices end. */
  const send = (count: number): number => {
    for (let sent = 0; sent < count; sent++) {
      if (!backend.transmit(sent & 0xff)) return sent
      if (sent % 1000 === 999) backend.settle()
    }
    backend.settle()
    return count
  }
  return { channel, port, backend, got, line, send, drainedCalls: () => drained }
}

test('output reaches its owner, in order', () => {
  const { send, line, got } = connect()
  send(70)
  line.look()
  expect(got).toEqual(Array.from({ length: 70 }, (_, index) => index))
})

test('a guest whose bytes pile up sees CTS fall, is refused in the end, and goes on when there is room', () => {
  const { send, line, got, port, backend, channel } = connect()
  expect(send(OUTPUT_CAPACITY / 2)).toBe(OUTPUT_CAPACITY / 2)
  expect(port.clearToSend).toBe(true)
  expect(send(OUTPUT_CAPACITY)).toBe(OUTPUT_CAPACITY / 2)
  expect(port.clearToSend).toBe(false)
  line.look()
  expect(got.length).toBe(OUTPUT_CAPACITY)
  expect(channel.answer()).toBe(Bell.ROOM)
  backend.release()
  expect([port.clearToSend, port.readyCalls]).toEqual([true, 1])
})

test('room that fills again before the guest hears of it is asked for again', () => {
  const { send, line, port, backend, channel } = connect()
  send(OUTPUT_CAPACITY)
  line.look()
  expect(channel.answer()).toBe(Bell.ROOM)
  send(OUTPUT_CAPACITY - 1)
  backend.release()
  expect(port.clearToSend).toBe(false)
  line.look()
  expect(channel.answer()).toBe(Bell.ROOM)
  backend.release()
  expect(port.clearToSend).toBe(true)
})

test('an owner that refuses gets nothing until it resumes, and then all', () => {
  let isOpen = false
  const { send, line, got, drainedCalls } = connect(() => isOpen)
  send(20_000)
  line.look()
  expect(got.length).toBeLessThan(20_000)
  const before = got.length
  line.look()
  expect([got.length, line.isDrained, drainedCalls()]).toEqual([before, false, 0])
  isOpen = true
  line.resume()
  expect([got.length, line.isDrained, drainedCalls()]).toEqual([20_000, true, 1])
})

test('there is news for the host when the guest has sent, or has taken the last byte', async () => {
  const { backend, line, channel } = connect()
  expect(backend.settle()).toBe(false)
  void line.write(Uint8Array.of(1, 2))
  expect(channel.answer()).toBe(Bell.INPUT)
  expect([backend.receive(), backend.settle()]).toEqual([1, false])
  expect([backend.receive(), backend.receive(), backend.settle(), backend.settle()]).toEqual([2, -1, true, false])
  backend.transmit(65)
  expect([backend.settle(), backend.settle()]).toEqual([true, false])
})

test('a write ends when the guest has taken its last byte, and a long one goes in parts', async () => {
  const { backend, line } = connect()
  const bytes = Uint8Array.from({ length: 50_000 }, (_, index) => index)
  let isWritten = false
  const written = (async () => {
    await line.write(bytes)
    isWritten = true
  })()
  const got: number[] = []
  while (got.length < bytes.length) {
    for (let byte = backend.receive(); byte >= 0; byte = backend.receive()) got.push(byte)
    await Promise.resolve()
    expect(isWritten).toBe(false)
    line.look()
  }
  await written
  expect(Uint8Array.from(got)).toEqual(bytes)
})

test('writes to a machine that has ended, or to a line without an owner, are over at once', async () => {
  const { line } = connect()
  const waiting = line.write(Uint8Array.of(1))
  line.end()
  const nobody = new HostLine(new MachineChannel(), 0, undefined, () => {})
  expect(await Promise.all([waiting, line.write(Uint8Array.of(2)), nobody.write(Uint8Array.of(1))])).toHaveLength(3)
})
