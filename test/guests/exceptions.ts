/** Exceptions with their vectors, error codes and saved state, faults within faults, and accesses that lie in two pages. */
import { at, mem } from './assembler.ts'
import type { Assembler } from './assembler.ts'
import { P, Place, RW, Selector, US } from './layout.ts'
import { DONE, Guest } from './monitor.ts'
import type { Expectation } from './monitor.ts'
import { flush, storeEntry } from './paging.ts'

const [DE, BP, OF, BR, UD, DF, NP, GP, PF] = [0, 3, 4, 5, 6, 8, 11, 13, 14]
const { DATA } = Place
/** Not canonical, and not mapped. */
export const HOLE = 0x800000000000n
export const NOWHERE = 0x3000000
const BASE_CR0 = 0x80010031

export const accumulator = (g: Guest): string => g.bits === 64 ? 'rax' : 'eax'

export function setCr0(g: Guest, bits: number, clear = 0): void {
  g.a.mov('eax', (BASE_CR0 | bits) & ~clear)
  g.a.mov('cr0', accumulator(g))
  g.a.mov('eax', 0)
}
export function setCr4(g: Guest, bits: number): void {
  g.a.mov('eax', bits | (g.bits === 64 ? 0x20 : 0x10))
  g.a.mov('cr4', accumulator(g))
  g.a.mov('eax', 0)
}

/** A probe whose exception is raised by the instruction at the start of the body. */
export function raises(g: Guest, name: string, body: (a: Assembler) => void, expect: Expectation, more: {
  setup?: (a: Assembler) => void, after?: (a: Assembler) => void, ring?: 0 | 3, flags?: number, bits?: 32 | 64,
} = {}): void {
  const label = g.a.fresh('raises')
  g.probe(name, {
    ...more, body: (a) => {
      a.label(label)
      body(a)
    },
    expect: { rip: at(label), ...expect },
  })
}

function addBasics(g: Guest): void {
  const { a } = g
  const after = (name: string, length: number, expect: Expectation, body: (a: Assembler) => void, ring: 0 | 3 = 0): void => {
    const label = a.fresh('trap')
    g.probe(name, { ring, body: () => { a.label(label); body(a) }, expect: { rip: at(label, length), ...expect } })
  }
  const one = (b: Assembler): void => { b.mov('ecx', 0); b.mov('eax', 5) }
  raises(g, 'DIV by zero', () => a.db(0xf7, 0xf1), { vector: DE, rax: 5, rdx: 0 }, { setup: one })
  raises(g, 'DIV overflow', () => a.db(0xf7, 0xf1), { vector: DE, rax: 5, rdx: 2 }, {
    setup: (b) => { one(b); b.mov('ecx', 2); b.mov('edx', 2) },
  })
  raises(g, 'IDIV of the smallest by -1', () => a.db(0xf7, 0xf9), { vector: DE, rax: 0x80000000 }, {
    setup: (b) => { b.mov('eax', 0x80000000); b.mov('edx', 0xffffffff); b.mov('ecx', 0xffffffff) },
  })
  raises(g, 'DIV at level 3', () => a.db(0xf7, 0xf1), { vector: DE, ss: Selector.USER_DATA, rsp: Place.USER_STACK }, { ring: 3 })
  after('INT3', 1, { vector: BP }, (b) => b.db(0xcc))
  after('INT3 at level 3', 1, { vector: BP }, (b) => b.db(0xcc), 3)
  after('INT 3 at level 3', 2, { vector: BP }, (b) => b.db(0xcd, 3), 3)
  after('INT 0x31 at level 3', 2, { vector: 0x31, rsp: Place.USER_STACK }, (b) => b.int(0x31), 3)
  raises(g, 'INT n at level 3 to a gate of level 0', () => a.int(0x41), { vector: GP, error: 0x41 * 8 + 2 }, { ring: 3 })
  raises(g, 'UD2', () => a.db(0x0f, 0x0b), { vector: UD })
  raises(g, 'UD1 with a memory operand', () => a.db(0x0f, 0xb9, 0x00), { vector: UD })
  raises(g, 'an undefined opcode', () => a.db(0x0f, 0xff, 0xc0), { vector: UD })
  raises(g, 'LOCK NOP', () => a.db(0xf0, 0x90), { vector: UD })
  raises(g, 'LOCK ADD to a register', () => a.db(0xf0, 0x01, 0xc0), { vector: UD })
  raises(g, 'LOCK MOV', () => a.db(0xf0, 0x89, 0x03), { vector: UD })
  raises(g, 'LOCK CMP', () => a.db(0xf0, 0x39, 0x03), { vector: UD })
  g.probe('LOCK ADD to memory', {
    setup: (b) => { b.mov('ebx', DATA); b.store(mem(DATA), 4, 32); b.mov('eax', 3) },
    body: (b) => { b.db(0xf0, 0x01, 0x03); b.mov('ecx', mem(DATA)) }, expect: { vector: DONE, rcx: 7 },
  })
  raises(g, 'an instruction of 16 bytes', () => a.db(...Array<number>(15).fill(0x66), 0x90), { vector: GP, error: 0 })
  g.probe('an instruction of 15 bytes', { body: () => a.db(...Array<number>(14).fill(0x66), 0x90), expect: { vector: DONE } })
  if (g.bits !== 64) addOld(g)
}

