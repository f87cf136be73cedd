/** External interrupts: when they come, what holds them back, NMI, I/O permission, timers (SDM Vol. 3A §6.7, §6.8). */
import { at, mem } from './assembler.ts'
import type { Assembler } from './assembler.ts'
import { Flag, Place, Selector } from './layout.ts'
import { DONE, Guest } from './monitor.ts'

const APIC = 0xfee00000
const Apic = {
  EOI: 0xb0, SPURIOUS: 0xf0, ICR_LOW: 0x300, ICR_HIGH: 0x310, TIMER: 0x320, LINT0: 0x350, INITIAL: 0x380, DIVIDE: 0x3e0,
} as const
const SELF = 0x40000
const NMI = 0x400
const IO_APIC = 0xfec00000
const [NMI_VECTOR, GP] = [2, 13]
const VECTOR = 0xa1

/** Writes a register of the local APIC; clobbers EBX in 64-bit mode, whose addresses are sign-extended. */
function apic(a: Assembler, register: number, value: number): void {
  poke(a, APIC + register, value)
}
function poke(a: Assembler, address: number, value: number): void {
  if (a.mode !== 64) return a.store(mem(address), value, 32)
  a.mov('rbx', BigInt(address))
  a.store(mem('rbx'), value, 32)
}

const send = (a: Assembler, command: number): void => apic(a, Apic.ICR_LOW, command)
const acknowledge = (a: Assembler): void => apic(a, Apic.EOI, 0)

function frame(g: Guest, flags: number, target: string): void {
  const { a } = g
  if (g.bits === 64) {
    a.push(Selector.DATA)
    a.push(Place.STACK0)
  }
  a.push(flags)
  a.push(g.bits === 64 ? Selector.CODE64 : Selector.CODE32)
  a.push(at(target))
}

/** Something is pending when the body begins, with IF clear; it must arrive at the label 'end'. */
function arrives(g: Guest, name: string, body: (a: Assembler, end: string) => void, flags = Flag.IF | 2): void {
  const { a } = g
  const end = a.fresh('end')
  g.probe(`arrives ${name}`, {
    setup: () => send(a, SELF | VECTOR), body: () => {
      body(a, end)
      for (let n = 0; n < 8; n++) a.nop()
      a.cli()
    },
    expect: { vector: VECTOR, rip: at(end), flags, flagsMask: 0x3f0700, error: -1 }, after: acknowledge,
  })
}

function addShadows(g: Guest): void {
  const { a } = g
  a.mov('ecx', 0)
  apic(a, Apic.SPURIOUS, 0x1ff)
  arrives(g, 'one instruction after STI', (_, end) => { a.sti(); a.nop(); a.label(end) })
  arrives(g, 'one instruction after STI, before CLI', (_, end) => { a.sti(); a.mov('ecx', 1); a.label(end); a.cli() })
  arrives(g, 'at HLT after STI', (_, end) => { a.sti(); a.hlt(); a.label(end) })
  arrives(g, 'at once after POPF', (_, end) => { a.push(Flag.IF | 2); a.popf(); a.label(end) })
  arrives(g, 'at once after IRET', (_, end) => { frame(g, Flag.IF | 2, end); a.iret(); a.label(end) })
  arrives(g, 'after MOV SS and one more, with STI before', (_, end) => {
    a.mov('eax', Selector.DATA)
    a.sti()
    a.nop()
    a.label(end)
  })
  arrives(g, 'after STI with IF set already', (_, end) => { a.push(Flag.IF | 2); a.popf(); a.label(end); a.sti() })
  g.probe('nothing arrives between STI and CLI', {
    setup: () => send(a, SELF | VECTOR), body: () => { a.sti(); a.cli(); a.nop(); a.nop() }, expect: { vector: DONE, flags: 2 },
  })
  g.probe('what was held back arrives later', {
    body: () => { a.sti(); a.nop(); a.label('later'); a.nop() }, expect: { vector: VECTOR, rip: at('later') }, after: acknowledge,
  })
  g.probe('arrives at level 3 whatever IOPL is', {
    ring: 3, flags: Flag.IF | 2, setup: () => send(a, SELF | VECTOR), body: () => { a.label('user-start'); a.nop(); a.nop() },
    expect: { vector: VECTOR, rip: at('user-start'), ss: Selector.USER_DATA }, after: acknowledge,
  })
  g.probe('the task priority holds it back', {
    setup: () => { apic(a, 0x80, 0xb0); send(a, SELF | VECTOR) }, body: () => { a.sti(); a.nop(); a.nop(); a.nop(); a.cli() },
    expect: { vector: DONE },
  })
  g.probe('a lower task priority lets it in', {
    body: () => { a.sti(); a.nop(); apic(a, 0x80, 0); for (let n = 0; n < 4; n++) a.nop(); a.hlt() }, expect: { vector: VECTOR },
    after: acknowledge,
  })
  g.probe('the higher vector comes first', {
    setup: () => { send(a, SELF | VECTOR); send(a, SELF | 0xc1) }, body: () => { a.sti(); a.nop(); a.label('first'); a.nop() },
    expect: { vector: 0xc1, rip: at('first') }, after: acknowledge,
  })
  g.probe('then the lower', {
    body: () => { a.sti(); a.nop(); a.label('second'); a.nop() }, expect: { vector: VECTOR, rip: at('second') }, after: acknowledge,
  })
}

