import { beforeEach, describe, expect, it } from 'vitest'
import { deviceContract } from '../testing/contract.ts'
import { FakeClock } from '../testing/fake-clock.ts'
import { RecordedPins } from '../testing/recorded-pins.ts'
import { ApicBus } from './apic-bus.ts'
import { LocalApic } from './local-apic.ts'

const [ID, VERSION, TPR, PPR, EOI, LDR, DFR, SVR, ISR, TMR, IRR, ESR, ICR, ICR_HIGH] = [
  0x20, 0x30, 0x80, 0xa0, 0xb0, 0xd0, 0xe0, 0xf0, 0x100, 0x180, 0x200, 0x280, 0x300, 0x310]
const [LVT_TIMER, LVT_LINT0, LVT_LINT1, LVT_ERROR, INITIAL, CURRENT, DIVIDE] = [0x320, 0x350, 0x360, 0x370, 0x380, 0x390, 0x3e0]
const [APIC_BASE, TSC_DEADLINE] = [0x1b, 0x6e0]

let clock: FakeClock
let bus: ApicBus
let external: number[]
let relocations: [number, boolean][]

interface Cpu { apic: LocalApic, pins: RecordedPins }

function cpu(id: number): Cpu {
  const pins = new RecordedPins()
  const apic = new LocalApic({
    id, bootProcessor: id === 0, physicalAddressBits: 40, clock, bus, pins,
    acknowledgeExternal: () => external.shift() ?? -1,
    timeOfTsc: (tsc) => Number(tsc) - 1000,
    relocated: (base, visible) => { relocations.push([base, visible]) },
  })
  return { apic, pins }
}

let apic: LocalApic
let pins: RecordedPins
const read = (offset: number, from = apic): number => from.readMmio(offset, 4)
const write = (offset: number, value: number, to = apic): void => to.writeMmio(offset, 4, value)
const send = (vector: number, level = false): boolean => bus.deliver(0, false, 0, vector, level)
const x2apic = (): void => { apic.writeMsr(APIC_BASE, 0xfee00d00n) }

beforeEach(() => {
  clock = new FakeClock(5000)
  bus = new ApicBus()
  external = []
  relocations = []
  ;({ apic, pins } = cpu(0))
  write(SVR, 0x1ff)
})

describe('priorities', () => {
  it('takes the highest vector first and blocks its class until EOI', () => {
    send(0x31)
    send(0x45)
    send(0x41)
    expect(pins.intr).toBe(true)
    expect(apic.acknowledge()).toBe(0x45)
    expect([read(PPR), read(ISR + 0x20), read(IRR + 0x20), pins.intr]).toEqual([0x40, 0x20, 0x02, false])
    expect(apic.acknowledge()).toBe(-1)
    send(0x50)
    expect(apic.acknowledge()).toBe(0x50)
    write(EOI, 0)
    expect(apic.acknowledge()).toBe(-1)
    write(EOI, 0)
    expect([apic.acknowledge(), read(PPR)]).toEqual([0x41, 0x40])
  })

  it('holds back classes up to the task priority', () => {
    write(TPR, 0x5f)
    send(0x58)
    expect([pins.intr, read(PPR)]).toEqual([false, 0x5f])
    apic.cr8 = 4
    expect([pins.intr, read(TPR), apic.cr8]).toEqual([true, 0x40, 4])
  })

  it('keeps one instance in service and one waiting', () => {
    send(0x60)
    apic.acknowledge()
    send(0x60)
    send(0x60)
    write(EOI, 0)
    expect(apic.acknowledge()).toBe(0x60)
    write(EOI, 0)
    expect(apic.hasPending()).toBe(false)
  })

  it('takes nothing while software-disabled, but keeps what is pending', () => {
    send(0x70)
    write(SVR, 0xff)
    expect([send(0x80), pins.intr, read(LVT_LINT0)]).toEqual([false, true, 0x10000])
    write(LVT_LINT0, 0x700)
    expect(read(LVT_LINT0)).toBe(0x10700)
  })
})

