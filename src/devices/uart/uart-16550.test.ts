import { beforeEach, describe, expect, it } from 'vitest'
import { ModemInput } from '../../machine/serial.ts'
import type { SerialBackend } from '../../machine/serial.ts'
import { deviceContract } from '../testing/contract.ts'
import { RecordedLine } from '../testing/recorded-line.ts'
import { Uart16550 } from './uart-16550.ts'

/** A back end with a queue for each direction and a limit for the guest's output. */
class Terminal implements SerialBackend {
  readonly sent: number[] = []
  readonly typed: number[] = []
  readonly control: boolean[][] = []
  room = Infinity

  transmit(byte: number): boolean {
    if (this.room <= 0) return false
    this.room--
    this.sent.push(byte)
    return true
  }
  receive(): number { return this.typed.shift() ?? -1 }
  controlChanged(...lines: boolean[]): void { this.control.push(lines) }
  type(text: string): void { this.typed.push(...Array.from(text, (c) => c.charCodeAt(0))) }
}

const [DATA, IER, IIR, FCR, LCR, MCR, LSR, MSR] = [0, 1, 2, 2, 3, 4, 5, 6]
let line: RecordedLine
let terminal: Terminal
let uart: Uart16550

beforeEach(() => {
  line = new RecordedLine()
  terminal = new Terminal()
  uart = new Uart16550(line, terminal)
  uart.writeByte(MCR, 0x0b)
})

const write = (text: string): void => { for (const c of text) uart.writeByte(DATA, c.charCodeAt(0)) }

describe('transmitter', () => {
  it('sends at once and stays empty', () => {
    write('hi')
    expect(terminal.sent).toEqual([0x68, 0x69])
    expect(uart.readByte(LSR)).toBe(0x60)
  })

  it('interrupts when enabled while empty, once until acknowledged', () => {
    uart.writeByte(IER, 2)
    expect(line.rises).toBe(1)
    expect(uart.readByte(IIR)).toBe(0x02)
    expect(line.asserted).toBe(false)
    expect(uart.readByte(IIR)).toBe(0x01)
    uart.writeByte(IER, 0)
    uart.writeByte(IER, 2)
    expect(uart.readByte(IIR)).toBe(0x02)
  })

  it('gives an edge for every byte', () => {
    uart.writeByte(IER, 2)
    write('abc')
    expect([line.rises, line.falls]).toEqual([4, 3])
  })

  it('keeps THRE low while the back end is full', () => {
    uart.writeByte(FCR, 1)
    uart.writeByte(IER, 2)
    terminal.room = 2
    write('abcd')
    expect(uart.readByte(LSR) & 0x60).toBe(0)
    expect(line.asserted).toBe(false)
    terminal.room = 1
    uart.transmitReady()
    expect(uart.readByte(LSR) & 0x60).toBe(0)
    terminal.room = Infinity
    uart.transmitReady()
    expect(String.fromCharCode(...terminal.sent)).toBe('abcd')
    expect(uart.readByte(LSR)).toBe(0x60)
    expect(uart.readByte(IIR)).toBe(0xc2)
  })
})

describe('receiver', () => {
  const receive = (text: string): void => { terminal.type(text); uart.receiveReady() }

  it('takes one byte without FIFOs and the next when that is read', () => {
    uart.writeByte(IER, 1)
    receive('xyz')
    expect(terminal.typed.length).toBe(2)
    expect(uart.readByte(IIR)).toBe(0x04)
    expect([uart.readByte(DATA), uart.readByte(DATA), uart.readByte(DATA)]).toEqual([0x78, 0x79, 0x7a])
    expect(line.asserted).toBe(false)
    expect(uart.readByte(LSR)).toBe(0x60)
    expect(uart.readByte(DATA)).toBe(0)
  })

  it('tells data at the trigger level from a time-out below it', () => {
    uart.writeByte(FCR, 0x81)
    uart.writeByte(IER, 1)
    receive('1234567')
    expect(uart.readByte(IIR)).toBe(0xcc)
    receive('8')
    expect(uart.readByte(IIR)).toBe(0xc4)
    uart.readByte(DATA)
    expect(uart.readByte(IIR)).toBe(0xcc)
    for (let i = 0; i < 7; i++) uart.readByte(DATA)
    expect(uart.readByte(IIR)).toBe(0xc1)
  })

  it('is never overrun by a fast host', () => {
    uart.writeByte(FCR, 1)
    const text = Array.from({ length: 1000 }, (_, i) => String.fromCharCode(i & 127)).join('')
    receive(text)
    expect(terminal.typed.length).toBe(984)
    let read = ''
    while (uart.readByte(LSR) & 1) read += String.fromCharCode(uart.readByte(DATA))
    expect(read).toBe(text)
  })

  it('leaves bytes with the host while RTS is deasserted', () => {
    uart.writeByte(FCR, 1)
    uart.writeByte(MCR, 0x09)
    receive('stop')
    expect(uart.readByte(LSR) & 1).toBe(0)
    expect(terminal.typed.length).toBe(4)
    uart.writeByte(MCR, 0x0b)
    expect(uart.readByte(DATA)).toBe(0x73)
  })

  it('serves a guest that never touches the modem control register', () => {
    uart.reset()
    receive('a')
    expect(uart.readByte(LSR) & 1).toBe(1)
  })

  it('reports a break where it stands in the FIFO, as a line status interrupt', () => {
    uart.writeByte(FCR, 1)
    uart.writeByte(IER, 5)
    receive('a')
    expect(uart.receiveBreak()).toBe(true)
    expect(uart.readByte(LSR) & 0x91).toBe(0x81)
    uart.readByte(DATA)
    expect(uart.readByte(IIR)).toBe(0xc6)
    expect(uart.readByte(LSR) & 0x91).toBe(0x91)
    expect(uart.readByte(IIR)).toBe(0xc4)
    expect(uart.readByte(DATA)).toBe(0)
  })
})