/** Stores to the APIC's registers that make an event possible: it comes before the next instruction. */
function addDeviceStores(g: Guest): void {
  const { a } = g
  const arrivesAfter = (name: string, setup: () => void, store: () => void, vector: number, flags = Flag.IF | 2): void => {
    const next = a.fresh('next')
    const after = a.fresh('after')
    g.probe(`at once: ${name}`, {
      flags, setup, body: () => { store(); a.label(next); a.jmpShort(after); a.label(after); a.mov('ecx', 1) },
      expect: { vector, rip: at(next), rcx: 0, flags },
      after: vector === NMI_VECTOR ? undefined : () => acknowledge(a),
    })
  }
  const held = (): void => { apic(a, 0x80, 0xb0); send(a, SELF | VECTOR) }
  arrivesAfter('an interrupt to itself', () => undefined, () => send(a, SELF | VECTOR), VECTOR)
  arrivesAfter('a lower task priority', held, () => apic(a, 0x80, 0), VECTOR)
  const inService = (): void => { send(a, SELF | VECTOR); a.sti(); a.nop(); a.cli() }
  g.probe('at once: an interrupt whose end comes later', { body: inService, expect: { vector: VECTOR } })
  arrivesAfter('the end of an interrupt', () => send(a, SELF | (VECTOR - 1)), () => acknowledge(a), VECTOR - 1)
  arrivesAfter('an NMI to itself', () => apic(a, Apic.ICR_HIGH, 0), () => send(a, NMI), NMI_VECTOR, 2)
  frame(g, 2, 'nmi-is-over')
  a.iret()
  a.label('nmi-is-over')
  g.probe('at once: between the iterations of a repeated instruction, with RF', {
    flags: Flag.IF | 2, setup: () => {
      a.mov(g.bits === 64 ? 'rdi' : 'edi', BigInt(APIC + Apic.ICR_LOW))
      a.mov('eax', SELF | VECTOR)
      a.mov('ecx', 3)
    },
    body: () => { a.label('repeats'); a.db(0xf3, 0xab) },
    expect: { vector: VECTOR, rip: at('repeats'), rcx: 2, rdi: APIC + Apic.ICR_LOW + 4, flags: Flag.RF | Flag.IF | 2, flagsMask: 0x3f0700 },
    after: () => acknowledge(a),
  })
}

