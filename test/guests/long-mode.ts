/** Long mode: far transfers between 64-bit and compatibility mode and privilege levels, interrupt stacks, fast system calls. */
import { at, mem } from './assembler.ts'
import type { Assembler } from './assembler.ts'
import { Access, Flag, Flags, Gate, Place, Selector, gate, segment } from './layout.ts'
import { DONE, Guest } from './monitor.ts'
import type { Expectation } from './monitor.ts'

const [UD, NP, SS, GP] = [6, 11, 12, 13]
const { BIG, LONG, PAGES } = Flags
const FREE = Selector.FREE
const Own = {
  BOTH: FREE, ABSENT: FREE + 8, CODE16: FREE + 16, CONFORMING: FREE + 24, USER_CODE16: (FREE + 32) | 3,
  USER_DATA16: (FREE + 40) | 3,
  GATE: FREE + 0x40, GATE32: FREE + 0x50, GATE_ABSENT: FREE + 0x60, GATE16: FREE + 0x70, GATE_INNER: FREE + 0x80, TSS2: FREE + 0x90,
} as const
const Msr = { EFER: 0xc0000080, STAR: 0xc0000081, LSTAR: 0xc0000082, FMASK: 0xc0000084, CS: 0x174, ESP: 0x175, EIP: 0x176 } as const
const HOLE = 0x800000000000n
const INNER = Place.INNER_STACK - 0x4000
/** 32-bit and 16-bit code of level 0. */
const CODE = Place.CODE + 0x60000

function define(g: Guest): void {
  const flat = (selector: number, access: number, flags: number): void =>
    g.gdt(selector, segment(0, 0xfffff, access, flags | PAGES))
  flat(Own.BOTH, Access.CODE, LONG | BIG)
  flat(Own.ABSENT, 0x1a, LONG)
  flat(Own.CODE16, Access.CODE, 0)
  flat(Own.CONFORMING, 0x9e, LONG)
  flat(Own.USER_CODE16, 0xfa, 0)
  flat(Own.USER_DATA16, 0xf2, 0)
  g.gdt(Own.TSS2, segment(Place.DATA, 0x67, Access.TSS32))
}

/** A far pointer to a label (or an offset) in memory, m16:64. */
function pointer(a: Assembler, to: Parameters<Assembler['mov']>[1], selector: number): void {
  a.mov('rax', to)
  a.mov(mem(Place.USER_DATA), 'rax')
  a.store(mem(Place.USER_DATA + 8), selector, 16)
  a.mov('eax', 0)
}

const wideFar = (a: Assembler, digit: 3 | 5): void => a.raw([0xff], digit, mem(Place.USER_DATA), 64)

/** Sets up STAR and its like. SYSENTER's segments begin at 0x18, SYSRET's at 0x28. */
function fast(g: Guest, target: string, mask = 0x700n): void {
  const { a } = g
  a.wrmsr(Msr.EFER, 0xd01n)
  a.wrmsr(Msr.STAR, 0x0028001800000000n)
  a.wrmsr(Msr.LSTAR, at(target))
  a.wrmsr(Msr.FMASK, mask)
  a.wrmsr(Msr.CS, 0x18n)
  a.wrmsr(Msr.ESP, BigInt(INNER - 0x1000))
  a.wrmsr(Msr.EIP, at(target))
  for (const name of ['eax', 'ecx', 'edx']) a.mov(name, 0)
}

function code(g: Guest, bits: 16 | 32 | 64, write: (a: Assembler) => void): string {
  const label = g.a.fresh('code')
  g.elsewhere(bits === 16 ? Place.CODE16 : CODE + (bits === 32 ? 0x8000 : 0), bits, (a) => {
    a.label(label)
    write(a)
    a.int(DONE)
  })
  return label
}