describe('end of interrupt', () => {
  it('is broadcast for level-triggered vectors only, unless suppressed', () => {
    const ended: number[] = []
    bus.onEoi((vector) => ended.push(vector))
    const serve = (vector: number, level: boolean): void => { send(vector, level); apic.acknowledge(); write(EOI, 0) }
    serve(0x30, true)
    expect(read(TMR + 0x10)).toBe(0x10000)
    serve(0x30, false)
    expect([ended, read(TMR + 0x10)]).toEqual([[0x30], 0])
    write(SVR, 0x11ff)
    serve(0x31, true)
    expect(ended).toEqual([0x30])
    write(EOI, 0)
  })
})

describe('errors', () => {
  it('are latched by writing ESR, and interrupt once until then', () => {
    write(LVT_ERROR, 0xfe)
    expect(send(5)).toBe(false)
    expect([read(ESR), apic.acknowledge()]).toEqual([0, 0xfe])
    write(EOI, 0)
    write(ICR, 0x4000 | 3)
    read(0x2f0)
    expect(pins.intr).toBe(false)
    write(ESR, 0)
    expect(read(ESR)).toBe(0xe0)
    write(0x3f0, 1)
    expect(apic.acknowledge()).toBe(0xfe)
    write(ESR, 0)
    write(ESR, 0)
    expect(read(ESR)).toBe(0)
  })
})

describe('timer', () => {
  it('counts down once, divided', () => {
    write(LVT_TIMER, 0x40)
    write(DIVIDE, 0x3)
    write(INITIAL, 1000)
    clock.advance(4000)
    expect([read(CURRENT), read(INITIAL)]).toEqual([750, 1000])
    write(DIVIDE, 0xb)
    clock.advance(749)
    expect([read(CURRENT), pins.intr]).toEqual([1, false])
    clock.advance(1)
    expect([read(CURRENT), apic.acknowledge()]).toEqual([0, 0x40])
    write(EOI, 0)
    clock.advance(1e9)
    expect([pins.intr, clock.nextDeadline()]).toEqual([false, Infinity])
  })

  it('repeats in periodic mode, without drift', () => {
    write(LVT_TIMER, 0x20040)
    write(INITIAL, 500_000)
    let count = 0
    for (let i = 0; i < 1000; i++) {
      clock.advance(77_777)
      while (apic.acknowledge() >= 0) { count++; write(EOI, 0) }
    }
    expect(count).toBe(Math.floor(77_777 * 1000 / 1_000_000))
    write(INITIAL, 0)
    expect(clock.nextDeadline()).toBe(Infinity)
  })

  it('survives the shortest period', () => {
    write(LVT_TIMER, 0x20040)
    write(DIVIDE, 0xb)
    write(INITIAL, 1)
    clock.advance(1e7)
    expect(pins.intr).toBe(true)
  })

  it('loses an interrupt while masked', () => {
    write(LVT_TIMER, 0x10040)
    write(INITIAL, 10)
    clock.advance(100)
    write(LVT_TIMER, 0x40)
    expect(pins.intr).toBe(false)
  })

  it('fires at a TSC deadline, which then reads 0', () => {
    write(LVT_TIMER, 0x40040)
    expect(apic.writeMsr(TSC_DEADLINE, 16_000n)).toBe(true)
    write(INITIAL, 5)
    expect([read(INITIAL), apic.readMsr(TSC_DEADLINE), clock.nextDeadline()]).toEqual([0, 16_000n, 15_000])
    clock.advanceTo(14_999)
    expect(pins.intr).toBe(false)
    clock.advanceTo(15_000)
    expect([apic.acknowledge(), apic.readMsr(TSC_DEADLINE)]).toEqual([0x40, 0n])
  })

  it('disarms a TSC deadline by 0 or by another mode, and ignores it in that', () => {
    write(LVT_TIMER, 0x40040)
    apic.writeMsr(TSC_DEADLINE, 16_000n)
    apic.writeMsr(TSC_DEADLINE, 0n)
    expect(clock.nextDeadline()).toBe(Infinity)
    apic.writeMsr(TSC_DEADLINE, 16_000n)
    write(LVT_TIMER, 0x40)
    expect([clock.nextDeadline(), apic.readMsr(TSC_DEADLINE)]).toEqual([Infinity, 0n])
    expect(apic.writeMsr(TSC_DEADLINE, 16_000n)).toBe(true)
    expect(clock.nextDeadline()).toBe(Infinity)
  })

  it('goes on after a restore: the count, the period and the deadline', () => {
    write(LVT_TIMER, 0x20040)
    write(INITIAL, 50_000)
    clock.advance(30_000)
    const copy = cpu(0)
    copy.apic.restore(apic.save())
    expect(read(CURRENT, copy.apic)).toBe(35_000)
    clock.advance(70_000)
    expect([apic.acknowledge(), copy.apic.acknowledge()]).toEqual([0x40, 0x40])
    write(LVT_TIMER, 0x40041, copy.apic)
    copy.apic.writeMsr(TSC_DEADLINE, 900_000n)
    const third = cpu(0)
    third.apic.restore(copy.apic.save())
    write(EOI, 0, third.apic)
    clock.advanceTo(899_000)
    expect(third.apic.acknowledge()).toBe(0x41)
  })

  it('fires at once for a deadline that has passed', () => {
    write(LVT_TIMER, 0x40040)
    apic.writeMsr(TSC_DEADLINE, 1n)
    clock.advance(0)
    expect(apic.acknowledge()).toBe(0x40)
  })
})

