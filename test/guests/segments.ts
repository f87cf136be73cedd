/** Segmentation in 32-bit protected mode: loads of segment registers, limits, types, null (SDM Vol. 3A chapters 3 and 5). */
import { mem } from './assembler.ts'
import type { Assembler } from './assembler.ts'
import { Access, Flags, Place, Selector, segment } from './layout.ts'
import { DONE, Guest } from './monitor.ts'

const [NP, SS, GP] = [11, 12, 13]
const FREE = Selector.FREE
const { BIG, PAGES } = Flags

/** Selectors of the guest's own segments. All have base Place.DATA. */
const Test = {
  LIMITED: FREE, READ_ONLY: FREE + 8, DOWN32: FREE + 16, DOWN16: FREE + 24, EXECUTE_ONLY: FREE + 32, READABLE: FREE + 40,
  ABSENT: FREE + 48, USER: FREE + 56, CONFORMING: FREE + 64, ABSENT_CODE: FREE + 72, PAGES: FREE + 80, DOWN_PAGES: FREE + 88,
  GATE: FREE + 96, BEYOND: 0x1000, LEVEL1: FREE + 104, TOP: FREE + 112,
} as const
const LIMIT = 0xfff

function define(g: Guest): void {
  const own = (selector: number, access: number, flags: number = BIG, limit = LIMIT): void =>
    g.gdt(selector, segment(Place.DATA, limit, access, flags))
  own(Test.LIMITED, 0x92)
  own(Test.READ_ONLY, 0x90)
  own(Test.DOWN32, 0x96)
  own(Test.DOWN16, 0x96, 0)
  own(Test.EXECUTE_ONLY, 0x98)
  own(Test.READABLE, 0x9a)
  own(Test.ABSENT, 0x12)
  own(Test.USER, 0xf2)
  own(Test.CONFORMING, 0x9e)
  own(Test.ABSENT_CODE, 0x1a)
  own(Test.PAGES, 0x92, BIG | PAGES, 1)
  own(Test.DOWN_PAGES, 0x96, BIG | PAGES, 1)
  own(Test.LEVEL1, 0xb2)
  g.gdt(Test.GATE, 0x00008c0000080000n)
  g.gdt(Test.TOP, segment(0, 0xfffff, Access.DATA, BIG | PAGES))
}

function load(a: Assembler, register: string, selector: number): void {
  a.mov('ax', selector)
  a.mov(register, 'ax')
}

type Width = 8 | 16 | 32
const REGISTER: Record<Width, string> = { 8: 'cl', 16: 'cx', 32: 'ecx' }

/** [segment, access, offset, width, vector (0: none)] through ES. */
const ACCESSES: readonly (readonly [string, number, 'read' | 'write' | 'modify', number, Width, number])[] = [
  ['limited', Test.LIMITED, 'read', LIMIT, 8, 0], ['limited', Test.LIMITED, 'read', LIMIT + 1, 8, GP],
  ['limited', Test.LIMITED, 'read', LIMIT - 1, 16, 0], ['limited', Test.LIMITED, 'read', LIMIT, 16, GP],
  ['limited', Test.LIMITED, 'write', LIMIT - 3, 32, 0], ['limited', Test.LIMITED, 'write', LIMIT - 2, 32, GP],
  ['limited', Test.LIMITED, 'write', LIMIT, 32, GP], ['limited', Test.LIMITED, 'read', 0xffffffff, 8, GP],
  ['limited', Test.LIMITED, 'read', 0xfffffffe, 32, GP], ['limited', Test.LIMITED, 'modify', LIMIT - 2, 32, GP],
  ['read-only', Test.READ_ONLY, 'read', 0, 32, 0], ['read-only', Test.READ_ONLY, 'write', 0, 32, GP],
  ['read-only', Test.READ_ONLY, 'modify', 0, 32, GP],
  ['readable code', Test.READABLE, 'read', 0, 32, 0], ['readable code', Test.READABLE, 'write', 0, 32, GP],
  ['readable code', Test.READABLE, 'read', LIMIT, 16, GP],
  ['expand-down', Test.DOWN32, 'read', LIMIT, 8, GP], ['expand-down', Test.DOWN32, 'read', LIMIT + 1, 8, 0],
  ['expand-down', Test.DOWN32, 'read', LIMIT - 1, 32, GP], ['expand-down', Test.DOWN32, 'write', 0, 8, GP],
  ['expand-down', Test.DOWN32, 'read', 0x10000, 32, 0], ['expand-down', Test.DOWN32, 'read', 0xfffffffd, 32, GP],
  ['16-bit expand-down', Test.DOWN16, 'read', LIMIT + 1, 8, 0], ['16-bit expand-down', Test.DOWN16, 'read', 0xffff, 8, 0],
  ['16-bit expand-down', Test.DOWN16, 'read', 0xffff, 16, GP], ['16-bit expand-down', Test.DOWN16, 'read', 0x10000, 8, GP],
  ['16-bit expand-down', Test.DOWN16, 'write', LIMIT, 8, GP],
  ['limit in pages', Test.PAGES, 'read', 0x1fff, 8, 0], ['limit in pages', Test.PAGES, 'read', 0x2000, 8, GP],
  ['limit in pages', Test.PAGES, 'write', 0x1ffd, 32, GP],
  ['expand-down in pages', Test.DOWN_PAGES, 'read', 0x1fff, 8, GP], ['expand-down in pages', Test.DOWN_PAGES, 'read', 0x2000, 8, 0],
  ['flat', Test.TOP, 'read', 0x100, 32, 0],
]