function addJumps(g: Guest): void {
  const { a } = g
  const target64 = code(g, 64, () => a.mov('rbx', 'rsp'))
  const target32 = code(g, 32, () => { a.db(0x48); a.db(0x89, 0xe3) })
  const far = (name: string, to: Parameters<Assembler['mov']>[1], selector: number, digit: 3 | 5, expect: Expectation): void => {
    const label = a.fresh('far')
    g.probe(`${digit === 5 ? 'JMP' : 'CALL'}: ${name}`, {
      setup: () => pointer(a, to, selector), body: () => { a.label(label); wideFar(a, digit); a.label(`${label}.back`) },
      expect: expect.vector === DONE ? expect : { rip: at(label), rsp: Place.STACK0, cs: Selector.CODE64, ...expect },
    })
  }
  for (const digit of [5, 3] as const) {
    const pushed = digit === 3 ? 16 : 0
    far('to 64-bit code', at(target64), Selector.CODE64, digit, {
      vector: DONE, cs: Selector.CODE64, rsp: Place.STACK0 - pushed, rbx: Place.STACK0 - pushed,
    })
    far('to compatibility mode', at(target32), Selector.CODE32, digit, {
      vector: DONE, cs: Selector.CODE32, rsp: Place.STACK0 - pushed, rax: 0xffffffff,
    })
    far('to a segment that is both', at(target64), Own.BOTH, digit, { vector: GP, error: Own.BOTH })
    far('to absent code', at(target64), Own.ABSENT, digit, { vector: NP, error: Own.ABSENT })
    far('to nothing', at(target64), 0, digit, { vector: GP, error: 0 })
    far('to a non-canonical address', HOLE, Selector.CODE64, digit, { vector: GP, error: 0 })
    far('beyond 4 GiB of compatibility mode', 0x100000000n, Selector.CODE32, digit, { vector: GP, error: 0 })
    far('to a TSS', 0, Selector.TSS, digit, { vector: GP, error: Selector.TSS })
    far('to an available TSS', 0, Own.TSS2, digit, { vector: GP, error: Own.TSS2 })
    far('through a gate', 0, Own.GATE, digit, { vector: DONE, cs: Selector.CODE64, rsp: Place.STACK0 - pushed })
    far('through a gate to 32-bit code', 0, Own.GATE32, digit, { vector: GP, error: Selector.CODE32 })
    far('through an absent gate', 0, Own.GATE_ABSENT, digit, { vector: NP, error: Own.GATE_ABSENT })
    far('through a 16-bit gate', 0, Own.GATE16, digit, { vector: GP, error: Own.GATE16 })
  }
  patches.push(() => {
    g.gdt(Own.GATE, gate(Gate.CALL32, 3, Selector.CODE64, a.addressOf(target64)))
    g.gdt(Own.GATE32, gate(Gate.CALL32, 3, Selector.CODE32, a.addressOf(target32)))
    g.gdt(Own.GATE_ABSENT, gate(Gate.CALL32, 3, Selector.CODE64, a.addressOf(target64), 0, false))
    g.gdt(Own.GATE16, gate(Gate.CALL16, 3, Selector.CODE64, a.addressOf(target64) & 0xffff))
    g.gdt(Own.GATE_INNER, gate(Gate.CALL32, 3, Selector.CODE64, a.addressOf(target64)))
  })
  for (const bytes of [[0x9a], [0xea]]) g.probe(`far ${bytes[0] === 0xea ? 'JMP' : 'CALL'} with an immediate`, {
    body: () => a.db(...bytes, 0, 0, 0, 0, 8, 0), expect: { vector: UD },
  })
}
const patches: (() => void)[] = []

/** Through a gate to level 0: a null SS, 8-byte slots; from 64-bit and compatibility mode. */
function addGates(g: Guest): void {
  const { a } = g
  for (const bits of [64, 32] as const) {
    g.probe(`CALL: through a gate to level 0 from ${bits}-bit code`, {
      ring: 3, bits, setup: () => pointer(a, 0, Own.GATE_INNER | 3),
      body: () => { if (bits === 64) wideFar(a, 3); else a.farCall(Own.GATE_INNER | 3, 0) },
      expect: { vector: DONE, cs: Selector.CODE64, ss: 0, rsp: INNER - 32, rbx: INNER - 32 },
    })
  }
  const returns = code(g, 64, () => a.farReturn(64))
  patches.push(() => g.gdt(Own.GATE_INNER + 0x20, gate(Gate.CALL32, 3, Selector.CODE64, a.addressOf(returns))))
  for (const bits of [64, 32] as const) {
    const back = a.fresh('back')
    g.probe(`RETFQ to level 3 of ${bits}-bit code`, {
      ring: 3, bits, setup: () => pointer(a, 0, (Own.GATE_INNER + 0x20) | 3),
      body: () => { if (bits === 64) wideFar(a, 3); else a.farCall((Own.GATE_INNER + 0x20) | 3, 0); a.label(back) },
      expect: {
        vector: DONE, rip: at(back, 2), cs: bits === 64 ? Selector.USER_CODE64 : Selector.USER_CODE32, ss: Selector.USER_DATA,
        rsp: Place.USER_STACK,
      },
    })
  }
  const label = a.fresh('gate')
  g.probe('CALL: a gate to level 0 with a stack that is not canonical', {
    ring: 3,
    setup: () => { pointer(a, 0, Own.GATE_INNER | 3); a.mov('rbx', HOLE); a.mov(mem(Place.TSS + 4), 'rbx'); a.mov('ebx', 0) },
    body: () => { a.label(label); wideFar(a, 3) }, expect: { vector: SS, error: 0, rip: at(label), rsp: Place.USER_STACK },
    after: () => { a.mov('eax', INNER); a.mov(mem(Place.TSS + 4), 'rax') },
  })
}