/** NMI: whatever IF says, once until IRET. */
function addNmi(g: Guest): void {
  const { a } = g
  const nmi = (): void => { apic(a, Apic.ICR_HIGH, 0); send(a, NMI) }
  g.probe('NMI arrives with IF clear', {
    body: () => { nmi(); for (let n = 0; n < 20; n++) a.nop() }, expect: { vector: NMI_VECTOR, error: -1 },
  })
  g.probe('a second NMI waits', { body: () => { nmi(); for (let n = 0; n < 20; n++) a.nop() }, expect: { vector: DONE } })
  g.probe('until IRET', {
    setup: () => frame(g, 2, 'after-iret'), body: () => { a.iret(); a.nop(); a.label('after-iret'); a.nop() },
    expect: { vector: NMI_VECTOR, rip: at('after-iret') },
  })
  if (g.notInQemu !== undefined) g.probe('IRET unblocks NMIs even if it faults', {
    setup: () => { frame(g, 2, 'after-iret'); a.store(mem(g.bits === 64 ? 'rsp' : 'esp', g.bits / 8), 0, 32) },
    body: () => a.iret(), expect: { vector: GP, error: 0 },
  })
  else {
    frame(g, 2, 'unblocked-first')
    a.iret()
    a.label('unblocked-first')
  }
  g.probe('so the next one comes', { body: () => { nmi(); for (let n = 0; n < 20; n++) a.nop() }, expect: { vector: NMI_VECTOR } })
  // Leave NMIs unblocked.
  frame(g, 2, 'unblocked')
  a.iret()
  a.label('unblocked')
  g.probe('NMI wakes from HLT', { body: () => { nmi(); a.hlt(); a.hlt() }, expect: { vector: NMI_VECTOR } })
  frame(g, 2, 'unblocked-again')
  a.iret()
  a.label('unblocked-again')
}

/** Timers wake HLT: the APIC's, the PIT by the PIC, the PIT by the I/O APIC, the RTC. */
function addTimers(g: Guest): void {
  const { a } = g
  const out = (port: number, value: number): void => { a.mov('eax', value); a.out(port) }
  const initializePic = (): void => {
    for (const [port, value] of [
      [0x20, 0x11], [0x21, 0x60], [0x21, 4], [0x21, 1], [0xa0, 0x11], [0xa1, 0x68], [0xa1, 2], [0xa1, 1],
    ]) out(port, value)
    out(0x21, 0xfb)
    out(0xa1, 0xff)
  }
  initializePic()
  const startPit = (): void => { out(0x43, 0x30); out(0x40, 0x40); out(0x40, 0) }
  const waits = (name: string, setup: () => void, vector: number, after: () => void): void => {
    const end = a.fresh('woken')
    g.probe(name, { setup, body: () => { a.sti(); a.hlt(); a.label(end); a.nop() }, expect: { vector, rip: at(end) }, after })
  }
  waits('the APIC timer wakes', () => {
    apic(a, Apic.DIVIDE, 0xb)
    apic(a, Apic.TIMER, 0xa2)
    apic(a, Apic.INITIAL, 20000)
  }, 0xa2, () => {
    apic(a, Apic.TIMER, 0x10000)
    acknowledge(a)
  })
  waits('the PIT wakes by the PIC and LINT0', () => {
    apic(a, Apic.LINT0, 0x700)
    out(0x21, 0xfe)
    startPit()
  }, 0x60, () => {
    out(0x20, 0x20)
    out(0x21, 0xff)
    apic(a, Apic.LINT0, 0x10000)
  })
  const redirect = (input: number, low: number): void => {
    poke(a, IO_APIC, 0x10 + input * 2)
    poke(a, IO_APIC + 0x10, low)
    poke(a, IO_APIC, 0x11 + input * 2)
    poke(a, IO_APIC + 0x10, 0)
  }
  waits('the PIT wakes by the I/O APIC', () => {
    redirect(2, 0xa3)
    startPit()
  }, 0xa3, () => {
    redirect(2, 0x10000)
    acknowledge(a)
  })
  waits('the RTC wakes by the slave PIC', () => {
    apic(a, Apic.LINT0, 0x700)
    for (const [index, value] of [[0x8a, 0x26], [0x8b, 0x42]]) { out(0x70, index); out(0x71, value) }
    out(0x21, 0xfb)
    out(0xa1, 0xfe)
  }, 0x68, () => {
    out(0x70, 0x8c)
    a.in(0x71)
    out(0x70, 0x8b)
    out(0x71, 0x02)
    out(0xa0, 0x20)
    out(0x20, 0x20)
    out(0x21, 0xff)
    out(0xa1, 0xff)
    apic(a, Apic.LINT0, 0x10000)
  })
}

