import { beforeEach, describe, expect, it } from 'vitest'
import { deviceContract } from '../testing/contract.ts'
import { FakeClock } from '../testing/fake-clock.ts'
import { RecordedLine } from '../testing/recorded-line.ts'
import { PIT_RATE } from '../ticks.ts'
import { Pit8254 } from './pit-8254.ts'
import { SystemControlPortB } from './system-control-port-b.ts'

let clock: FakeClock
let line: RecordedLine
let pit: Pit8254
let portB: SystemControlPortB

beforeEach(() => {
  clock = new FakeClock(1_000_000)
  line = new RecordedLine()
  pit = new Pit8254(line, clock)
  portB = new SystemControlPortB(pit.counter2, clock)
})

const ticks = (count: number): void => clock.advanceTo(PIT_RATE.timeOf(PIT_RATE.ticksAt(clock.now()) + count))
const control = (value: number): void => pit.writeByte(3, value)
const load = (counter: number, count: number): void => { pit.writeByte(counter, count & 0xff); pit.writeByte(counter, count >> 8) }
const read = (counter: number): number => pit.readByte(counter) | pit.readByte(counter) << 8
const latched = (counter: number): number => { control(counter << 6); return read(counter) }
const out2 = (): boolean => (portB.readByte(0) & 0x20) !== 0

describe('counting', () => {
  it('mode 2 divides by N: counts N to 1 and reloads', () => {
    control(0x34)
    load(0, 5)
    const seen: number[] = []
    for (let i = 0; i < 11; i++) { ticks(1); seen.push(latched(0)) }
    expect(seen).toEqual([5, 4, 3, 2, 1, 5, 4, 3, 2, 1, 5])
  })

  it('mode 3 counts down by two, twice a period', () => {
    control(0xb6)
    portB.writeByte(0, 1)
    load(2, 6)
    const seen: [number, boolean][] = []
    for (let i = 0; i < 7; i++) { ticks(1); seen.push([latched(2), out2()]) }
    expect(seen).toEqual([[6, true], [4, true], [2, true], [6, false], [4, false], [2, false], [6, true]])
  })

  it('mode 3 with an odd count is high one tick longer', () => {
    control(0xb6)
    portB.writeByte(0, 1)
    load(2, 5)
    const seen: boolean[] = []
    for (let i = 0; i < 6; i++) { ticks(1); seen.push(out2()) }
    expect(seen).toEqual([true, true, true, false, false, true])
  })

  it('mode 0 raises OUT after N + 1 ticks, once, and goes on counting', () => {
    control(0x30)
    load(0, 3)
    ticks(3)
    expect([line.rises, latched(0)]).toEqual([0, 1])
    ticks(1)
    expect([line.rises, latched(0)]).toEqual([1, 0])
    ticks(1)
    expect([line.rises, latched(0)]).toEqual([1, 0xffff])
    load(0, 2)
    expect(line.asserted).toBe(false)
  })

  it('mode 1 is a one-shot on GATE, which a new trigger prolongs', () => {
    control(0xb2)
    load(2, 4)
    expect(out2()).toBe(true)
    portB.writeByte(0, 1)
    ticks(1)
    expect(out2()).toBe(false)
    ticks(2)
    portB.writeByte(0, 0)
    portB.writeByte(0, 1)
    ticks(4)
    expect(out2()).toBe(false)
    ticks(1)
    expect(out2()).toBe(true)
  })

  it('mode 4 strobes low for one tick', () => {
    control(0xb8)
    portB.writeByte(0, 1)
    load(2, 2)
    const seen: boolean[] = []
    for (let i = 0; i < 5; i++) { ticks(1); seen.push(out2()) }
    expect(seen).toEqual([true, true, false, true, true])
  })

  it('mode 5 strobes after a trigger', () => {
    control(0xba)
    load(2, 2)
    ticks(10)
    expect(out2()).toBe(true)
    portB.writeByte(0, 1)
    ticks(3)
    expect(out2()).toBe(false)
    ticks(1)
    expect(out2()).toBe(true)
  })

  it('stops while GATE is low in mode 0', () => {
    control(0xb0)
    portB.writeByte(0, 1)
    load(2, 100)
    ticks(11)
    portB.writeByte(0, 0)
    ticks(50)
    expect(latched(2)).toBe(90)
    portB.writeByte(0, 1)
    ticks(90)
    expect(out2()).toBe(true)
  })

  it('counts in decimal', () => {
    control(0x35)
    load(0, 0x1000)
    ticks(2)
    expect(latched(0)).toBe(0x0999)
  })

  it('takes a new count at the end of the period in mode 2', () => {
    control(0x34)
    load(0, 4)
    ticks(6)
    load(0, 10)
    expect(latched(0)).toBe(3)
    ticks(3)
    expect(latched(0)).toBe(10)
    ticks(9)
    expect(latched(0)).toBe(1)
    ticks(1)
    expect(latched(0)).toBe(10)
  })

  it('takes 0 as 65536', () => {
    control(0x34)
    load(0, 0)
    ticks(2)
    expect(latched(0)).toBe(0xffff)
  })
})