/** BOUND, INTO and what 64-bit mode does not have. */
function addOld(g: Guest): void {
  const { a } = g
  raises(g, 'BOUND below', () => a.db(0x62, 0x03), { vector: BR }, {
    setup: () => { a.store(mem(DATA), 10, 32); a.store(mem(DATA + 4), 20, 32); a.mov('ebx', DATA); a.mov('eax', 9) },
  })
  g.probe('BOUND within', {
    setup: () => { a.mov('ebx', DATA); a.mov('eax', 20) }, body: () => a.db(0x62, 0x03), expect: { vector: DONE },
  })
  g.probe('INTO with OF', { flags: 0x802, body: () => { a.db(0xce); a.label('into') }, expect: { vector: OF, rip: at('into') } })
  g.probe('INTO without OF', { body: () => a.db(0xce), expect: { vector: DONE } })
  g.probe('INTO at level 3 with OF', {
    ring: 3, flags: 0x802, body: () => { a.db(0xce); a.label('into3') }, expect: { vector: OF, rip: at('into3') },
  })
}

/** Level 0's instructions at level 3. */
function addPrivileged(g: Guest): void {
  const { a } = g
  const rows: readonly (readonly [string, readonly number[]])[] = [
    ['HLT', [0xf4]], ['LGDT', [0x0f, 0x01, 0x10]], ['LIDT', [0x0f, 0x01, 0x18]], ['LLDT', [0x0f, 0x00, 0xd0]],
    ['LTR', [0x0f, 0x00, 0xd8]],
    ['MOV to CR0', [0x0f, 0x22, 0xc0]], ['MOV from CR0', [0x0f, 0x20, 0xc0]], ['MOV from CR4', [0x0f, 0x20, 0xe0]],
    ['CLTS', [0x0f, 0x06]],
    ['LMSW', [0x0f, 0x01, 0xf0]], ['INVLPG', [0x0f, 0x01, 0x38]], ['INVD', [0x0f, 0x08]], ['WBINVD', [0x0f, 0x09]],
    ['RDMSR', [0x0f, 0x32]],
    ['WRMSR', [0x0f, 0x30]], ['IN', [0xe4, 0x80]], ['OUT', [0xe6, 0x80]], ['INSB', [0x6c]], ['OUTSB', [0x6e]], ['CLI', [0xfa]],
    ['STI', [0xfb]],
    ['MOV from DR0', [0x0f, 0x21, 0xc0]], ['MOV to DR7', [0x0f, 0x23, 0xf8]],
    ...g.bits === 64 ? [['SWAPGS', [0x0f, 0x01, 0xf8]], ['MOV from CR8', [0x44, 0x0f, 0x20, 0xc0]]] as const : [],
  ]
  for (const [name, bytes] of rows) raises(
    g, `${name} at level 3`, () => a.db(...bytes), { vector: GP, error: 0 }, { ring: 3, setup: () => a.mov('eax', 0) },
  )
  raises(g, 'CLAC at level 3', () => a.db(0x0f, 0x01, 0xca), { vector: UD }, { ring: 3 })
  raises(g, 'STAC at level 3', () => a.db(0x0f, 0x01, 0xcb), { vector: UD }, { ring: 3 })
  g.probe('RDTSC at level 3', {
    ring: 3, body: () => { a.db(0x0f, 0x31); a.mov('eax', 0); a.mov('edx', 0) }, expect: { vector: DONE },
  })
  raises(g, 'RDTSC at level 3 with CR4.TSD', () => a.db(0x0f, 0x31), { vector: GP, error: 0 }, {
    ring: 3, setup: () => setCr4(g, 4), after: () => setCr4(g, 0),
  })
  raises(g, 'RDPMC at level 3', () => a.db(0x0f, 0x33), { vector: GP, error: 0 }, { ring: 3 })
  addUmip(g)
}