/** IRETQ, IRETD and IRET to every place. */
function addReturns(g: Guest): void {
  const { a } = g
  const target64 = code(g, 64, () => undefined)
  const target32 = code(g, 32, () => undefined)
  const user64 = g.inUserPages(64, () => a.int(DONE))
  const user32 = g.inUserPages(32, () => a.int(DONE))
  const frame = (
    ss: number, rsp: Parameters<Assembler['push']>[0], flags: number, cs: number, rip: Parameters<Assembler['push']>[0],
  ): void => {
    for (const value of [ss, rsp, flags, cs, rip]) a.push(value)
  }
  const back = (name: string, ss: number, rsp: number, cs: number, label: string, expect: Expectation): void => {
    const own = a.fresh('iretq')
    g.probe(`IRETQ: ${name}`, {
      setup: () => frame(ss, rsp, 2, cs, at(label)), body: () => { a.label(own); a.iret() },
      expect: expect.vector === DONE ? { cs, ss, rsp, ...expect } : { rip: at(own), rsp: Place.STACK0 - 40, ...expect },
    })
  }
  back('same level', Selector.DATA, Place.STACK0 - 0x40, Selector.CODE64, target64, { vector: DONE })
  back('same level with a null SS', 0, Place.STACK0, Selector.CODE64, target64, { vector: DONE })
  back('same level to compatibility mode', Selector.DATA, Place.STACK0, Selector.CODE32, target32, { vector: DONE })
  back('level 3', Selector.USER_DATA, Place.USER_STACK, Selector.USER_CODE64, user64, { vector: DONE, ds: 0, es: 0 })
  back('level 3 of compatibility mode', Selector.USER_DATA, Place.USER_STACK, Selector.USER_CODE32, user32, { vector: DONE })
  back('level 3 with a null SS', 3, Place.USER_STACK, Selector.USER_CODE64, user64, { vector: GP, error: 0 })
  back('compatibility mode with a null SS', 0, Place.STACK0, Selector.CODE32, target32, { vector: GP, error: 0 })
  back('a null SS with another RPL', 1, Place.STACK0, Selector.CODE64, target64, { vector: GP, error: 0 })
  back('code that is both', Selector.DATA, Place.STACK0, Own.BOTH, target64, { vector: GP, error: Own.BOTH })
  back('absent code', Selector.DATA, Place.STACK0, Own.ABSENT, target64, { vector: NP, error: Own.ABSENT })
  back('SS of another level', Selector.USER_DATA, Place.STACK0, Selector.CODE64, target64, {
    vector: GP, error: Selector.USER_DATA & ~3,
  })
  g.probe('IRETQ with NT', {
    setup: () => { frame(Selector.DATA, Place.STACK0, 2, Selector.CODE64, at(target64)); a.push(0x4002) },
    body: () => { a.popf(); a.iret() },
    expect: { vector: GP, error: 0, flags: 0x4002 | Flag.RF },
  })
  g.probe('IRETD in 64-bit mode pops five', {
    setup: () => {
      a.sub('rsp', 32)
      ;[at(target64), Selector.CODE64, 2, Place.STACK0, Selector.DATA].forEach((value, n) => a.store(mem('rsp', n * 4), value, 32))
    },
    body: () => a.iret(32), expect: { vector: DONE, cs: Selector.CODE64, ss: Selector.DATA, rsp: Place.STACK0 },
  })
  g.probe('IRETQ to a 16-bit stack loads SP alone', {
    setup: () => frame(Own.USER_DATA16, Place.USER_STACK, 2, Selector.USER_CODE32, at(user32)), body: () => a.iret(),
    expect: { vector: DONE, ss: Own.USER_DATA16, rsp: ((Place.STACK0 - 40) & 0xffff0000) | (Place.USER_STACK & 0xffff) },
  })
}