describe('local pins', () => {
  it('passes the external controller through LINT0 as ExtINT', () => {
    apic.enterVirtualWireMode()
    external = [0x08]
    apic.lint0.setLevel(true)
    expect([pins.intr, apic.acknowledge()]).toEqual([true, 0x08])
    apic.lint0.setLevel(false)
    expect([pins.intr, read(ISR)]).toEqual([false, 0])
    write(LVT_LINT0, 0x10700)
    apic.lint0.setLevel(true)
    expect(pins.intr).toBe(false)
  })

  it('takes NMI on LINT1 at the edge', () => {
    write(LVT_LINT1, 0x400)
    apic.lint1.setLevel(true)
    apic.lint1.setLevel(true)
    expect(pins.events).toEqual(['NMI'])
  })

  it('repeats a level on LINT0 after EOI', () => {
    write(LVT_LINT0, 0x8055)
    apic.lint0.setLevel(true)
    expect([apic.acknowledge(), read(LVT_LINT0)]).toEqual([0x55, 0xc055])
    expect(pins.intr).toBe(false)
    write(EOI, 0)
    expect(apic.acknowledge()).toBe(0x55)
    apic.lint0.setLevel(false)
    write(EOI, 0)
    expect([pins.intr, read(LVT_LINT0)]).toEqual([false, 0x8055])
  })

  it('are INTR and NMI while the APIC is disabled', () => {
    apic.writeMsr(APIC_BASE, 0xfee00100n)
    external = [9]
    apic.lint0.setLevel(true)
    apic.lint1.setLevel(true)
    expect([pins.intr, pins.events, apic.acknowledge()]).toEqual([true, ['NMI'], 9])
    expect([read(VERSION), bus.deliver(0, false, 4, 0, false)]).toEqual([0xffffffff, false])
  })
})

