import { beforeEach, describe, expect, it } from 'vitest'
import { deviceContract } from '../testing/contract.ts'
import { ApicBus } from './apic-bus.ts'
import type { BusAgent } from './apic-bus.ts'
import { IoApic } from './io-apic.ts'

/** A local APIC that writes down what it is sent. */
class Recorder implements BusAgent {
  readonly arbitrationPriority = 0
  readonly taken: number[][] = []
  willing = true

  matches(destination: number, logical: boolean): boolean { return !logical && destination === 5 }
  accept(mode: number, vector: number, levelTriggered: boolean): boolean {
    if (this.willing) this.taken.push([mode, vector, Number(levelTriggered)])
    return this.willing
  }
}

let bus: ApicBus
let cpu: Recorder
let ioApic: IoApic

beforeEach(() => {
  bus = new ApicBus()
  cpu = new Recorder()
  bus.attach(cpu)
  ioApic = new IoApic(bus, 1)
})

const read = (register: number): number => { ioApic.writeMmio(0, 4, register); return ioApic.readMmio(0x10, 4) }
const write = (register: number, value: number): void => { ioApic.writeMmio(0, 4, register); ioApic.writeMmio(0x10, 4, value) }
const route = (pin: number, low: number, destination = 5): void => {
  write(0x11 + 2 * pin, destination << 24)
  write(0x10 + 2 * pin, low)
}

describe('I/O APIC', () => {
  it('identifies itself', () => {
    expect([read(0), read(1), read(2), read(0x10), read(0x3f), read(0x40)]).toEqual([1 << 24, 0x170020, 1 << 24, 0x10000, 0, 0])
    write(0, 0xff000000)
    expect(read(0)).toBe(0x0f000000)
  })

  it('delivers each edge once', () => {
    route(4, 0x34)
    const pin = ioApic.pin(4)
    pin.setLevel(true)
    pin.setLevel(true)
    expect(cpu.taken).toEqual([[0, 0x34, 0]])
    pin.setLevel(false)
    pin.setLevel(true)
    expect(cpu.taken.length).toBe(2)
  })

  it('loses edges while masked, and delivers levels when unmasked', () => {
    ioApic.pin(4).setLevel(true)
    route(4, 0x34)
    expect(cpu.taken).toEqual([])
    ioApic.pin(9).setLevel(true)
    route(9, 0x8039)
    expect(cpu.taken).toEqual([[0, 0x39, 1]])
  })

  it('holds a level back by remote IRR until EOI', () => {
    route(9, 0x8039)
    const pin = ioApic.pin(9)
    pin.setLevel(true)
    expect(read(0x22)).toBe(0xc039)
    pin.setLevel(false)
    pin.setLevel(true)
    expect(cpu.taken.length).toBe(1)
    bus.broadcastEoi(0x38)
    expect(cpu.taken.length).toBe(1)
    bus.broadcastEoi(0x39)
    expect([cpu.taken.length, read(0x22)]).toEqual([2, 0xc039])
    pin.setLevel(false)
    ioApic.writeMmio(0x40, 4, 0x39)
    expect([cpu.taken.length, read(0x22)]).toEqual([2, 0x8039])
  })

  it('loses remote IRR when the entry becomes edge-triggered', () => {
    route(9, 0x8039)
    ioApic.pin(9).setLevel(true)
    write(0x22, 0x10039)
    write(0x22, 0x18039)
    expect(read(0x22)).toBe(0x18039)
    write(0x22, 0x8039)
    expect(cpu.taken.length).toBe(2)
  })

  it('keeps read-only bits out of writes', () => {
    write(0x22, 0xffffffff)
    write(0x23, 0xffffffff)
    expect([read(0x22), read(0x23)]).toEqual([0x1afff, 0xff000000])
  })

  it('sends to the destination, broadcasts to 0xff, and does not set remote IRR when nobody takes it', () => {
    route(9, 0x8039, 6)
    ioApic.pin(9).setLevel(true)
    expect([cpu.taken.length, read(0x22)]).toEqual([0, 0x8039])
    route(3, 0x33, 0xff)
    ioApic.pin(3).setLevel(true)
    expect(cpu.taken).toEqual([[0, 0x33, 0]])
  })

  it('passes NMI and ExtINT on without remote IRR', () => {
    route(2, 0x8400)
    route(0, 0x700)
    ioApic.pin(2).setLevel(true)
    ioApic.pin(0).setLevel(true)
    expect([cpu.taken, read(0x14)]).toEqual([[[4, 0, 0], [7, 0, 0]], 0x8400])
  })
})

deviceContract('I/O APIC', (world) => {
  const apicBus = new ApicBus()
  apicBus.attach({
    matches: (destination) => destination < 128, arbitrationPriority: 0,
    accept: (mode, vector, level) => { world.events.push(`${mode} ${vector} ${level}`); return vector > 15 },
  })
  const device = new IoApic(apicBus, 0)
  return {
    device,
    mmio: [{ device, length: 0x100, likely: [0, 0, 0x10, 0x10, 0x40] }],
    wires: [0, 1, 2, 9, 16, 23].map((pin) => device.pin(pin)),
    actions: [
      (random) => apicBus.broadcastEoi(random.below(256)),
      (random) => device.writeMmio(0, 1, 0x10 + random.below(48)),
    ],
  }
})