/** SGDT, SIDT, SLDT, STR and SMSW at level 3, with and without CR4.UMIP. */
function addUmip(g: Guest): void {
  const { a } = g
  const rows: readonly (readonly [string, readonly number[]])[] = [
    ['SGDT', [0x0f, 0x01, 0x03]], ['SIDT', [0x0f, 0x01, 0x0b]], ['SLDT', [0x0f, 0x00, 0xc1]], ['STR', [0x0f, 0x00, 0xc9]],
    ['SMSW', [0x0f, 0x01, 0xe1]],
  ]
  for (const [name, bytes] of rows) {
    const body = (): void => {
      a.mov('ebx', Place.USER_DATA)
      a.db(...bytes)
      a.mov('ecx', 0)
    }
    g.probe(`${name} at level 3 without UMIP`, { ring: 3, body, expect: { vector: DONE } })
    g.probe(`${name} at level 3 with UMIP`, {
      ring: 3, setup: () => setCr4(g, 0x800), body, expect: { vector: GP, error: 0 }, after: () => setCr4(g, 0),
    })
  }
  g.probe('STR at level 0 with UMIP', {
    setup: () => setCr4(g, 0x800), body: () => a.db(0x0f, 0x00, 0xc9), expect: { vector: DONE, rcx: Selector.TSS },
    after: () => setCr4(g, 0),
  })
}

type First = readonly [string, number, (b: Assembler) => void]
const FIRSTS: readonly First[] = [
  ['#UD', UD, (b) => b.db(0x0f, 0x0b)], ['#DE', DE, (b) => b.db(0xf7, 0xf1)], ['#GP', GP, (b) => b.mov('ds', 'ax')],
  ['#PF', PF, (b) => b.mov('ecx', mem(NOWHERE))], ['#BP', BP, (b) => b.db(0xcc)], ['INT 0x33', 0x33, (b) => b.int(0x33)],
]
/** A contributory exception or a page fault, then a contributory one. */
const becomesDouble = (vector: number): boolean => [DE, GP, NP, PF].includes(vector)
const externalBit = (vector: number): number => vector < 0x20 && vector !== BP ? 1 : 0

/** QEMU goes to the handler there. */
function beyondCanonical(): Guest {
  const g = new Guest('exceptions through gates beyond canonical addresses', 'long')
  g.notInQemu = 'goes there and faults for ever'
  for (const [name, vector, body] of FIRSTS) {
    const expect = becomesDouble(vector) ? { vector: DF, error: 0 } : { vector: GP, error: externalBit(vector) }
    patched(g, `${name} through a gate beyond canonical addresses`, vector, 'offset', body, expect)
  }
  return g
}