function addAccesses(g: Guest): void {
  for (const register of ['es', 'gs'] as const) for (const [name, selector, access, offset, width, vector] of ACCESSES) {
    const label = g.a.fresh('access')
    g.probe(`limits: ${access} of ${width} bits at 0x${offset.toString(16)} in ${name}, by ${register}`, {
      setup: (a) => {
        load(a, register, selector)
        a.mov('ebx', offset)
      },
      body: (a) => {
        const place = mem('ebx', 0, register)
        a.label(label)
        if (access === 'read') a.mov(REGISTER[width], place)
        else if (access === 'write') a.mov(place, REGISTER[width])
        else a.add(place, REGISTER[width])
      },
      expect: vector === 0 ? { vector: DONE } : { vector, error: 0, rip: { label, plus: 0 } },
    })
  }
}

/** Wider accesses: 8 bytes (FLD), 16 bytes (MOVUPS), a far pointer of 6 bytes, a string operation, the stack. */
function addWide(g: Guest): void {
  const through = (name: string, offset: number, vector: number, body: (a: Assembler) => void): void => {
    const label = g.a.fresh('wide')
    g.probe(`limits: ${name} at 0x${offset.toString(16)}`, {
      setup: (a) => {
        load(a, 'es', Test.LIMITED)
        a.mov('ebx', offset)
        a.mov('edi', offset)
        a.mov('ecx', 0)
      },
      body: (a) => {
        a.label(label)
        body(a)
      },
      expect: vector === 0 ? { vector: DONE } : { vector, error: 0, rip: { label, plus: 0 } },
    })
  }
  const fld = (a: Assembler): void => a.db(0x26, 0xdd, 0x03)
  through('FLD of 8 bytes', LIMIT - 7, 0, fld)
  through('FLD of 8 bytes', LIMIT - 6, GP, fld)
  const lfs = (a: Assembler): void => a.db(0x26, 0x0f, 0xb4, 0x0b)
  through('LFS of 6 bytes', LIMIT - 5, 0, lfs)
  through('LFS of 6 bytes', LIMIT - 4, GP, lfs)
  through('LFS of 6 bytes', LIMIT - 1, GP, lfs)
  const stosd = (a: Assembler): void => a.db(0xab)
  through('STOSD', LIMIT - 3, 0, stosd)
  through('STOSD', LIMIT - 2, GP, stosd)
  const sgdt = (a: Assembler): void => a.db(0x26, 0x0f, 0x01, 0x03)
  through('SGDT of 6 bytes', LIMIT - 5, 0, sgdt)
  through('SGDT of 6 bytes', LIMIT - 4, GP, sgdt)
  const cmpxchg8b = (a: Assembler): void => a.db(0x26, 0x0f, 0xc7, 0x0b)
  through('CMPXCHG8B', LIMIT - 7, 0, cmpxchg8b)
  through('CMPXCHG8B', LIMIT - 6, GP, cmpxchg8b)
  const bound = (a: Assembler): void => a.db(0x26, 0x62, 0x0b)
  through('BOUND of 8 bytes', LIMIT - 3, GP, bound)
}

