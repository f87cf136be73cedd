import { beforeEach, describe, expect, it } from 'vitest'
import { deviceContract } from '../testing/contract.ts'
import { RecordedLine } from '../testing/recorded-line.ts'
import { PicPair } from './pic-pair.ts'

let intr: RecordedLine
let pic: PicPair

/** ICW1 to ICW4 as a PC's software writes them: vectors 0x20 and 0x28. */
function initialize(icw4 = 1): void {
  for (const [ports, base, icw3] of [[pic.master, 0x20, 4], [pic.slave, 0x28, 2]] as const) {
    ports.writePort(0, 1, 0x11)
    ports.writePort(1, 1, base)
    ports.writePort(1, 1, icw3)
    ports.writePort(1, 1, icw4)
  }
}

beforeEach(() => {
  intr = new RecordedLine()
  pic = new PicPair(intr)
  initialize()
})

const raise = (irq: number): void => pic.irq(irq).setLevel(true)
const lower = (irq: number): void => pic.irq(irq).setLevel(false)
const pulse = (irq: number): void => { lower(irq); raise(irq) }
const command = (value: number): void => pic.master.writePort(0, 1, value)
const inService = (): number => { command(0x0b); return pic.master.readPort(0, 1) }

describe('8259A pair', () => {
  it('delivers an edge once', () => {
    raise(4)
    expect([intr.asserted, pic.hasPending(), pic.acknowledge()]).toEqual([true, true, 0x24])
    expect([intr.asserted, inService()]).toEqual([false, 0x10])
    command(0x20)
    expect([intr.asserted, inService()]).toEqual([false, 0])
  })

  it('lets a higher priority interrupt one in service, and not a lower one', () => {
    raise(4)
    pic.acknowledge()
    raise(6)
    expect(intr.asserted).toBe(false)
    raise(1)
    expect(pic.acknowledge()).toBe(0x21)
    command(0x20)
    expect(intr.asserted).toBe(false)
    command(0x20)
    expect(pic.acknowledge()).toBe(0x26)
  })

  it('cascades the slave', () => {
    raise(8)
    expect(pic.acknowledge()).toBe(0x28)
    expect(inService()).toBe(4)
    raise(10)
    expect(pic.hasPending()).toBe(false)
    pic.slave.writePort(0, 1, 0x20)
    command(0x20)
    expect(pic.acknowledge()).toBe(0x2a)
  })

  it('does not lose a second request of a slave that ends interrupts by itself', () => {
    initialize(3)
    raise(9)
    raise(11)
    expect([pic.acknowledge(), pic.acknowledge(), pic.hasPending()]).toEqual([0x29, 0x2b, false])
  })

  it('gives a spurious IRQ 7 without in-service bit when a request goes away', () => {
    raise(3)
    expect(intr.asserted).toBe(true)
    lower(3)
    expect(pic.acknowledge()).toBe(0x27)
    expect(inService()).toBe(0)
  })

  it('masks, and remembers the edge while masked', () => {
    pic.master.writePort(1, 1, 0x10)
    raise(4)
    expect(intr.asserted).toBe(false)
    expect(pic.master.readPort(0, 1)).toBe(0x10)
    pic.master.writePort(1, 1, 0)
    expect(intr.asserted).toBe(true)
    expect(pic.master.readPort(1, 1)).toBe(0)
  })

  it('repeats a level until it goes away', () => {
    pic.edgeLevel.writePort(0, 2, 0xffff)
    expect(pic.edgeLevel.readPort(0, 2)).toBe(0xdef8)
    raise(5)
    expect(pic.acknowledge()).toBe(0x25)
    command(0x20)
    expect(pic.acknowledge()).toBe(0x25)
    lower(5)
    command(0x20)
    expect(intr.asserted).toBe(false)
  })

  it('ends interrupts by itself in AEOI mode, and rotates if told', () => {
    initialize(3)
    command(0x80)
    raise(0)
    raise(1)
    expect([pic.acknowledge(), inService()]).toEqual([0x20, 0])
    pulse(0)
    expect([pic.acknowledge(), pic.acknowledge()]).toEqual([0x21, 0x20])
  })

  it('rotates priorities on command', () => {
    command(0xc2)
    raise(2 + 1)
    raise(0)
    expect(pic.acknowledge()).toBe(0x23)
    command(0xa0)
    pulse(3)
    raise(4)
    expect(pic.acknowledge()).toBe(0x24)
    command(0x64)
    expect(pic.acknowledge()).toBe(0x20)
    command(0xe0)
    expect(pic.acknowledge()).toBe(0x23)
  })

  it('lets lower priorities through in special mask mode', () => {
    raise(1)
    pic.acknowledge()
    raise(6)
    expect(intr.asserted).toBe(false)
    pic.master.writePort(1, 1, 0x02)
    command(0x68)
    expect(pic.acknowledge()).toBe(0x26)
    command(0x20)
    expect(inService()).toBe(0x02)
    command(0x48)
    command(0x20)
    expect(inService()).toBe(0)
  })

  it('nests within the slave in special fully nested mode', () => {
    initialize(0x11)
    raise(12)
    pic.acknowledge()
    raise(9)
    expect(pic.acknowledge()).toBe(0x29)
  })

  it('acknowledges by polling', () => {
    raise(6)
    command(0x0c)
    expect(pic.master.readPort(0, 1)).toBe(0x86)
    expect(inService()).toBe(0x40)
    command(0x0c)
    expect(pic.master.readPort(1, 1)).toBe(0)
  })

  it('is silent before and during initialization', () => {
    const fresh = new PicPair(intr)
    fresh.irq(1).setLevel(true)
    expect([fresh.hasPending(), fresh.acknowledge()]).toEqual([false, -1])
    raise(1)
    expect(intr.asserted).toBe(true)
    command(0x11)
    expect([intr.asserted, pic.acknowledge()]).toEqual([false, -1])
  })

  it('needs a new edge after initialization', () => {
    raise(1)
    initialize()
    expect(intr.asserted).toBe(false)
    pulse(1)
    expect(intr.asserted).toBe(true)
  })
})

deviceContract('8259A pair', (world) => {
  const device = new PicPair(world.line())
  const lines = [0, 1, 3, 4, 7, 8, 9, 15].map((irq) => device.irq(irq))
  return {
    device,
    ports: [device.master, device.slave, device.edgeLevel].map((ports) => ({ device: ports, length: 3 })),
    actions: [() => device.hasPending(), () => device.acknowledge()],
    wires: lines,
  }
})
