/** Exceptions with their vectors, error codes and saved state; what privilege, control bits and canonical addresses forbid. */
import { at, mem } from './assembler.ts'
import type { Assembler } from './assembler.ts'
import { Flag, P, Place, RW, Selector, US } from './layout.ts'
import { DONE, Guest } from './monitor.ts'
import type { Expectation } from './monitor.ts'
import { flush, storeEntry } from './paging.ts'

const [DE, BP, OF, BR, UD, NM, DF, NP, SS, GP, PF, MF, AC, XM] = [0, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 16, 17, 19]
const { DATA } = Place
/** Not canonical, and not mapped. */
const HOLE = 0x800000000000n
const NOWHERE = 0x3000000
const BASE_CR0 = 0x80010031

const accumulator = (g: Guest): string => g.bits === 64 ? 'rax' : 'eax'

function setCr0(g: Guest, bits: number, clear = 0): void {
  g.a.mov('eax', (BASE_CR0 | bits) & ~clear)
  g.a.mov('cr0', accumulator(g))
  g.a.mov('eax', 0)
}
function setCr4(g: Guest, bits: number): void {
  g.a.mov('eax', bits | (g.bits === 64 ? 0x20 : 0x10))
  g.a.mov('cr4', accumulator(g))
  g.a.mov('eax', 0)
}