/** REP MOVSB up to the limit: everything before it is copied, and the registers say how far it came. */
function addRepeated(g: Guest): void {
  g.probe('limits: REP STOSB past the limit stops there', {
    setup: (a) => {
      load(a, 'es', Test.LIMITED)
      a.mov('edi', LIMIT - 9)
      a.mov('ecx', 100)
      a.mov('eax', 0x55)
    },
    body: (a) => {
      a.label('rep-stos')
      a.db(0xf3, 0xaa)
    },
    expect: { vector: GP, error: 0, rip: { label: 'rep-stos', plus: 0 }, rcx: 90, rdi: LIMIT + 1 },
  })
  g.probe('limits: REP MOVSD backwards below offset 0', {
    setup: (a) => {
      load(a, 'es', Test.LIMITED)
      a.mov('esi', Place.DATA + 0x2000)
      a.mov('edi', 8)
      a.mov('ecx', 5)
    },
    body: (a) => {
      a.db(0xfd)
      a.label('rep-movs')
      a.db(0xf3, 0xa5)
    },
    expect: { vector: GP, error: 0, rip: { label: 'rep-movs', plus: 0 }, rcx: 2, rdi: 0xfffffffc, rsi: Place.DATA + 0x1ff4 },
  })
}

/** [register, selector, ring, vector, error] of MOV to a segment register. */
const LOADS: readonly (readonly [string, string, number, 0 | 3, number, number])[] = [
  ['ds', 'null', 0, 0, 0, 0], ['ds', 'null with RPL 3', 3, 0, 0, 0], ['ss', 'null', 0, 0, GP, 0], ['ss', 'null', 0, 3, GP, 0],
  ['ds', 'beyond the table', Test.BEYOND, 0, GP, Test.BEYOND], ['ss', 'beyond the table', Test.BEYOND, 0, GP, Test.BEYOND],
  ['ds', 'of the LDT, which is null', 0x0c, 0, GP, 0x0c],
  ['ds', 'absent', Test.ABSENT, 0, NP, Test.ABSENT], ['ss', 'absent', Test.ABSENT, 0, SS, Test.ABSENT],
  ['ds', 'execute-only', Test.EXECUTE_ONLY, 0, GP, Test.EXECUTE_ONLY], ['es', 'readable code', Test.READABLE, 0, 0, 0],
  ['ss', 'readable code', Test.READABLE, 0, GP, Test.READABLE], ['ss', 'read-only', Test.READ_ONLY, 0, GP, Test.READ_ONLY],
  ['fs', 'a gate', Test.GATE, 0, GP, Test.GATE], ['gs', 'a TSS', Selector.TSS, 0, GP, Selector.TSS],
  ['ds', 'level 0 with RPL 3', Test.LIMITED | 3, 0, GP, Test.LIMITED], ['ds', 'level 3', Test.USER, 0, 0, 0],
  ['ss', 'level 3', Test.USER, 0, GP, Test.USER], ['ss', 'level 0 with RPL 3', Test.LIMITED | 3, 0, GP, Test.LIMITED],
  ['ds', 'level 0', Test.LIMITED, 3, GP, Test.LIMITED], ['ds', 'level 3', Test.USER | 3, 3, 0, 0],
  ['ds', 'level 3 with RPL 0', Test.USER, 3, 0, 0],
  ['ss', 'level 3 with RPL 0', Test.USER, 3, GP, Test.USER], ['ds', 'level 1', Test.LEVEL1 | 1, 3, GP, Test.LEVEL1],
  ['ds', 'conforming readable code', Test.CONFORMING, 3, 0, 0],
  ['es', 'readable code of level 0', Test.READABLE, 3, GP, Test.READABLE],
  ['ds', 'absent of level 0', Test.ABSENT, 3, GP, Test.ABSENT],
]

