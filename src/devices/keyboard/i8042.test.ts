import { beforeEach, describe, expect, it } from 'vitest'
import { deviceContract } from '../testing/contract.ts'
import { RecordedLine } from '../testing/recorded-line.ts'
import { I8042 } from './i8042.ts'
import { Port92 } from './port-92.ts'

let irq1: RecordedLine
let irq12: RecordedLine
let resets: number
let controller: I8042

beforeEach(() => {
  irq1 = new RecordedLine()
  irq12 = new RecordedLine()
  resets = 0
  controller = new I8042({ keyboardLine: irq1, auxiliaryLine: irq12, resetMachine: () => { resets++ } })
})

const status = (): number => controller.readByte(4)
const command = (value: number): void => controller.writeByte(4, value)
const data = (value: number): void => controller.writeByte(0, value)
const answer = (): number[] => {
  const bytes: number[] = []
  while (status() & 1) bytes.push(controller.readByte(0))
  return bytes
}
const ask = (...bytes: number[]): number[] => { command(bytes[0]); bytes.slice(1).forEach(data); return answer() }

describe('controller', () => {
  it('passes its tests', () => {
    expect([ask(0xaa), ask(0xab), ask(0xa9), ask(0xc0), ask(0xd0)]).toEqual([[0x55], [0], [0], [0x80], [0xc3]])
  })

  it('keeps its command byte and memory', () => {
    expect(ask(0x20)).toEqual([0x65])
    expect([ask(0x60, 0x47), ask(0x20), ask(0x7f, 0x5a), ask(0x3f)]).toEqual([[], [0x47], [], [0x5a]])
    ask(0xad); ask(0xa7)
    expect(ask(0x20)).toEqual([0x77])
    ask(0xae); ask(0xa8)
    expect(ask(0x20)).toEqual([0x47])
  })

  it('shows in the status what was written and what is waiting', () => {
    expect(status()).toBe(0x14)
    command(0xaa)
    expect(status()).toBe(0x1d)
    answer()
    ask(0xd3, 0x5a)
    command(0xd3)
    data(0x5a)
    expect(status()).toBe(0x35)
    expect(answer()).toEqual([0x5a])
  })

  it('loops the auxiliary port back with IRQ 12, and times out what is sent to it', () => {
    ask(0x60, 0x47)
    command(0xd3)
    data(0xa5)
    expect([irq12.asserted, irq1.asserted, answer(), irq12.asserted]).toEqual([true, false, [0xa5], false])
    command(0xd4)
    data(0xf2)
    expect([status() & 0x61, answer(), status() & 0x41]).toEqual([0x61, [0xfe], 0])
  })

  it('resets the machine through its output port', () => {
    command(0xff)
    ask(0xd1, 0x03)
    expect([resets, ask(0xd0)]).toEqual([0, [0xc3]])
    ask(0xdd)
    expect(ask(0xd0)).toEqual([0xc1])
    ask(0xd1, 0x02)
    command(0xfe)
    expect(resets).toBe(2)
  })
})

describe('keyboard', () => {
  it('resets, identifies itself (translated or not) and takes parameters', () => {
    data(0xff)
    expect(answer()).toEqual([0xfa, 0xaa])
    data(0xf2)
    expect(answer()).toEqual([0xfa, 0xab, 0x41])
    ask(0x60, 0x05)
    data(0xf2)
    expect(answer()).toEqual([0xfa, 0xab, 0x83])
    data(0xed); data(7)
    expect(answer()).toEqual([0xfa, 0xfa])
    data(0xf0); data(0)
    expect(answer()).toEqual([0xfa, 0xfa, 2])
    data(0xee); data(0xea); data(0xf4)
    expect(answer()).toEqual([0xee, 0xfe, 0xfa])
    data(0xfe)
    expect(answer()).toEqual([0xfa])
  })

  it('gives an edge of IRQ 1 for every byte', () => {
    data(0xf2)
    expect(irq1.rises).toBe(1)
    answer()
    expect([irq1.rises, irq1.falls]).toEqual([3, 3])
  })

  it('waits while its clock is off; a byte to it turns it on', () => {
    data(0xff)
    expect(ask(0xad)).toEqual([0xfa])
    data(0xee)
    expect(answer()).toEqual([0xaa, 0xee])
  })
})

it('port 0x92 resets at the rise of bit 0', () => {
  const port = new Port92(() => { resets++ })
  port.writeByte(0, 0x03)
  port.writeByte(0, 0xff)
  expect([resets, port.readByte(0)]).toEqual([1, 3])
  port.writeByte(0, 0)
  port.writeByte(0, 1)
  expect([resets, port.readByte(0)]).toEqual([2, 1])
})

deviceContract('8042', (world) => {
  const device = new I8042({ keyboardLine: world.line(), auxiliaryLine: world.line(), resetMachine: world.event('reset') })
  return { device, ports: [{ device, length: 6 }], actions: [(random) => device.writeByte(0, 0xe8 + random.below(24))] }
})

deviceContract('port 0x92', (world) => {
  const device = new Port92(world.event('reset'))
  return { device, ports: [{ device, length: 2 }] }
})