/** A probe whose exception is raised by the instruction at the start of the body. */
function raises(g: Guest, name: string, body: (a: Assembler) => void, expect: Expectation, more: {
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

/** x87, MMX and SSE by CR0.EM, TS, MP, NE and CR4.OSFXSR, OSXMMEXCPT. */
function addUnits(g: Guest): void {
  const { a } = g
  const [EM, TS, MP] = [4, 8, 2]
  const code: Record<string, readonly number[]> = {
    FLD1: [0xd9, 0xe8], WAIT: [0x9b], 'MMX': [0x0f, 0x6f, 0xc1], SSE: [0x0f, 0x28, 0xc1], 'SSE integer': [0x66, 0x0f, 0x6f, 0xc1],
    FXSAVE: [0x0f, 0xae, 0x03], LDMXCSR: [0x0f, 0xae, 0x13], PREFETCH: [0x0f, 0x18, 0x03], EMMS: [0x0f, 0x77],
    CRC32: [0xf2, 0x0f, 0x38, 0xf1, 0xc1],
    FNINIT: [0xdb, 0xe3], MOVNTI: [0x0f, 0xc3, 0x03], POPCNT: [0xf3, 0x0f, 0xb8, 0xc1], SFENCE: [0x0f, 0xae, 0xf8],
  }
  /** For each control: the exception of each instruction; those not named run. */
  const rows: readonly (readonly [string, number, number, Record<string, number>])[] = [
    ['OSFXSR', 0, 0x200, {}],
    ['no OSFXSR', 0, 0, { SSE: UD, 'SSE integer': UD, LDMXCSR: UD }],
    ['TS', TS, 0x200, { FLD1: NM, MMX: NM, SSE: NM, 'SSE integer': NM, FXSAVE: NM, LDMXCSR: NM, EMMS: NM, FNINIT: NM }],
    ['TS and MP', TS | MP, 0x200, {
      FLD1: NM, WAIT: NM, MMX: NM, SSE: NM, 'SSE integer': NM, FXSAVE: NM, LDMXCSR: NM, EMMS: NM, FNINIT: NM,
    }],
    ['MP', MP, 0x200, {}],
    ['EM', EM, 0x200, { FLD1: NM, MMX: UD, SSE: UD, 'SSE integer': UD, FXSAVE: NM, LDMXCSR: UD, EMMS: UD, FNINIT: NM }],
    ['EM and TS', EM | TS, 0x200, { FLD1: NM, MMX: UD, SSE: UD, 'SSE integer': UD, FXSAVE: NM, LDMXCSR: UD, EMMS: UD, FNINIT: NM }],
    ['TS without OSFXSR', TS, 0, { FLD1: NM, MMX: NM, SSE: UD, 'SSE integer': UD, FXSAVE: NM, LDMXCSR: UD, EMMS: NM, FNINIT: NM }],
  ]
  for (const [control, cr0, cr4, vectors] of rows) for (const [name, bytes] of Object.entries(code)) {
    const vector = vectors[name]
    const setup = (): void => {
      a.db(0xdb, 0xe3)
      a.store(mem(DATA + 0x200), 0x1f80, 32)
      setCr4(g, cr4)
      setCr0(g, cr0)
      a.mov('ebx', DATA + 0x200)
    }
    const expect: Expectation = vector === undefined ? { vector: DONE, rip: undefined } : { vector }
    raises(g, `${name} with ${control}`, () => a.db(...bytes), expect, { setup, after: () => { setCr0(g, 0); setCr4(g, 0x600) } })
  }
  addFloatExceptions(g)
}

/** #MF at the next waiting instruction, #XM at once, #UD in its place without OSXMMEXCPT. */
function addFloatExceptions(g: Guest): void {
  const { a } = g
  const waits = a.fresh('waits')
  const divideByZero = (): void => {
    a.db(0xdb, 0xe3)
    a.store(mem(DATA + 0x210), 0x37b, 16)
    a.db(0xd9, ...absolute(g, 5, DATA + 0x210))
    a.db(0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9)
  }
  for (const [name, bytes] of [['FLD1', [0xd9, 0xe8]], ['WAIT', [0x9b]], ['EMMS', [0x0f, 0x77]]] as const) {
    g.probe(`#MF at ${name}`, {
      setup: divideByZero, body: () => {
        a.db(0xdf, 0xe0)
        a.label(`${waits}.${name}`)
        a.db(...bytes)
      },
      expect: { vector: MF, rip: at(`${waits}.${name}`) }, after: () => a.db(0xdb, 0xe2, 0xdb, 0xe3),
    })
  }
  g.probe('FNSTSW and FNCLEX do not wait', {
    setup: divideByZero, body: () => a.db(0xdf, 0xe0, 0xdb, 0xe2, 0xd9, 0xe8), expect: { vector: DONE },
    after: () => a.db(0xdb, 0xe3),
  })
  for (const enabled of [true, false]) {
    const label = a.fresh('xm')
    g.probe(`an unmasked SSE exception ${enabled ? 'with' : 'without'} OSXMMEXCPT`, {
      setup: () => {
        setCr4(g, enabled ? 0x600 : 0x200)
        a.store(mem(DATA + 0x210), 0x1d80, 32)
        a.db(0x0f, 0xae, ...absolute(g, 2, DATA + 0x210))
        a.db(0x0f, 0x57, 0xc0, 0x0f, 0x57, 0xc9)
      },
      body: () => {
        a.label(label)
        // 1 / 0 with the divide-by-zero exception unmasked: XMM0 = 0 first gives 0/0, which is invalid and masked.
        a.db(0x0f, 0x5e, 0xc1)
      },
      expect: { vector: DONE },
      after: () => {
        setCr4(g, 0x600)
        a.store(mem(DATA + 0x210), 0x1f80, 32)
        a.db(0x0f, 0xae, ...absolute(g, 2, DATA + 0x210))
      },
    })
    const divides = a.fresh('xm')
    g.probe(`an unmasked SSE division by zero ${enabled ? 'with' : 'without'} OSXMMEXCPT`, {
      setup: () => {
        setCr4(g, enabled ? 0x600 : 0x200)
        a.store(mem(DATA + 0x210), 0x1d80, 32)
        a.store(mem(DATA + 0x220), 0x3f800000, 32)
        a.db(0x0f, 0xae, ...absolute(g, 2, DATA + 0x210))
        a.db(0xf3, 0x0f, 0x10, ...absolute(g, 0, DATA + 0x220))
        a.db(0x0f, 0x57, 0xc9)
      },
      body: () => {
        a.label(divides)
        a.db(0xf3, 0x0f, 0x5e, 0xc1)
      },
      expect: { vector: enabled ? XM : UD, rip: at(divides) },
      after: () => {
        setCr4(g, 0x600)
        a.store(mem(DATA + 0x210), 0x1f80, 32)
        a.db(0x0f, 0xae, ...absolute(g, 2, DATA + 0x210))
      },
    })
  }
}

/** ModRM (and SIB) of an absolute address, with a reg field. */
function absolute(g: Guest, reg: number, address: number): number[] {
  const bytes = [address & 0xff, (address >> 8) & 0xff, (address >> 16) & 0xff, (address >> 24) & 0xff]
  return g.bits === 64 ? [(reg << 3) | 4, 0x25, ...bytes] : [(reg << 3) | 5, ...bytes]
}

/** Alignment checks: at level 3, with AC and CR0.AM. */
function addAlignment(g: Guest): void {
  const { a } = g
  const place = Place.USER_DATA
  const rows: readonly (readonly [string, number, (b: Assembler) => void, boolean])[] = [
    ['word at 1', place + 1, (b) => b.mov('cx', mem('ebx')), true], ['word at 2', place + 2, (b) => b.mov('cx', mem('ebx')), false],
    ['doubleword at 2', place + 2, (b) => b.mov('ecx', mem('ebx')), true],
    ['doubleword at 4', place + 4, (b) => b.mov('ecx', mem('ebx')), false],
    ['write of a doubleword at 1', place + 1, (b) => b.mov(mem('ebx'), 'ecx'), true],
    ['byte at 1', place + 1, (b) => b.mov('cl', mem('ebx')), false],
    ['FLD of 8 bytes at 4', place + 4, (b) => b.db(0x67, 0xdd, 0x03), true],
    ['doubleword across pages', place + 0xffe, (b) => b.mov('ecx', mem('ebx')), true],
    ['REP MOVSD at 2', place + 2, (b) => {
      b.mov('esi', place + 2)
      b.mov('edi', place + 0x100)
      b.mov('ecx', 2)
      b.label(b.fresh('movs'))
      b.db(0xf3, 0xa5)
    }, true],
    ['XCHG at 1', place + 1, (b) => b.db(0x67, 0x87, 0x0b), true],
  ]
  for (const [name, address, body, checked] of rows) {
    for (const [am, ac, ring] of [[true, true, 3], [false, true, 3], [true, false, 3], [true, true, 0]] as const) {
      if (g.bits === 32 && name.startsWith('FLD')) continue
      g.probe(`alignment: ${name}, ${am ? 'AM ' : ''}${ac ? 'AC ' : ''}level ${ring}`, {
        ring, flags: ac ? Flag.AC | 2 : 2, setup: () => {
          a.db(0xdb, 0xe3)
          setCr0(g, am ? 0x40000 : 0)
          a.mov('ebx', address)
        },
        body: (b) => {
          if (g.bits === 32 && name.startsWith('XCHG')) b.db(0x87, 0x0b)
          else body(b)
        },
        expect: am && ac && ring === 3 && checked ? { vector: AC, error: 0 } : { vector: DONE }, after: () => setCr0(g, 0),
      })
    }
  }
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

/** What control registers refuse. */
function addControl(g: Guest): void {
  const { a } = g
  const register = accumulator(g)
  const refuse = (name: string, to: string, value: bigint | number, vector: number = GP): void => {
    raises(g, `${to} refuses ${name}`, () => a.mov(to, register), {
      vector, ...vector === GP ? { error: 0 } : {},
    }, { setup: () => a.mov(register, value) })
  }
  refuse('PG without PE', 'cr0', 0x80000030)
  refuse('NW without CD', 'cr0', 0xa0010031)
  refuse('a bit that it does not have', 'cr4', 0x8000)
  refuse('a bit that it does not have', 'cr4', 0x80000000)
  for (const name of ['cr1', 'cr5', 'cr7']) refuse('to be there', name, 0, UD)
  if (g.bits === 64) {
    refuse('the high half', 'cr0', 0x180010031n)
    refuse('the high half', 'cr4', 0x100000020n)
    refuse('to leave PAE in long mode', 'cr4', 0)
    refuse('to stop paging in 64-bit mode', 'cr0', 0x31)
    refuse('addresses beyond 40 bits', 'cr3', 0x10000800000n)
    refuse('a priority above 15', 'cr8', 16)
    g.probe('cr8 takes a priority', {
      setup: () => a.mov('eax', 9), body: () => { a.mov('cr8', 'rax'); a.mov('rbx', 'cr8') }, expect: { vector: DONE, rbx: 9 },
      after: () => { a.mov('eax', 0); a.mov('cr8', 'rax') },
    })
  }
}

/** What MSRs refuse. */
function addMsrs(g: Guest): void {
  const { a } = g
  const msrs: readonly (readonly [string, number, bigint])[] = [
    ['an MSR that is not there', 0x12345678, 0n], ['a bit that EFER does not have', 0xc0000080, 0x10d00n],
    ['EFER.LME while paging', 0xc0000080, g.bits === 64 ? 0x800n : 0x900n],
    ['a high half of SYSENTER_CS', 0x174, 1n << 32n], ['a reserved PAT type', 0x277, 2n],
    ['a reserved bit of APIC_BASE', 0x1b, 0xfee00800n | 1n << 40n],
    ...g.bits === 64 ? [['a non-canonical LSTAR', 0xc0000082, HOLE], ['a non-canonical FS.base', 0xc0000100, HOLE], [
      'a non-canonical KERNEL_GS_BASE', 0xc0000102, HOLE,
    ],
      ['a non-canonical SYSENTER_EIP', 0x176, HOLE]] as const : [],
  ]
  for (const [name, index, value] of msrs) {
    raises(g, `WRMSR refuses ${name}`, () => a.db(0x0f, 0x30), { vector: GP, error: 0 }, {
      setup: () => { a.mov('ecx', index); a.mov('eax', value & 0xffffffffn); a.mov('edx', value >> 32n) },
    })
  }
  raises(
    g, 'RDMSR refuses an MSR that is not there', () => a.db(0x0f, 0x32), { vector: GP, error: 0 },
    { setup: () => a.mov('ecx', 0x12345678) },
  )
}

/** Non-canonical addresses: #GP, by the stack #SS, in every way to get one. */
function addCanonical(g: Guest): void {
  const { a } = g
  const hole = (b: Assembler): void => b.mov('rbx', HOLE)
  raises(g, 'canonical: load', () => a.mov('rcx', mem('rbx')), { vector: GP, error: 0 }, { setup: hole })
  raises(g, 'canonical: store', () => a.mov(mem('rbx'), 'rcx'), { vector: GP, error: 0 }, { setup: hole })
  raises(
    g, 'canonical: load that ends beyond', () => a.mov('rcx', mem('rbx')), { vector: GP, error: 0 },
    { setup: (b) => b.mov('rbx', HOLE - 4n) },
  )
  raises(
    g, 'canonical: load by RSP', () => a.mov('rcx', mem('rsp')), { vector: SS, error: 0, rsp: HOLE },
    { setup: (b) => b.mov('rsp', HOLE) },
  )
  raises(
    g, 'canonical: load by RBP', () => a.mov('rcx', mem('rbp')), { vector: SS, error: 0 }, { setup: (b) => b.mov('rbp', HOLE) },
  )
  raises(g, 'canonical: PUSH', () => a.push('rcx'), { vector: SS, error: 0 }, { setup: (b) => b.mov('rsp', HOLE + 8n) })
  raises(g, 'canonical: POP', () => a.pop('rcx'), { vector: SS, error: 0, rsp: HOLE }, { setup: (b) => b.mov('rsp', HOLE) })
  raises(
    g, 'canonical: CALL with a bad stack', () => a.call('start'), { vector: SS, error: 0 },
    { setup: (b) => b.mov('rsp', HOLE + 8n) },
  )
  raises(
    g, 'canonical: RET with a bad stack', () => a.ret(), { vector: SS, error: 0, rsp: HOLE }, { setup: (b) => b.mov('rsp', HOLE) },
  )
  raises(
    g, 'canonical: IRETQ with a bad stack', () => a.iret(), { vector: SS, error: 0, rsp: HOLE },
    { setup: (b) => b.mov('rsp', HOLE) },
  )
  raises(g, 'canonical: JMP to it', () => a.jmpTo('rbx'), { vector: GP, error: 0 }, { setup: hole })
  raises(g, 'canonical: CALL to it', () => a.callTo('rbx'), { vector: GP, error: 0, rsp: Place.STACK0 }, { setup: hole })
  raises(g, 'canonical: RET to it', () => a.ret(), {
    vector: GP, error: 0, rsp: Place.STACK0 - 8,
  }, { setup: (b) => { hole(b); b.push('rbx') } })
  raises(g, 'canonical: IRETQ to it', () => a.iret(), { vector: GP, error: 0, rsp: Place.STACK0 - 40 }, {
    setup: (b) => { hole(b); b.push(Selector.DATA); b.push(Place.STACK0); b.push(2); b.push(Selector.CODE64); b.push('rbx') },
  })
  raises(g, 'canonical: LGDT of such a base', () => a.lgdt(mem(DATA + 0x300)), { vector: GP, error: 0 }, {
    setup: (b) => { hole(b); b.store(mem(DATA + 0x300), 0xffff, 16); b.mov(mem(DATA + 0x302), 'rbx') },
  })
  raises(g, 'canonical: REP MOVSB from it', () => a.db(0xf3, 0xa4), { vector: GP, error: 0, rcx: 3 }, {
    setup: (b) => { b.mov('rsi', HOLE); b.mov('edi', DATA); b.mov('ecx', 3) },
  })
  g.probe('canonical: INVLPG of it is no fault', { setup: hole, body: () => a.invlpg(mem('rbx')), expect: { vector: DONE } })
  g.probe('canonical: LEA of it is no fault', {
    setup: hole, body: () => a.lea('rcx', mem('rbx', 1)), expect: { vector: DONE, rcx: HOLE + 1n },
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

/** QEMU does as it is told, without paging for example. */
function controlGuests(): Guest[] {
  return (['legacy', 'long'] as const).map((mode) => {
    const g = new Guest(`refused values ${mode}`, mode)
    g.notInQemu = 'takes most values'
    addControl(g)
    addMsrs(g)
    if (mode === 'long') addCanonical(g)
    return g
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
    addUnits(g)
    addAlignment(g)
    addDouble(g)
    addCrossing(g)
    return g
  })
  return [...guests, ...controlGuests(), beyondCanonical(), ...triples()]
}