function addLoads(g: Guest): void {
  for (const [register, name, selector, ring, vector, error] of LOADS) {
    const label = g.a.fresh('load')
    g.probe(`loads: ${register} from level ${ring}: ${name}`, {
      ring, setup: (a) => load(a, 'fs', 0),
      body: (a) => {
        a.mov('eax', selector)
        a.label(label)
        a.mov(register, 'ax')
      },
      expect: vector === 0 ? { vector: DONE, [register]: selector } : { vector, error, rip: { label, plus: 0 } },
    })
  }
  g.probe('loads: CS cannot be loaded by MOV', { body: (a) => a.db(0x8e, 0xc8), expect: { vector: 6 } })
  g.probe('loads: there is no segment register 6', { body: (a) => a.db(0x8e, 0xf0), expect: { vector: 6 } })
  g.probe('loads: a null segment cannot be read', {
    setup: (a) => load(a, 'es', 0), body: (a) => a.mov('eax', mem(Place.DATA, 0, 'es')), expect: { vector: GP, error: 0, es: 0 },
  })
  g.probe('loads: a null segment cannot be written by a string instruction', {
    setup: (a) => {
      load(a, 'es', 3)
      a.mov('edi', Place.DATA)
    },
    body: (a) => a.db(0xaa), expect: { vector: GP, error: 0, es: 3, rdi: Place.DATA },
  })
  g.probe('loads: POP of a bad selector leaves ESP', {
    setup: (a) => a.push(Test.BEYOND), body: (a) => a.db(0x07), expect: { vector: GP, error: Test.BEYOND, rsp: Place.STACK0 - 4 },
  })
  g.probe('loads: LES with a bad selector leaves the register', {
    setup: (a) => {
      a.store(mem(Place.DATA), 0x12345678, 32)
      a.store(mem(Place.DATA + 4), Test.ABSENT, 32)
      a.mov('ebx', 7)
    },
    body: (a) => a.db(0xc4, 0x1d, Place.DATA & 0xff, (Place.DATA >> 8) & 0xff, (Place.DATA >> 16) & 0xff, 0),
    expect: { vector: NP, error: Test.ABSENT, rbx: 7, es: Selector.DATA },
  })
}

/** A load sets the accessed bit in the table, and only a load that succeeds. */
function addAccessed(g: Guest): void {
  for (const [name, selector, ok] of [['user', Test.USER, true], ['absent', Test.ABSENT, false]] as const) {
    g.probe(`accessed: after ${name}`, {
      setup: (a) => a.store(mem(Place.GDT + selector + 5), ok ? 0xf2 : 0x12, 8), body: (a) => load(a, 'es', selector),
      expect: ok ? { vector: DONE } : { vector: NP, error: selector },
      after: (a) => {
        a.mov('eax', 0)
        a.mov('al', mem(Place.GDT + selector + 5))
        g.observe(`accessed: the bit after ${name}`, { rax: ok ? 0xf3 : 0x12 })
      },
    })
  }
}

/** Stacks with limits: pushes, pops, and 16-bit stacks that wrap. */
function addStacks(g: Guest): void {
  const onStack = (
    name: string, selector: number, esp: number, body: (a: Assembler) => void, vector: number, rsp: number,
  ): void => {
    const label = g.a.fresh('stack')
    g.probe(`stacks: ${name}`, {
      setup: (a) => {
        load(a, 'ss', selector)
        a.mov('esp', esp)
      },
      body: (a) => {
        a.label(label)
        body(a)
        // The record comes from a stack that can take it.
        load(a, 'ss', Selector.DATA)
        a.mov('ebx', 'esp')
        a.mov('esp', Place.STACK0)
      },
      expect: vector === 0 ? { vector: DONE, rbx: rsp } : { vector, error: 0, rip: { label, plus: 0 }, rsp },
    })
  }
  g.gdt(FREE + 120, segment(Place.DATA, 0xffff, 0x92))
  onStack('PUSH in a 16-bit stack wraps SP alone', FREE + 120, 0x20000, (a) => a.push(1), 0, 0x2fffc)
  onStack('POP in a 16-bit stack wraps SP alone', FREE + 120, 0x2fffc, (a) => a.pop('ecx'), 0, 0x20000)
  onStack('PUSH at the bottom of an expand-down stack', Test.DOWN32, LIMIT + 5, (a) => a.push(1), 0, LIMIT + 1)
  // The push below fails, and so does delivering #SS there: both reach the task-less #DF, so they have a stack segment with room.
  onStack('read of SS beyond the limit', Test.LIMITED, 0x800, (a) => a.mov('ecx', mem('esp', 0x800)), SS, 0x800)
  onStack('read by EBP beyond the limit', Test.LIMITED, 0x800, (a) => {
    a.mov('ecx', mem(0x1000, 0, 'ss'))
  }, SS, 0x800)
}

export function segmentGuests(): Guest[] {
  const g = new Guest('segments', 'protected')
  define(g)
  addAccesses(g)
  addWide(g)
  addRepeated(g)
  addLoads(g)
  addAccessed(g)
  addStacks(g)
  return [g]
}