/** Interrupts from every mode: the frame has SS:RSP always, RSP is aligned, IST n. */
function addInterrupts(g: Guest): void {
  const { a } = g
  const unaligned = (offset: number): void => {
    a.store(mem(Place.IDT + 0x33 * 16 + 4), 0, 8)
    a.sub('rsp', offset)
  }
  const restore = (): void => a.store(mem(Place.IDT + 0x33 * 16 + 4), 1, 8)
  for (const offset of [0, 1, 8, 15]) {
    const label = a.fresh('int')
    g.probe(`INT aligns RSP that is off by ${offset}`, {
      setup: () => unaligned(offset), body: () => { a.int(0x33); a.label(label) },
      expect: {
        vector: 0x33, rip: at(label), rsp: Place.STACK0 - offset, frame: ((Place.STACK0 - offset) & ~15) - 40, ss: Selector.DATA,
        handlerSs: Selector.DATA,
      },
      after: restore,
    })
  }
  for (const bits of [64, 32] as const) {
    g.probe(`INT from level 3, ${bits}-bit, takes RSP0`, {
      ring: 3, bits, setup: () => unaligned(0), body: () => a.int(0x33),
      expect: { vector: 0x33, rsp: Place.USER_STACK, frame: INNER - 40, ss: Selector.USER_DATA, handlerSs: 0 }, after: restore,
    })
  }
  for (const stack of [2, 7]) {
    g.probe(`INT by interrupt stack ${stack}`, {
      setup: () => {
        a.store(mem(Place.IDT + 0x33 * 16 + 4), stack, 8)
        a.mov('eax', Place.INNER_STACK - 0x1009)
        a.mov(mem(Place.TSS + 0x24 + (stack - 1) * 8), 'rax')
      },
      body: () => a.int(0x33), expect: { vector: 0x33, rsp: Place.STACK0, frame: Place.INNER_STACK - 0x1010 - 40 }, after: restore,
    })
  }
  const compatibility = code(g, 32, () => { a.mov('eax', 1); a.int(0x33) })
  g.probe('INT from compatibility mode of level 0', {
    setup: () => pointer(a, at(compatibility), Selector.CODE32), body: () => wideFar(a, 5),
    expect: { vector: 0x33, cs: Selector.CODE32, rax: 1, rsp: Place.STACK0 },
  })
}

