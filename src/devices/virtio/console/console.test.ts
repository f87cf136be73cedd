import { beforeEach, describe, expect, it } from 'vitest'
import { gpa } from '../../../base/addresses.ts'
import { DeviceStatus } from '../bits.ts'
import { VirtioDriver } from '../testing/driver.ts'
import { FakePort } from '../testing/fake-port.ts'
import { attach } from '../testing/function.ts'
import type { AttachedFunction } from '../testing/function.ts'
import { PlainMemory } from '../testing/plain-memory.ts'
import { ConsoleFeature, VirtioConsole } from './console.ts'
import { ControlEvent } from './control.ts'

const memory = new PlainMemory(8 << 20)
let attached: AttachedFunction
let device: VirtioConsole
let driver: VirtioDriver

function start(built: VirtioConsole, features: readonly number[]): void {
  device = built
  attached = attach(device, memory)
  driver = new VirtioDriver(attached.device, memory).start(features)
}

/** Sends text on a queue; `pieces` buffers. */
function send(queue: number, text: string, pieces = 1): void {
  const at = driver.allocate(text.length)
  memory.write(gpa(at), new TextEncoder().encode(text))
  const size = Math.ceil(text.length / pieces)
  const buffers = Array.from({ length: pieces }, (_, n) => ({
    address: at + n * size, length: Math.min(size, text.length - n * size), writable: false,
  }))
  driver.queues[queue].add(buffers)
  driver.queues[queue].notify()
}

/** Gives a queue buffers to receive into, and returns how to read what came. */
function offer(queue: number, sizes: readonly number[]): () => string[] {
  const addresses = new Map(sizes.map((length) => {
    const address = driver.allocate(length)
    return [driver.queues[queue].add([{ address, length, writable: true }]), address]
  }))
  driver.queues[queue].notify()
  return () => driver.queues[queue].poll().map(({ head, length }) => {
    const at = addresses.get(head)!
    return String.fromCharCode(...memory.bytes.subarray(at, at + length))
  })
}

describe('a console', () => {
  let port: FakePort
  beforeEach(() => {
    port = new FakePort()
    start(new VirtioConsole({ console: port }), [ConsoleFeature.SIZE])
  })

  it('sends', () => {
    send(1, 'hello', 2)
    send(1, 'x'.repeat(10_000))
    expect([port.output, driver.queues[1].poll().length]).toEqual([('hello' + 'x'.repeat(10_000)).slice(-10_000), 2])
  })

  it('waits for a host that has no room, in the middle of a chain', () => {
    port.room = 7
    send(1, 'hello ')
    send(1, 'world')
    send(1, '!')
    expect([port.output, driver.queues[1].poll().length]).toEqual(['hello w', 1])
    port.room = 1
    device.ports[0].transmitReady()
    expect([port.output, driver.queues[1].poll().length]).toEqual(['hello wo', 0])
    port.room = 100
    device.ports[0].transmitReady()
    expect([port.output, driver.queues[1].poll().length]).toEqual(['hello world!', 2])
  })

  it('receives as far as there are buffers', () => {
    port.input = 'abcdefghij'
    const got = offer(0, [3, 4])
    expect([got(), port.input]).toEqual([['abc', 'defg'], 'hij'])
    const more = offer(0, [100])
    expect(more()).toEqual(['hij'])
    const later = offer(0, [100])
    expect([later(), driver.queues[0].notificationWanted]).toEqual([[], false])
    port.input = 'late'
    device.ports[0].receiveReady()
    expect(later()).toEqual(['late'])
  })

  it('gives back buffers that have no room', () => {
    port.input = 'a'
    driver.queues[0].add([{ address: driver.allocate(4), length: 4, writable: false }])
    const got = offer(0, [1])
    expect([got().length, port.input]).toEqual([2, ''])
  })

  it('has a size', () => {
    device.resize(132, 50)
    expect([driver.read(0x2000, 2), driver.read(0x2002, 2), driver.isr, driver.read(0x15, 1)]).toEqual([132, 50, 2, 1])
    device.resize(132, 50)
    expect(driver.isr).toBe(0)
  })

  it('writes in an emergency', () => {
    driver.status = 0
    driver.write(0x2008, 4, 0x41)
    expect(port.output).toBe('A')
  })

  it('refuses a chain that is too long to be meant', () => {
    const at = driver.allocate(0)
    driver.queues[1].add([0, 1].map(() => ({ address: at, length: 1 << 20, writable: false })))
    driver.queues[1].notify()
    expect(driver.status & DeviceStatus.DEVICE_NEEDS_RESET).not.toBe(0)
  })

  it('goes on after a restore in the middle of a chain', () => {
    port.room = 3
    send(1, 'hello')
    const other = new FakePort()
    const copy = attach(new VirtioConsole({ console: other }), memory)
    copy.device.restore(attached.device.save())
    copy.device.resume()
    expect([port.output + other.output, copy.device.registers.readMmio(0x1000, 1)]).toEqual(['hello', 1])
  })
})