it('orders interrupts: line status, data, transmitter, modem', () => {
  uart.writeByte(FCR, 1)
  uart.setModemInputs(0)
  uart.receiveBreak()
  uart.writeByte(IER, 0x0f)
  expect(uart.readByte(IIR)).toBe(0xc6)
  uart.readByte(LSR)
  expect(uart.readByte(IIR)).toBe(0xc4)
  uart.readByte(DATA)
  expect(uart.readByte(IIR)).toBe(0xc2)
  expect(uart.readByte(IIR)).toBe(0xc0)
  expect(uart.readByte(MSR)).toBe(0x0b)
  expect(uart.readByte(IIR)).toBe(0xc1)
  expect(line.asserted).toBe(false)
})

it('reports modem inputs, their changes and the ring indicator\'s trailing edge', () => {
  uart.setModemInputs(ModemInput.RI | ModemInput.CTS)
  expect(uart.readByte(MSR)).toBe(0x50 | 0x0a)
  uart.setModemInputs(ModemInput.CTS)
  expect(uart.readByte(MSR)).toBe(0x14)
  expect(uart.readByte(MSR)).toBe(0x10)
})

it('loops data, modem outputs and break back', () => {
  uart.writeByte(MCR, 0x1a)
  expect(uart.readByte(MSR) & 0xf0).toBe(0x90)
  write('q')
  expect(terminal.sent).toEqual([])
  expect(uart.readByte(DATA)).toBe(0x71)
  write('ab')
  expect(uart.readByte(LSR) & 0x03).toBe(0x03)
  expect(uart.readByte(DATA)).toBe(0x62)
  uart.writeByte(LCR, 0x40)
  expect(uart.readByte(LSR) & 0x11).toBe(0x11)
  expect(terminal.control.at(-1)).toEqual([false, false, true])
})

it('shows the divisor latch behind DLAB, and keeps absent bits zero', () => {
  uart.writeByte(LCR, 0x83)
  uart.writeByte(DATA, 0x0c)
  uart.writeByte(IER, 0x01)
  expect([uart.readByte(DATA), uart.readByte(IER), uart.readPort(0, 2)]).toEqual([0x0c, 1, 0x010c])
  uart.writeByte(LCR, 3)
  for (const register of [IER, MCR]) uart.writeByte(register, 0xff)
  expect([uart.readByte(IER), uart.readByte(MCR)]).toEqual([0x0f, 0x1f])
})

it('interrupts only through OUT2', () => {
  uart.writeByte(MCR, 0x03)
  uart.writeByte(IER, 2)
  expect(line.asserted).toBe(false)
  uart.writeByte(MCR, 0x0b)
  expect(line.asserted).toBe(true)
})

deviceContract('16550A', (world) => {
  const backend = new Terminal()
  backend.receive = () => world.clock.now() % 5 === 0 ? -1 : world.clock.now() % 251
  backend.transmit = () => world.clock.now() % 3 === 0
  const device = new Uart16550(world.line(), backend)
  return {
    device,
    ports: [{ device, length: 9 }],
    actions: [() => device.transmitReady(), () => device.receiveReady(), () => device.receiveBreak()],
  }
})