function addFast(g: Guest): void {
  const { a } = g
  const kernel = code(g, 64, () => { a.mov('rbx', 'rsp'); a.pushf(); a.pop('rdx') })
  fast(g, kernel)
  const after = a.fresh('after')
  g.probe('SYSCALL', {
    ring: 3, flags: 0x246, body: () => { a.db(0x0f, 0x05); a.label(after) },
    expect: { vector: DONE, cs: 0x18, ss: 0x20, rcx: at(after), rbx: Place.USER_STACK, rsp: Place.USER_STACK, rdx: 0x46 },
  })
  g.probe('SYSCALL puts the flags into R11', {
    ring: 3, flags: 0x202, body: () => a.db(0x0f, 0x05), expect: { vector: DONE, rdx: 2 },
    after: () => { a.mov('rax', 'r11'); g.observe('SYSCALL: R11', { rax: 0x202 }) },
  })
  const disabled = (on: boolean) => (): void => {
    a.wrmsr(Msr.EFER, on ? 0xd01n : 0xd00n)
    for (const name of ['eax', 'ecx', 'edx']) a.mov(name, 0)
  }
  g.probe('SYSCALL without SCE', {
    ring: 3, setup: disabled(false), body: () => a.db(0x0f, 0x05), expect: { vector: UD }, after: disabled(true),
  })
  g.probe('SYSRET without SCE', {
    setup: disabled(false), body: () => a.db(0x48, 0x0f, 0x07), expect: { vector: UD }, after: disabled(true),
  })
  g.probe('SYSRET at level 3', { ring: 3, body: () => a.db(0x48, 0x0f, 0x07), expect: { vector: GP, error: 0 } })
  g.probe('SYSRET to a non-canonical address', {
    setup: () => a.mov('rcx', HOLE), body: () => { a.label('sysret-hole'); a.db(0x48, 0x0f, 0x07) },
    expect: { vector: GP, error: 0, rip: at('sysret-hole'), cs: Selector.CODE64 },
  })
  const user64 = g.inUserPages(64, () => a.int(DONE))
  const user32 = g.inUserPages(32, () => a.int(DONE))
  for (const [name, prefix, label, cs] of [
    ['SYSRETQ', [0x48], user64, Selector.USER_CODE64], ['SYSRETL', [], user32, Selector.USER_CODE32],
  ] as const) {
    g.probe(name, {
      setup: () => { a.mov('rcx', at(label)); a.mov('r11', 0x3f7fd7 & ~(Flag.TF | Flag.NT)); a.mov('rsp', Place.USER_STACK) },
      body: () => a.db(...prefix, 0x0f, 0x07),
      expect: { vector: DONE, cs, ss: 0x33, rsp: Place.USER_STACK, flags: 0x3c3ed7, flagsMask: 0x3fffff },
    })
  }
  g.probe('SYSRETL cuts the address', {
    setup: () => {
      a.mov('rcx', at(user32))
      a.mov('rdx', 0xffffffff00000000n)
      a.or('rcx', 'rdx')
      a.mov('r11', 2)
      a.mov('rsp', Place.USER_STACK)
      a.mov('edx', 0)
    },
    body: () => a.db(0x0f, 0x07), expect: { vector: DONE, rip: at(user32, 2), cs: Selector.USER_CODE32 },
  })
  addSysenter(g, user64, user32)
}

function addSysenter(g: Guest, user64: string, user32: string): void {
  const { a } = g
  for (const bits of [64, 32] as const) {
    g.probe(`SYSENTER from ${bits}-bit code`, {
      ring: 3, bits, flags: 0x246, body: () => a.db(0x0f, 0x34),
      expect: { vector: DONE, cs: 0x18, ss: 0x20, rsp: INNER - 0x1000, rdx: 0x46 },
    })
  }
  for (const [name, prefix, label, cs] of [
    ['SYSEXIT to 64-bit code', [0x48], user64, Selector.USER_CODE64], ['SYSEXIT to 32-bit code', [], user32, Selector.USER_CODE32],
  ] as const) {
    g.probe(name, {
      setup: () => { a.mov('edx', at(label)); a.mov('ecx', Place.USER_STACK - 0x100) }, body: () => a.db(...prefix, 0x0f, 0x35),
      expect: { vector: DONE, cs, ss: cs + 8, rsp: Place.USER_STACK - 0x100 },
    })
  }
  g.probe('SYSEXIT to a non-canonical address', {
    setup: () => { a.mov('rdx', HOLE); a.mov('ecx', 0) }, body: () => a.db(0x48, 0x0f, 0x35),
    expect: { vector: GP, error: 0, cs: Selector.CODE64 },
  })
  g.probe('SYSEXIT at level 3', { ring: 3, body: () => a.db(0x0f, 0x35), expect: { vector: GP, error: 0 } })
  g.probe('SYSENTER without a segment', {
    setup: () => { a.wrmsr(Msr.CS, 3n); a.mov('ecx', 0); a.mov('eax', 0) }, body: () => a.db(0x0f, 0x34),
    expect: { vector: GP, error: 0 },
  })
  g.probe('SYSEXIT without a segment', { body: () => a.db(0x0f, 0x35), expect: { vector: GP, error: 0 } })
}