/** Faults while a fault is delivered. Each first exception meets a gate that is absent, or a stack that is not mapped. */
function addDouble(g: Guest): void {
  for (const [name, vector, body] of FIRSTS) {
    const double = becomesDouble(vector)
    const ext = externalBit(vector)
    patched(g, `${name} through an absent gate`, vector, 'absent', body, double
      ? { vector: DF, error: 0 } : { vector: NP, error: vector * 8 + 2 + ext })
    if (g.bits !== 64) continue
    patched(g, `${name} on a stack that is not mapped`, vector, 'stack', body, vector === PF
      ? { vector: DF, error: 0, cr2: NOWHERE - 8 } : { vector: PF, error: 2, cr2: NOWHERE - 8 })
    patched(g, `${name} through a gate to data`, vector, 'data', body, double
      ? { vector: DF, error: 0 } : { vector: GP, error: Selector.DATA + ext })
  }
}

/** Runs a body with one gate of the IDT spoilt. The saved pointer is the instruction's, whatever came of it. */
function patched(
  g: Guest, name: string, vector: number, how: 'absent' | 'stack' | 'data' | 'offset', body: (a: Assembler) => void,
  expect: Expectation,
): void {
  const { a } = g
  const entry = Place.IDT + vector * (g.bits === 64 ? 16 : 8)
  const label = a.fresh('double')
  const field = { absent: entry + 5, stack: entry + 4, data: entry + 2, offset: entry + 8 }[how]
  const accessByte = vector === BP || vector === 0x33 ? 0xee : 0x8e
  const spoil = { absent: [accessByte & 0x7f, 8], stack: [2, 8], data: [Selector.DATA, 16], offset: [0x8000, 32] } as const
  const mend = {
    absent: [accessByte, 8], stack: [1, 8], data: [g.bits === 64 ? Selector.CODE64 : Selector.CODE32, 16], offset: [0, 32],
  } as const
  g.probe(`double: ${name}`, {
    setup: () => {
      a.store(mem(Place.TSS + 0x2c), NOWHERE, 32)
      a.store(mem(field), spoil[how][0], spoil[how][1])
      a.mov('eax', 0x1000)
      a.mov('ecx', 0)
    },
    body: () => {
      a.label(label)
      body(a)
    },
    expect: { rip: at(label), ...expect }, after: () => a.store(mem(field), mend[how][0], mend[how][1]),
  })
}

/** Memory operands and instructions that lie in two pages, the fault in either; instructions that read and write. */
function addCrossing(g: Guest): void {
  const { a } = g
  const linear = 0x1000000
  const table = Place.MORE_TABLES
  const bytes = g.mode === 'legacy' ? 4 : 8
  const map = (first: bigint, second: bigint): void => {
    const directory = g.mode === 'legacy' ? Place.TABLES + (linear >> 22) * 4 : Place.TABLES + 0x2000 + (linear >> 21) * 8
    storeEntry(a, directory, BigInt(table) | P | RW | US, bytes)
    storeEntry(a, table, BigInt(Place.TEST_MEMORY) | first, bytes)
    storeEntry(a, table + bytes, BigInt(Place.TEST_MEMORY + 0x5000) | second, bytes)
    flush(a)
    a.mov('eax', 0x11223344)
    a.mov('ebx', linear + 0xffe)
  }
  const rw = P | RW | US
  const ro = P | US
  type Row = readonly [string, bigint, bigint, (b: Assembler) => void, number, number]
  const rows: readonly Row[] = [
    ['read, second absent', rw, 0n, (b) => b.mov('ecx', mem('ebx')), 0, 0x1000],
    ['read, first absent', 0n, rw, (b) => b.mov('ecx', mem('ebx')), 0, 0xffe],
    ['read, both absent', 0n, 0n, (b) => b.mov('ecx', mem('ebx')), 0, 0xffe],
    ['write, second absent', rw, 0n, (b) => b.mov(mem('ebx'), 'eax'), 2, 0x1000],
    ['write, second read-only', rw, ro, (b) => b.mov(mem('ebx'), 'eax'), 3, 0x1000],
    ['write, first read-only', ro, rw, (b) => b.mov(mem('ebx'), 'eax'), 3, 0xffe],
    ['modify', rw, ro, (b) => b.add(mem('ebx'), 'eax'), 3, 0x1000],
    // A 32-bit handler would need the same stack.
    ...g.bits === 64 ? [
      ['PUSH, low page absent', 0n, rw, (b) => b.push(1), 2, 0xffc],
      ['PUSH, high page absent', rw, 0n, (b) => b.push(1), 2, 0x1000],
    ] as const satisfies readonly Row[] : [],
  ]
  for (const [name, first, second, body, error, offset] of rows) {
    raises(g, `crossing: ${name}`, (b) => body(b), { vector: PF, error, cr2: linear + offset, rax: 0x11223344 }, {
      setup: () => {
        map(first, second)
        if (name.startsWith('PUSH')) a.mov('rsp', linear + 0x1004)
      },
    })
  }
  g.probe('crossing: a store that faults wrote nothing', {
    setup: () => {
      map(rw, rw)
      a.store(mem('ebx'), 0, 32)
      map(rw, 0n)
    },
    body: () => a.mov(mem('ebx'), 'eax'), expect: { vector: PF, error: 2, cr2: linear + 0x1000 },
    after: () => {
      map(rw, rw)
      a.mov('eax', mem('ebx'))
      g.observe('crossing: both pages are as they were', { rax: 0 })
    },
  })
  g.probe('crossing: both pages are used', {
    setup: () => map(rw, rw), body: () => { a.mov(mem('ebx'), 'eax'); a.mov('ecx', mem('ebx')) },
    expect: { vector: DONE, rcx: 0x11223344 },
    after: () => {
      a.mov('eax', mem(table))
      a.and('eax', 0x60)
      a.mov('ebx', mem(table + bytes))
      a.and('ebx', 0x60)
      g.observe('crossing: both pages are accessed and dirty', { rax: 0x60, rbx: 0x60 })
    },
  })
  addCrossingCode(g, linear, map)
}