describe('named ports', () => {
  const NAMES = ['org.qemu.guest_agent.0', 'second', 'third']
  let ports: FakePort[]
  let control: () => string[]

  beforeEach(() => {
    ports = NAMES.map(() => new FakePort())
    start(new VirtioConsole({ ports: NAMES.map((name, index) => ({ name, backend: ports[index] })) }), [ConsoleFeature.MULTIPORT])
    control = offer(2, Array.from({ length: 16 }, () => 100))
  })

  const tell = (id: number, event: number, value: number): void =>
    send(3, String.fromCharCode(id & 0xff, id >> 8, 0, 0, event, 0, value, 0))
  const heard = (): [number, number, number, string][] => control().map((text) => {
    const [id, , , , event, , value] = Array.from(text, (character) => character.charCodeAt(0))
    return [id, event, value, text.slice(8)]
  })

  it('are announced, named and opened', () => {
    expect([driver.read(0x2004, 4), driver.queues.length]).toEqual([3, 8])
    tell(0, ControlEvent.DEVICE_READY, 1)
    expect(heard()).toEqual([0, 1, 2].map((id) => [id, ControlEvent.DEVICE_ADD, 1, '']))
    device.ports[1].setConnected(true)
    tell(1, ControlEvent.PORT_READY, 1)
    const opened = [1, ControlEvent.PORT_OPEN, 1, '']
    expect(heard()).toEqual([opened, [1, ControlEvent.PORT_NAME, 1, 'second'], opened])
  })

  it('carry bytes, to the guest only while it listens', () => {
    send(5, 'from second')
    send(7, 'from third')
    send(1, 'from first')
    expect(ports.map(({ output }) => output)).toEqual(['from first', 'from second', 'from third'])
    ports[2].input = 'to third'
    const got = offer(6, [50])
    device.ports[2].receiveReady()
    expect(got()).toEqual([])
    tell(2, ControlEvent.PORT_OPEN, 1)
    expect([got(), ports[2].opened]).toEqual([['to third'], [true]])
    tell(2, ControlEvent.PORT_OPEN, 0)
    driver.status = 0
    expect(ports[2].opened).toEqual([true, false])
  })

  it('bear nonsense', () => {
    send(3, 'short')
    tell(3, ControlEvent.PORT_READY, 1)
    tell(999, ControlEvent.PORT_OPEN, 1)
    tell(0, 99, 1)
    tell(0, ControlEvent.DEVICE_READY, 0)
    expect([heard(), driver.status & DeviceStatus.DEVICE_NEEDS_RESET]).toEqual([[], 0])
  })

  it('keep news until there are buffers for them', () => {
    for (let n = 0; n < 16; n++) {
      device.ports[0].setConnected(n % 2 === 0)
    }
    expect(heard().length).toBe(16)
    for (let n = 0; n < 1000; n++) device.ports[0].setConnected(n % 2 === 0)
    control = offer(2, [100])
    expect(heard()).toEqual([[0, ControlEvent.PORT_OPEN, 0, '']])
  })

  it('have names that a guest can use', () => {
    const invalid = expect.objectContaining({ code: 'CONSOLE_PORTS_INVALID' })
    for (const name of ['', 'ä', 'a\n', 'x'.repeat(65)]) {
      expect(() => new VirtioConsole({ ports: [{ name, backend: ports[0] }] })).toThrow(invalid)
    }
    expect(() => new VirtioConsole({ ports: [] })).toThrow(invalid)
  })
})