/** What 64-bit mode does not have, and what compatibility mode still has. */
function addMissing(g: Guest): void {
  const { a } = g
  for (const [name, bytes] of [
    ['PUSH CS', [0x0e]], ['POP DS', [0x1f]], ['PUSHA', [0x60]], ['POPA', [0x61]], ['BOUND', [0x62, 0x00]], ['AAM', [0xd4, 0x0a]],
    ['DAA', [0x27]], ['INTO', [0xce]],
    ['LDS', [0xc5, 0x00]], ['LES', [0xc4, 0x00]], ['SALC', [0xd6]], ['82 /0', [0x82, 0xc0, 1]],
  ] as const) g.probe(`${name} in 64-bit mode`, { body: () => a.db(...bytes), expect: { vector: UD } })
  g.probe('PUSHA in compatibility mode', {
    ring: 3, bits: 32, body: () => { a.db(0x60, 0x61) }, expect: { vector: DONE, rsp: Place.USER_STACK },
  })
  g.probe('limits count in compatibility mode', {
    setup: () => { a.store(mem(Place.GDT + FREE + 0x100), 0x0000ffff, 32); a.store(mem(Place.GDT + FREE + 0x104), 0x0040f200, 32) },
    ring: 3, bits: 32,
    body: () => { a.mov('eax', (FREE + 0x100) | 3); a.mov('es', 'ax'); a.mov('ebx', 0x10000); a.mov('cl', mem('ebx', 0, 'es')) },
    expect: { vector: GP, error: 0 },
  })
  g.probe('limits and types of DS do not count in 64-bit mode', {
    setup: () => { a.store(mem(Place.GDT + FREE + 0x108), 0x0000000f, 32); a.store(mem(Place.GDT + FREE + 0x10c), 0x0040f020, 32) },
    body: () => {
      a.mov('eax', FREE + 0x108)
      a.mov('ds', 'ax')
      a.mov('eax', 5)
      a.mov(mem(Place.DATA), 'eax')
      a.mov('ebx', mem(Place.DATA))
    },
    expect: { vector: DONE, rbx: 5 },
  })
  g.probe('a null DS can be used in 64-bit mode', {
    body: () => { a.mov('eax', 0); a.mov('ds', 'ax'); a.mov('ebx', mem(Place.DATA)) }, expect: { vector: DONE, ds: 0 },
  })
  g.probe('a null SS at level 0', {
    body: () => { a.mov('eax', 0); a.mov('ss', 'ax'); a.push(7); a.pop('rbx') }, expect: { vector: DONE, ss: 0, rbx: 7 },
  })
  g.probe('a null SS at level 3', { ring: 3, body: () => { a.mov('eax', 3); a.mov('ss', 'ax') }, expect: { vector: GP, error: 0 } })
  g.probe('FS has its base', {
    setup: () => { a.wrmsr(0xc0000100, BigInt(Place.DATA)); a.store(mem(Place.DATA + 0x20), 0x1234, 32) },
    body: () => a.mov('ebx', mem(0x20, 0, 'fs')), expect: { vector: DONE, rbx: 0x1234 },
  })
  g.probe('SWAPGS', {
    setup: () => {
      a.wrmsr(0xc0000101, BigInt(Place.DATA))
      a.wrmsr(0xc0000102, BigInt(Place.DATA + 0x100))
      a.store(mem(Place.DATA + 0x120), 0x4321, 32)
    },
    body: () => { a.db(0x0f, 0x01, 0xf8); a.mov('ebx', mem(0x20, 0, 'gs')) }, expect: { vector: DONE, rbx: 0x4321 },
  })
  g.probe('a load of FS clears its base', {
    setup: () => a.wrmsr(0xc0000100, 0x123456789abn),
    body: () => { a.mov('eax', Selector.DATA); a.mov('fs', 'ax'); a.mov('ecx', 0xc0000100); a.db(0x0f, 0x32) },
    expect: { vector: DONE, rax: 0, rdx: 0 },
  })
}

/** Only AMD's processors have SYSCALL there. */
function compatibilityCall(): Guest {
  const g = new Guest('SYSCALL in compatibility mode', 'long')
  g.notInQemu = 'goes to CSTAR'
  fast(g, 'start')
  g.probe('SYSCALL in compatibility mode', { ring: 3, bits: 32, body: () => g.a.db(0x0f, 0x05), expect: { vector: UD } })
  return g
}

export function longModeGuests(): Guest[] {
  patches.length = 0
  const g = new Guest('long transfers', 'long')
  define(g)
  addJumps(g)
  addGates(g)
  addReturns(g)
  addInterrupts(g)
  addFast(g)
  addMissing(g)
  for (const patch of patches) patch()
  return [g, compatibilityCall()]
}