describe('inter-processor interrupts', () => {
  let other: Cpu
  let third: Cpu

  beforeEach(() => {
    other = cpu(1)
    third = cpu(2)
    for (const each of [other, third]) write(SVR, 0x1ff, each.apic)
  })

  const waiting = (): number[] => [apic, other.apic, third.apic].map((each) => each.acknowledge())

  it('reach a physical destination, everyone, or a shorthand', () => {
    write(ICR_HIGH, 2 << 24)
    write(ICR, 0x4050)
    expect(waiting()).toEqual([-1, -1, 0x50])
    write(ICR_HIGH, 0xff000000)
    write(ICR, 0x4061)
    expect(waiting()).toEqual([0x61, 0x61, 0x61])
    write(ICR, 0x44072)
    write(ICR, 0x84083)
    write(ICR, 0xc4094)
    expect(waiting()).toEqual([0x83, 0x94, 0x94])
    expect([read(IRR + 0x40), read(IRR + 0x30), read(IRR + 0x40, other.apic)]).toEqual([0, 1 << 18, 8])
  })

  it('reach logical destinations, flat and clustered', () => {
    write(LDR, 0x01000000)
    write(LDR, 0x02000000, other.apic)
    write(LDR, 0x04000000, third.apic)
    write(ICR_HIGH, 0x06000000)
    write(ICR, 0x4850)
    expect(waiting()).toEqual([-1, 0x50, 0x50])
    for (const [each, ldr] of [[apic, 0x11], [other.apic, 0x12], [third.apic, 0x21]] as const) {
      write(DFR, 0x0fffffff, each)
      write(LDR, ldr << 24, each)
    }
    write(ICR_HIGH, 0x13000000)
    write(ICR, 0x4861)
    expect(waiting()).toEqual([0x61, 0x61, -1])
  })

  it('give a lowest-priority interrupt to one processor', () => {
    write(TPR, 0x20)
    write(TPR, 0x10, third.apic)
    write(TPR, 0x30, other.apic)
    write(ICR_HIGH, 0xff000000)
    write(ICR, 0x4150)
    expect(waiting()).toEqual([-1, -1, 0x50])
  })

  it('start another processor: INIT, de-assert, SIPI', () => {
    write(LVT_LINT0, 0x700, other.apic)
    write(ICR_HIGH, 1 << 24)
    write(ICR, 0xc500)
    write(ICR, 0x8500)
    write(ICR, 0x4699)
    write(ICR, 0x4400)
    expect([other.pins.events, pins.events]).toEqual([['INIT', 'SIPI 153', 'NMI'], []])
    expect([read(LVT_LINT0, other.apic), read(SVR, other.apic), read(ID, other.apic)]).toEqual([0x10000, 0xff, 1 << 24])
  })
})

describe('messages', () => {
  it('are writes to 0xfeexxxxx', () => {
    bus.sendMessage(0xfee00000, 0x4051)
    expect(apic.acknowledge()).toBe(0x51)
    bus.sendMessage(0xfee01000, 0x52)
    bus.sendMessage(0xfec00000, 0x53)
    expect(pins.intr).toBe(false)
    bus.sendMessage(0xfeeff000, 0x8154)
    expect([pins.intr, read(TMR + 0x20)]).toEqual([false, 0x100000])
    write(EOI, 0)
    expect(apic.acknowledge()).toBe(0x54)
  })

  it('with ExtINT fetch the vector from the external controller', () => {
    external = [0x20]
    bus.sendMessage(0xfee00000, 0x700)
    expect([pins.intr, apic.acknowledge(), pins.intr]).toEqual([true, 0x20, false])
  })
})