describe('reading', () => {
  it('holds a latched count until it is read', () => {
    control(0x34)
    load(0, 1000)
    ticks(1)
    control(0)
    ticks(10)
    control(0)
    expect(read(0)).toBe(1000)
    expect(read(0)).toBe(990)
  })

  it('reads back status and count, status first', () => {
    control(0x34)
    load(0, 1000)
    ticks(101)
    control(0xc2)
    expect(pit.readByte(0)).toBe(0xb4)
    expect(read(0)).toBe(900)
  })

  it('reports NULL COUNT until the count is loaded', () => {
    control(0x34)
    control(0xe2)
    expect(pit.readByte(0)).toBe(0xf4)
    load(0, 1000)
    ticks(1)
    control(0xe2)
    expect(pit.readByte(0)).toBe(0xb4)
  })

  it('reads and writes one byte where the control word says so', () => {
    control(0x14)
    pit.writeByte(0, 0x80)
    ticks(1)
    expect([pit.readByte(0), pit.readByte(0)]).toEqual([0x80, 0x80])
    control(0x24)
    pit.writeByte(0, 0x12)
    ticks(1)
    expect(pit.readByte(0)).toBe(0x12)
  })
})

describe('interrupts', () => {
  it('come at 100 Hz without drift', () => {
    control(0x34)
    load(0, 11932)
    const before = line.rises
    clock.advance(10e9)
    expect(line.rises - before).toBe(999)
    expect(line.asserted).toBe(true)
  })

  it('are bounded however short the period', () => {
    control(0x34)
    load(0, 1)
    clock.advance(1e6)
    expect(line.rises).toBeLessThan(120)
    expect(line.rises).toBeGreaterThan(80)
  })

  it('need no timer in a counter that has run out', () => {
    control(0x30)
    load(0, 10)
    clock.advance(1e9)
    expect(clock.nextDeadline()).toBe(Infinity)
  })
})

it('port B keeps its control bits and toggles refresh', () => {
  portB.writeByte(0, 0xff)
  expect(portB.readByte(0) & 0xcf).toBe(0x0f)
  const before = portB.readByte(0) & 0x10
  clock.advance(15_085)
  expect(portB.readByte(0) & 0x10).not.toBe(before)
})

deviceContract('8254', (world) => {
  const device = new Pit8254(world.line(), world.clock)
  return {
    device,
    ports: [{ device, length: 5 }],
    actions: [(random) => device.counter2.setGate(random.below(2) === 1), () => device.counter2.output()],
  }
})

deviceContract('system control port B', (world) => {
  const counter2 = { setGate: (gate: boolean) => world.events.push(`gate ${gate}`), output: () => world.clock.now() % 2 === 0 }
  const device = new SystemControlPortB(counter2, world.clock)
  return { device, ports: [{ device, length: 2 }] }
})
