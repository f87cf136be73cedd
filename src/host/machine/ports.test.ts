import { expect, test } from 'vitest'
import type { BytePort } from '../../machine/byte-port.ts'
import { Bell, MachineChannel, OUTPUT_CAPACITY } from './channel.ts'
import { HostLine } from './host-line.ts'
import { PortBackend } from './port-backend.ts'

const LINE = 5

/** A port whose device has bytes to send: it sends what it can, and again when it is told that there is room. */
function connect(accepts: () => boolean = () => true) {
  const channel = new MachineChannel(6)
  const backend = new PortBackend(new MachineChannel(channel.memory), LINE)
  let pending = new Uint8Array(0)
  const calls: string[] = []
  const send = (bytes: Uint8Array): number => {
    pending = new Uint8Array(Buffer.concat([pending, bytes]))
    const taken = backend.transmit(pending)
    pending = pending.slice(taken)
    return taken
  }
  const device: BytePort = {
    transmitReady: () => void send(new Uint8Array(0)),
    receiveReady: () => void calls.push('receiveReady'),
    setConnected: connected => void calls.push(`connected ${connected}`),
  }
  backend.connect(device)
  const got: number[] = []
  const owner = {
    receive: (bytes: Uint8Array) => got.push(...bytes) > 0 && accepts(),
    opened: (open: boolean) => void calls.push(`opened ${open} after ${got.length}`),
  }
  const line = new HostLine(channel, LINE, owner, () => {})
  return { channel, backend, send, line, got, calls }
}

test('the guest sees a port that is connected', () => {
  expect(connect().calls).toEqual(['connected true'])
})

test('bytes go both ways, and a write ends when the guest has them', async () => {
  const { channel, backend, send, line, got } = connect()
  send(Uint8Array.of(1, 2, 3))
  expect([backend.settle(), backend.settle()]).toEqual([true, false])
  line.look()
  expect(got).toEqual([1, 2, 3])
  const written = line.write(Uint8Array.of(4, 5))
  expect(channel.answer()).toBe(Bell.INPUT)
  const into = new Uint8Array(10)
  expect([backend.receive(into.subarray(0, 1)), backend.settle(), backend.receive(into.subarray(1)), backend.settle()]).toEqual([1, false, 1, true])
  line.look()
  await written
  expect([...into.subarray(0, 2), backend.receive(into)]).toEqual([4, 5, 0])
})

test('a guest that floods is held back, and loses nothing', () => {
  const { channel, backend, send, line, got } = connect()
  const bytes = Uint8Array.from({ length: 3 * OUTPUT_CAPACITY }, (_, index) => index % 251)
  expect(send(bytes)).toBe(OUTPUT_CAPACITY)
  for (let round = 0; round < 10 && got.length < bytes.length; round++) {
    expect(backend.settle()).toBe(true)
    line.look()
    expect(channel.answer() & Bell.ROOM).toBe(got.length === bytes.length ? 0 : Bell.ROOM)
    backend.release()
  }
  expect(Buffer.from(got).equals(bytes)).toBe(true)
})

test('an owner that refuses holds the guest back until it resumes', () => {
  let accepts = false
  const { channel, backend, send, line, got } = connect(() => accepts)
  send(new Uint8Array(OUTPUT_CAPACITY + 10))
  backend.settle()
  line.look()
  const before = got.length
  expect([before < OUTPUT_CAPACITY, channel.answer() & Bell.ROOM]).toEqual([true, 0])
  accepts = true
  line.resume()
  expect(channel.answer() & Bell.ROOM).toBe(Bell.ROOM)
  backend.release()
  line.look()
  expect(got.length).toBe(OUTPUT_CAPACITY + 10)
})

test('the owner hears when a program opens the port and closes it, after what it sent', () => {
  const { backend, send, line, calls } = connect()
  backend.guestOpened(true)
  expect([backend.settle(), line.isOpen]).toEqual([true, false])
  line.look()
  expect(line.isOpen).toBe(true)
  send(new Uint8Array(70))
  backend.guestOpened(false)
  line.look(0)
  line.look()
  expect(calls.slice(1)).toEqual(['opened true after 0', 'opened false after 70'])
})

test('a port is closed when the machine has ended', () => {
  const { backend, line, calls } = connect()
  backend.guestOpened(true)
  line.look()
  line.end()
  expect([calls.at(-1), line.isOpen]).toEqual(['opened false after 0', false])
})