describe('modes', () => {
  it('change along the legal transitions only', () => {
    expect(apic.readMsr(APIC_BASE)).toBe(0xfee00900n)
    expect(apic.writeMsr(APIC_BASE, 0xfee00400n)).toBe(false)
    expect(apic.writeMsr(APIC_BASE, 0xfee00a00n)).toBe(false)
    expect(apic.writeMsr(APIC_BASE, 1n << 40n | 0x900n)).toBe(false)
    expect(apic.writeMsr(APIC_BASE, 0x1_0000_0800n)).toBe(true)
    expect(relocations).toEqual([[0x1_0000_0000, true]])
    expect(apic.writeMsr(APIC_BASE, 0xfee00d00n)).toBe(true)
    expect([apic.mode, apic.writeMsr(APIC_BASE, 0xfee00900n)]).toEqual(['x2apic', false])
    expect(apic.writeMsr(APIC_BASE, 0xfee00100n)).toBe(true)
    expect([apic.mode, apic.readMsr(APIC_BASE)]).toEqual(['disabled', 0xfee00100n])
    expect(apic.writeMsr(APIC_BASE, 0xfee00d00n)).toBe(false)
    expect(apic.writeMsr(APIC_BASE, 0xfee00900n)).toBe(true)
    expect([read(SVR), relocations.at(-1)]).toEqual([0xff, [0xfee00000, true]])
  })

  it('x2APIC registers are MSRs, with reserved bits checked', () => {
    expect([apic.readMsr(0x802), apic.writeMsr(0x808, 0x20n)]).toEqual([null, false])
    x2apic()
    expect([apic.readMsr(0x802), apic.readMsr(0x803), apic.readMsr(0x80d)]).toEqual([0n, 0x1050015n, 1n])
    expect([apic.writeMsr(0x808, 0x20n), apic.readMsr(0x808), apic.readMsr(0x80a)]).toEqual([true, 0x20n, 0x20n])
    const refused: [number, bigint][] = [
      [0x808, 0x100n], [0x802, 0n], [0x80b, 1n], [0x828, 1n], [0x80e, 0n], [0x831, 0n], [0x832, 0x80000n], [0x83e, 4n], [0x839, 0n],
      [0x838, 1n << 32n], [0x830, 0x100000n], [0x8ff, 0n],
    ]
    expect(refused.filter(([msr, value]) => apic.writeMsr(msr, value))).toEqual([])
    expect([0x80b, 0x80e, 0x831, 0x83f, 0x840, 0x800].filter((msr) => apic.readMsr(msr) !== null)).toEqual([])
  })

  it('x2APIC sends by 32-bit destinations and to itself', () => {
    const other = cpu(0x123)
    other.apic.writeMsr(APIC_BASE, 0xfee00c00n)
    other.apic.writeMsr(0x80f, 0x1ffn)
    x2apic()
    apic.writeMsr(0x830, 0x123n << 32n | 0x4055n)
    expect(other.apic.acknowledge()).toBe(0x55)
    expect([other.apic.readMsr(0x80d), apic.readMsr(0x830)]).toEqual([0x12_0008n, 0x123_0000_4055n])
    apic.writeMsr(0x830, 0x12_0008n << 32n | 0x4866n)
    expect(other.apic.acknowledge()).toBe(0x66)
    apic.writeMsr(0x83f, 0x77n)
    expect(apic.acknowledge()).toBe(0x77)
    expect([apic.writeMsr(0x80b, 0n), apic.readMsr(0x813)]).toEqual([true, 0n])
    bus.deliverNarrow(0xff, false, 0, 0x88, false)
    expect([apic.acknowledge(), other.apic.acknowledge()]).toEqual([0x88, 0x88])
  })
})

deviceContract('local APIC', (world) => {
  const apicBus = new ApicBus()
  const recorded = new RecordedPins()
  const line = world.line()
  const device = new LocalApic({
    id: 3, bootProcessor: true, physicalAddressBits: 40, clock: world.clock, bus: apicBus,
    pins: {
      interrupt: (pending) => line.setLevel(pending),
      nonMaskableInterrupt: world.event('NMI'), initialize: world.event('INIT'), startUp: (vector) => recorded.startUp(vector),
    },
    acknowledgeExternal: () => world.clock.now() % 300 - 20 < 256 ? world.clock.now() % 200 : -1,
    timeOfTsc: (tsc) => Number(tsc),
    relocated: () => undefined,
  })
  apicBus.onEoi((vector) => world.events.push(`EOI ${vector}`))
  const likely = Array.from({ length: 0x40 }, (_, i) => i * 16).concat([SVR, SVR, LVT_TIMER, LVT_TIMER, INITIAL, EOI, TPR])
  return {
    device,
    mmio: [{ device, length: 0x1000, likely }],
    wires: [device.lint0, device.lint1],
    actions: [
      (random) => apicBus.deliver(3, false, random.below(8), random.below(256), random.below(2) === 1),
      (random) => device.readMsr(random.pick([APIC_BASE, TSC_DEADLINE, 0x800 + random.below(0x100)])),
      (random) => device.writeMsr(random.pick([APIC_BASE, TSC_DEADLINE, 0x800 + random.below(0x40)]), BigInt(random.value())),
      (random) => device.writeMsr(APIC_BASE, random.pick([0xfee00800n, 0xfee00800n, 0xfee00c00n, 0n])),
      (random) => device.writeMsr(TSC_DEADLINE, BigInt(world.clock.now() + random.below(100000))),
      (random) => device.writeMmio(SVR, 4, 0x1ff & random.value() | 0x100),
      () => device.acknowledge(), () => device.hasPending(), () => device.cr8,
      (random) => { device.cr8 = random.below(16) },
    ],
  }
})
