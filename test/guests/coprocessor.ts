/** x87 errors with CR0.NE clear: FERR#, IRQ 13, port 0xf0 and IGNNE#, as on a PC/AT (SDM Vol. 1 appendix D.2). */
import { at, mem } from './assembler.ts'
import { setCr0 } from './exceptions.ts'
import { Flag, Place } from './layout.ts'
import { DONE, Guest } from './monitor.ts'

const NE = 0x20
const APIC = 0xfee00000
const Apic = { EOI: 0xb0, SPURIOUS: 0xf0, TIMER: 0x320, LINT0: 0x350, INITIAL: 0x380, DIVIDE: 0x3e0 } as const
const TIMER_VECTOR = 0xa2
const IRQ13_VECTOR = 0x6d
const MF = 16
const WAITING: Readonly<Record<string, readonly number[]>> = { FWAIT: [0x9b], FLD1: [0xd9, 0xe8], EMMS: [0x0f, 0x77] }
const ENABLED = { flags: Flag.IF | 2 } as const

function apic(g: Guest, register: number, value: number): void {
  const { a } = g
  const base = g.bits === 64 ? 'rbx' : 'ebx'
  a.mov(base, BigInt(APIC + register))
  a.store(mem(base), value, 32)
}

function out(g: Guest, port: number, value: number): void {
  g.a.mov('eax', value)
  g.a.out(port)
}

/** The PICs at vectors 60 and 68, all masked but the slave and IRQ 13, and LINT0 as their INTR. */
function initialize(g: Guest): void {
  const words = [
    [0x20, 0x11], [0x21, 0x60], [0x21, 4], [0x21, 1], [0xa0, 0x11], [0xa1, 0x68], [0xa1, 2], [0xa1, 1], [0x21, 0xfb], [0xa1, 0xdf],
  ]
  for (const [port, value] of words) out(g, port, value)
  apic(g, Apic.SPURIOUS, 0x1ff)
  apic(g, Apic.LINT0, 0x700)
}

/** 1 / 0 with its exception unmasked: pending, and not reported yet. */
function divideByZero(g: Guest): void {
  const { a } = g
  a.db(0xdb, 0xe3)
  a.store(mem(Place.DATA + 0x210), 0x37b, 16)
  a.mov('ebx', Place.DATA + 0x210)
  a.db(0xd9, 0x2b, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9)
  a.mov('ebx', 0)
}

const endOfInterrupt = (g: Guest): void => { out(g, 0xa0, 0x20); out(g, 0x20, 0x20) }
const clear = (g: Guest): void => g.a.db(0xdb, 0xe2, 0xdb, 0xe3)

function addInterrupt(g: Guest, name: string, bytes: readonly number[]): void {
  const { a } = g
  const label = a.fresh('waits')
  g.probe(`IRQ 13 comes before ${name}`, {
    ...ENABLED, setup: () => divideByZero(g), body: () => { a.label(label); a.db(...bytes); a.jmpShort(`${label}.on`); a.label(`${label}.on`) },
    expect: { vector: IRQ13_VECTOR, rip: at(label) }, after: () => { out(g, 0xf0, 0); clear(g); endOfInterrupt(g) },
  })
}

function addIgnored(g: Guest): void {
  const { a } = g
  g.probe('the error that is ignored next', {
    ...ENABLED, setup: () => divideByZero(g), body: () => { a.db(0x9b); a.nop() }, expect: { vector: IRQ13_VECTOR },
    after: () => { out(g, 0xf0, 0); endOfInterrupt(g) },
  })
  g.probe('after a write to port 0xf0 x87 instructions go on', {
    ...ENABLED, body: () => { a.db(0x9b, 0xd9, 0xe8); a.nop(); a.mov('ecx', 1) }, expect: { vector: DONE, rcx: 1 }, after: () => clear(g),
  })
  g.probe('until the error was cleared: the next one interrupts', {
    ...ENABLED, setup: () => divideByZero(g), body: () => { a.db(0x9b); a.nop() }, expect: { vector: IRQ13_VECTOR },
    after: () => { clear(g); endOfInterrupt(g) },
  })
  g.probe('IRQ 13 stays latched until the write', {
    ...ENABLED, setup: () => divideByZero(g), body: () => { a.db(0xdb, 0xe2, 0x9b); a.mov('ecx', 1) }, expect: { vector: DONE, rcx: 1 },
    after: () => { out(g, 0xf0, 0); clear(g) },
  })
}

/** With IRQ 13 masked the processor stands still until another interrupt comes. */
function addStandstill(g: Guest): void {
  const { a } = g
  const label = a.fresh('stands')
  g.probe('any interrupt ends the standstill', {
    ...ENABLED, setup: () => {
      out(g, 0xa1, 0xff)
      apic(g, Apic.DIVIDE, 0xb)
      apic(g, Apic.TIMER, TIMER_VECTOR)
      divideByZero(g)
      apic(g, Apic.INITIAL, 20_000)
    },
    body: () => { a.label(label); a.db(0x9b); a.mov('ecx', 1) }, expect: { vector: TIMER_VECTOR, rip: at(label), rcx: 0 },
    after: () => {
      apic(g, Apic.TIMER, 0x10000)
      apic(g, Apic.EOI, 0)
      clear(g)
      out(g, 0xf0, 0)
      out(g, 0xa1, 0xdf)
    },
  })
}

export function coprocessorGuests(): Guest[] {
  return (['legacy', 'long'] as const).map((mode) => {
    const g = new Guest(`coprocessor ${mode}`, mode, { cr4: 0x600 })
    g.notInQemu = 'ends with a failed assertion when FERR# is asserted (7.2)'
    initialize(g)
    setCr0(g, 0, NE)
    for (const [name, bytes] of Object.entries(WAITING)) addInterrupt(g, name, bytes)
    addIgnored(g)
    addStandstill(g)
    const label = g.a.fresh('mf')
    g.probe('with NE set again it is #MF', {
      setup: () => { setCr0(g, NE); divideByZero(g) }, body: () => { g.a.label(label); g.a.db(0x9b) }, expect: { vector: MF, rip: at(label) },
      after: () => clear(g),
    })
    return g
  })
}