function addCrossingCode(g: Guest, linear: number, map: (first: bigint, second: bigint) => void): void {
  const { a } = g
  const rw = P | RW | US
  // MOV EBX, 0x12345678 in the last three bytes of a page and the first two of the next.
  for (const [name, first, second, offset] of [
    ['second absent', rw, 0n, 0x1000], ['first absent', 0n, rw, 0xffd], ['second for system', rw, P | RW, 0x1000],
  ] as const) {
    const user = name === 'second for system'
    g.probe(`crossing: an instruction, ${name}`, {
      ring: user ? 3 : 0, setup: () => {
        map(rw, rw)
        a.store(mem(linear + 0xffd), 0x345678bb, 32)
        a.store(mem(linear + 0x1001), 0x80cd12, 32)
        map(first, second)
        a.mov('ebx', linear + 0xffd)
      },
      body: () => a.jmpTo(g.bits === 64 ? 'rbx' : 'ebx'),
      expect: { vector: PF, rip: linear + 0xffd, cr2: linear + offset, error: (user ? 5 : 0) | (g.mode === 'legacy' ? 0 : 16) },
    })
  }
  g.probe('crossing: an instruction runs', {
    setup: () => { map(rw, rw); a.mov('ebx', linear + 0xffd) }, body: () => a.jmpTo(g.bits === 64 ? 'rbx' : 'ebx'),
    expect: { vector: DONE, rbx: 0x12345678, rip: linear + 0x1004 },
  })
}

function triples(): Guest[] {
  const guests = (['protected', 'long'] as const).map((mode) => {
    const g = new Guest(`triple fault ${mode}`, mode)
    g.a.lidt(mem('nothing'))
    g.a.db(0x0f, 0x0b)
    g.a.label('nothing')
    g.a.dq(0, 0)
    return g
  })
  const real = new Guest('triple fault real', 'real')
  real.a.lidt(mem('nothing'))
  real.a.int(3)
  real.a.label('nothing')
  real.a.dq(0, 0)
  guests.push(real)
  for (const g of guests) g.ending = 'shutdown'
  return guests
}

export function exceptionGuests(): Guest[] {
  const guests = (['legacy', 'long'] as const).map((mode) => {
    const g = new Guest(`exceptions ${mode}`, mode, { cr4: 0x600 })
    addBasics(g)
    addPrivileged(g)
    addDouble(g)
    addCrossing(g)
    return g
  })
  return [...guests, beyondCanonical(), ...triples()]
}
