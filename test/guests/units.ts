/** When x87, MMX and SSE instructions may run, their exceptions, and alignment checks (SDM Vol. 3A §2.5, §6.15). */
import { at, mem } from './assembler.ts'
import type { Assembler } from './assembler.ts'
import { raises, setCr0, setCr4 } from './exceptions.ts'
import { Flag, Place } from './layout.ts'
import { DONE, Guest } from './monitor.ts'
import type { Expectation } from './monitor.ts'

const [UD, NM, MF, AC, XM] = [6, 7, 16, 17, 19]
const { DATA } = Place

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

export function unitGuests(): Guest[] {
  return (['legacy', 'long'] as const).map((mode) => {
    const g = new Guest(`units ${mode}`, mode, { cr4: 0x600 })
    addUnits(g)
    addAlignment(g)
    return g
  })
}