/** The I/O permission map: each byte of an access, two bytes of map read, IOPL before it. */
function addPorts(g: Guest): void {
  const { a } = g
  const map = Place.TSS + 0x68
  const setup = (): void => {
    a.store(mem(Place.TSS + 102), 0x68, 16)
    a.store(mem(map + 0x10), 0xffff0000 | 0b0000_0001_0000_1000, 32)
    a.store(mem(map + 0x1fff), 0xff7f, 16)
  }
  const rows: readonly (readonly [string, number, 8 | 16 | 32, number, boolean])[] = [
    ['byte that is allowed', 0x80, 8, 0, true], ['byte that is not', 0x83, 8, 0, false],
    ['word across a forbidden byte', 0x82, 16, 0, false],
    ['word that is allowed', 0x84, 16, 0, true], ['doubleword across two bytes of the map', 0x86, 32, 0, false],
    ['word across two bytes of the map', 0x89, 16, 0, true],
    ['word whose second byte is in the next', 0x87, 16, 0, false], ['IOPL 3 asks no map', 0x83, 8, 3, true],
    ['the last port', 0xffff, 8, 0, true],
  ]
  for (const [name, port, bits, iopl, allowed] of rows) {
    g.probe(`ports: ${name}`, {
      ring: 3, flags: (iopl << 12) | 2, setup, body: () => {
        a.mov('edx', port)
        if (bits === 8) a.db(0xec)
        else if (bits === 16) a.db(0x66, 0xed)
        else a.db(0xed)
        a.mov('eax', 0)
      },
      expect: allowed ? { vector: DONE } : { vector: GP, error: 0 },
    })
  }
  g.probe('ports: a map beyond the TSS', {
    ring: 3, setup: () => { setup(); a.store(mem(Place.TSS + 102), 0x2069, 16) }, body: () => { a.mov('edx', 0x80); a.db(0xec) },
    expect: { vector: GP, error: 0 },
  })
  g.probe('ports: a forbidden INS does not touch memory', {
    ring: 3, setup, body: () => { a.mov('edx', 0x83); a.mov('edi', 0x3000000); a.db(0x6c) },
    expect: { vector: GP, error: 0, rdi: 0x3000000 },
  })
  g.probe('ports: REP OUTSB at level 3', {
    ring: 3, setup, body: () => { a.mov('edx', 0x80); a.mov('esi', Place.USER_DATA); a.mov('ecx', 5); a.db(0xf3, 0x6e) },
    expect: { vector: DONE, rcx: 0, rsi: Place.USER_DATA + 5 },
  })
  g.probe('ports: REP INSB into a page that is not there', {
    setup: () => { a.mov('edx', 0x80); a.mov('edi', 0x1000000 - 2); a.mov('ecx', 5) },
    body: () => { a.label('ins'); a.db(0xf3, 0x6c) },
    expect: { vector: 14, error: 2, cr2: 0x1000000, rcx: 3, rdi: 0x1000000, rip: at('ins') },
  })
}

export function interruptGuests(): Guest[] {
  const own = new Guest('NMI and a fault of IRET', 'long')
  own.notInQemu = 'leaves NMIs blocked when IRET faults'
  addNmi(own)
  const guests = (['legacy', 'long'] as const).map((mode) => {
    const g = new Guest(`interrupts ${mode}`, mode)
    addShadows(g)
    addDeviceStores(g)
    addNmi(g)
    addTimers(g)
    addPorts(g)
    return g
  })
  return [...guests, own]
}
