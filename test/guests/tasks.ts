/** Task switches by JMP, CALL, IRET and gates, with 32-bit and 16-bit TSSs (SDM Vol. 3A chapter 7). */
import { at, mem } from './assembler.ts'
import type { Assembler } from './assembler.ts'
import { Flag, Flags, Gate, Place, Selector, gate, segment } from './layout.ts'
import { DONE, Guest } from './monitor.ts'
import type { Expectation } from './monitor.ts'

const [DB, TS, NP, SS, GP] = [1, 10, 11, 12, 13]
const { BIG, PAGES } = Flags
const FREE = Selector.FREE
const Own = {
  TASK32: FREE, TASK16: FREE + 8, TASK_GATE: FREE + 16, ABSENT_TSS: FREE + 24, SMALL_TSS: FREE + 32, BUSY_TSS: FREE + 40,
  ABSENT_CODE: FREE + 48, ABSENT_DATA: FREE + 56, USER_TSS: FREE + 64, ABSENT_GATE: FREE + 72, GATE_TO_DATA: FREE + 80,
  BEYOND: 0x1000,
} as const
const TSS32 = Place.DATA
const TSS16 = Place.DATA + 0x1000
const TASK_STACK = Place.DATA + 0x8000
const EFLAGS = 0x246

/** What the tests change in a TSS of 32 bits. */
interface Image {
  readonly eip: string
  readonly cs?: number
  readonly ss?: number
  readonly ds?: number
  readonly ldt?: number
  readonly flags?: number
  readonly trap?: boolean
}

/** Writes a TSS, with recognisable registers. */
function writeTask32(a: Assembler, { eip, cs, ss, ds, ldt, flags, trap }: Image): void {
  const put = (offset: number, value: Parameters<Assembler['store']>[1]): void => a.store(mem(TSS32 + offset), value, 32)
  put(0, 0)
  put(0x1c, Place.TABLES)
  put(0x20, at(eip))
  put(0x24, flags ?? EFLAGS)
  for (let n = 0; n < 8; n++) put(0x28 + n * 4, n === 4 ? TASK_STACK : 0x1000 + n)
  const data = Selector.DATA
  const segments = [data, cs ?? Selector.CODE32, ss ?? data, ds ?? data, 0, data]
  segments.forEach((value, n) => put(0x48 + n * 4, value))
  put(0x60, ldt ?? 0)
  put(0x64, (trap === true ? 1 : 0) | (0x68 << 16))
  a.store(mem(Place.GDT + Own.TASK32 + 5), 0x89, 8)
  a.store(mem(Place.GDT + Selector.TSS + 5), 0x8b, 8)
}

function writeTask16(a: Assembler, ip: string): void {
  const put = (offset: number, value: Parameters<Assembler['store']>[1]): void => a.store(mem(TSS16 + offset), value, 16)
  put(0, 0)
  put(0x0e, { label: ip, plus: 0, mask: 0xffff })
  put(0x10, EFLAGS)
  for (let n = 0; n < 8; n++) put(0x12 + n * 2, n === 4 ? Place.REAL_STACK : 0x100 + n)
  const segments = [Selector.DATA16, Selector.CODE16, Selector.DATA16, Selector.DATA16]
  segments.forEach((value, n) => put(0x22 + n * 2, value))
  put(0x2a, 0)
  a.store(mem(Place.GDT + Own.TASK16 + 5), 0x81, 8)
}

function define(g: Guest): void {
  const tss = (selector: number, base: number, access: number, limit = 0x67): void => g.gdt(selector, segment(base, limit, access))
  tss(Own.TASK32, TSS32, 0x89)
  tss(Own.TASK16, TSS16, 0x81, 0x2b)
  tss(Own.ABSENT_TSS, TSS32, 0x09)
  tss(Own.SMALL_TSS, TSS32, 0x89, 0x66)
  tss(Own.BUSY_TSS, TSS32, 0x8b)
  tss(Own.USER_TSS, TSS32, 0xe9)
  g.poke(Place.TSS + 0x1c, Place.TABLES, 4)
  g.gdt(Own.TASK_GATE, gate(Gate.TASK, 3, Own.TASK32, 0))
  g.gdt(Own.ABSENT_GATE, gate(Gate.TASK, 3, Own.TASK32, 0, 0, false))
  g.gdt(Own.GATE_TO_DATA, gate(Gate.TASK, 3, Selector.DATA, 0))
  g.gdt(Own.ABSENT_CODE, segment(0, 0xfffff, 0x1a, BIG | PAGES))
  g.gdt(Own.ABSENT_DATA, segment(0, 0xfffff, 0x12, BIG | PAGES))
}

/** Back in the monitor's own task: the scene of the next probe. */
function restore(a: Assembler): void {
  a.store(mem(Place.GDT + Selector.TSS + 5), 0x89, 8)
  a.mov('ax', Selector.TSS)
  a.ltr('ax')
  a.db(0x0f, 0x06)
  a.mov('eax', 0)
}

/** Busy bits of both descriptors in EAX and EBX, the back link in ECX, CR0.TS in EDX, the old EIP in ESI, EFLAGS in EDI. */
function showLinks(a: Assembler): void {
  for (const name of ['eax', 'ebx', 'ecx']) a.mov(name, 0)
  a.mov('al', mem(Place.GDT + Own.TASK32 + 5))
  a.mov('bl', mem(Place.GDT + Selector.TSS + 5))
  a.mov('cx', mem(TSS32))
  a.mov('edx', 'cr0')
  a.and('edx', 8)
  a.mov('esi', mem(Place.TSS + 0x20))
  a.mov('edi', mem(Place.TSS + 0x24))
  a.mov('ebp', mem(Place.TSS + 0x3c))
}

/** A switch to the 32-bit task and a look at its registers, then at what the switch left in memory. */
function addSwitch(g: Guest, name: string, body: (a: Assembler, back: string) => void, nested: boolean, ring: 0 | 3 = 0): void {
  const { a } = g
  const entry = a.fresh('task')
  const back = a.fresh('back')
  const returned = a.fresh('returned')
  g.elsewhere(Place.USER_CODE, 32, () => {
    a.label(entry)
    a.int(DONE)
  })
  g.probe(`${name}: the new task's registers`, {
    ring, setup: () => writeTask32(a, { eip: entry }),
    body: () => {
      a.mov('ebp', 0x5678)
      a.label(returned)
      body(a, back)
      a.label(back)
    },
    expect: {
      vector: DONE, rip: at(entry, 2), cs: Selector.CODE32, ss: Selector.DATA, rsp: TASK_STACK,
      flags: EFLAGS | (nested ? Flag.NT : 0),
      flagsMask: 0x3fffff, rax: 0x1000, rcx: 0x1001, rdx: 0x1002, rbx: 0x1003, rbp: 0x1005, rsi: 0x1006, rdi: 0x1007,
      ds: Selector.DATA,
      es: Selector.DATA, fs: 0, gs: Selector.DATA,
    },
    after: () => {
      showLinks(a)
      g.observe(`${name}: links and the old task's registers`, {
        rax: 0x8b, rbx: nested ? 0x8b : 0x89, rcx: nested ? Selector.TSS : 0, rdx: 8, rsi: at(back), rbp: 0x5678,
      })
      restore(a)
    },
  })
}

function addSwitches(g: Guest): void {
  addSwitch(g, 'JMP to a TSS', (a) => a.farJump(Own.TASK32, 0), false)
  addSwitch(g, 'CALL to a TSS', (a) => a.farCall(Own.TASK32, 0), true)
  addSwitch(g, 'JMP to a task gate', (a) => a.farJump(Own.TASK_GATE, 0), false)
  addSwitch(g, 'CALL to a task gate', (a) => a.farCall(Own.TASK_GATE, 0), true)
  addSwitch(g, 'CALL to a task gate from level 3', (a) => a.farCall(Own.TASK_GATE | 3, 0), true, 3)
  g.idt(0x40, gate(Gate.TASK, 3, Own.TASK32, 0))
  addSwitch(g, 'INT through a task gate', (a) => a.int(0x40), true)
  addSwitch(g, 'INT through a task gate from level 3', (a) => a.int(0x40), true, 3)
}

/** CALL, and back by IRET: the old task goes on where it was, and its busy bit and NT are right. */
function addRoundTrip(g: Guest): void {
  const { a } = g
  const entry = a.fresh('task')
  const body = a.fresh('body')
  g.elsewhere(Place.USER_CODE, 32, () => {
    a.label(entry)
    a.iret()
  })
  g.probe('CALL and IRET: back in the old task', {
    setup: () => writeTask32(a, { eip: entry }), flags: 0x4d7 & ~0x100,
    body: () => {
      a.mov('ebp', 0x1357)
      a.mov('edi', 0x2468)
      a.farCall(Own.TASK32, 0)
      a.label(body)
    },
    expect: {
      vector: DONE, rip: at(body, 2), cs: Selector.CODE32, rsp: Place.STACK0, rbp: 0x1357, rdi: 0x2468, flags: 0x4d7,
      flagsMask: 0x3fffff,
    },
    after: () => {
      showLinks(a)
      g.observe('CALL and IRET: links', { rax: 0x89, rbx: 0x8b, rdx: 8 })
      a.mov('eax', mem(TSS32 + 0x20))
      a.mov('ebx', mem(TSS32 + 0x24))
      g.observe('CALL and IRET: the inner task will go on after its IRET, without NT', { rax: at(entry, 1), rbx: EFLAGS })
      restore(a)
    },
  })
  g.probe('IRET with NT and a link that is null', {
    setup: () => {
      a.store(mem(Place.TSS), 0, 16)
      a.push(0x4002)
      a.popf()
    },
    body: () => a.iret(), expect: { vector: TS, error: 0, flags: 0x4002 | Flag.RF, cs: Selector.CODE32 },
  })
  g.probe('IRET with NT and a link that is not busy', {
    setup: () => {
      a.store(mem(Place.TSS), Own.TASK32, 16)
      a.push(0x4002)
      a.popf()
    },
    body: () => a.iret(), expect: { vector: TS, error: Own.TASK32, flags: 0x4002 | Flag.RF },
  })
}

function addNarrow(g: Guest): void {
  const { a } = g
  const entry = a.fresh('narrow')
  g.elsewhere(Place.CODE16, 16, () => {
    a.label(entry)
    a.int(DONE)
  })
  g.probe('JMP to a 16-bit TSS', {
    setup: () => writeTask16(a, entry), body: () => a.farJump(Own.TASK16, 0),
    expect: {
      vector: DONE, rip: at(entry, 2), cs: Selector.CODE16, ss: Selector.DATA16, ds: Selector.DATA16, es: Selector.DATA16, fs: 0,
      gs: 0,
      flags: EFLAGS, flagsMask: 0x3fffff, rdi: 0x107,
    },
    after: () => restore(a),
  })
  const toWide = a.fresh('narrow')
  const wide = a.fresh('task')
  g.elsewhere(Place.CODE16, 16, () => {
    a.label(toWide)
    a.mov('ax', 0x4321)
    a.farCall(Own.TASK32, 0)
    a.int(DONE)
  })
  g.elsewhere(Place.USER_CODE, 32, () => {
    a.label(wide)
    a.iret()
  })
  g.probe('from a 16-bit to a 32-bit task and back', {
    setup: () => {
      writeTask32(a, { eip: wide })
      writeTask16(a, toWide)
    },
    body: () => a.farJump(Own.TASK16, 0),
    expect: { vector: DONE, cs: Selector.CODE16, ss: Selector.DATA16 },
    after: () => {
      a.mov('eax', 0)
      a.mov('ax', mem(TSS16 + 0x12))
      g.observe('the 16-bit TSS keeps AX', { rax: 0x4321 })
      restore(a)
    },
  })
}

/** Refused before the switch: the fault is the old task's. */
function addRefusals(g: Guest): void {
  const { a } = g
  const rows: readonly (readonly [string, number, number, number])[] = [
    ['absent TSS', Own.ABSENT_TSS, NP, Own.ABSENT_TSS], ['short TSS', Own.SMALL_TSS, TS, Own.SMALL_TSS],
    ['busy TSS', Own.BUSY_TSS, GP, Own.BUSY_TSS],
    ['RPL above DPL', Own.TASK32 | 3, GP, Own.TASK32], ['absent task gate', Own.ABSENT_GATE, NP, Own.ABSENT_GATE],
    ['task gate to data', Own.GATE_TO_DATA, GP, Selector.DATA],
  ]
  for (const [name, selector, vector, error] of rows) for (const call of [false, true]) {
    const label = a.fresh('refused')
    g.probe(`${call ? 'CALL' : 'JMP'} refused: ${name}`, {
      setup: () => writeTask32(a, { eip: 'start' }),
      body: () => {
        a.label(label)
        if (call) a.farCall(selector, 0)
        else a.farJump(selector, 0)
      },
      expect: { vector, error, rip: at(label), cs: Selector.CODE32, rsp: Place.STACK0 },
    })
  }
  g.probe('INT through a task gate to a busy TSS', {
    setup: () => a.store(mem(Place.IDT + 0x41 * 8 + 2), Own.BUSY_TSS, 16),
    body: () => {
      a.label('int-busy')
      a.int(0x41)
    },
    expect: { vector: GP, error: Own.BUSY_TSS, rip: at('int-busy') },
  })
  g.idt(0x41, gate(Gate.TASK, 3, Own.BUSY_TSS, 0))
}

/** Faults of the new task's own segments: its EIP, with the task switched. */
function addBadTasks(g: Guest): void {
  const { a } = g
  const rows: readonly (readonly [string, Partial<Image>, Expectation])[] = [
    ['CS null', { cs: 0 }, { vector: TS, error: 0 }],
    ['CS beyond the table', { cs: Own.BEYOND }, { vector: TS, error: Own.BEYOND }],
    ['CS is data', { cs: Selector.DATA }, { vector: TS, error: Selector.DATA }],
    ['CS absent', { cs: Own.ABSENT_CODE }, { vector: NP, error: Own.ABSENT_CODE }],
    ['LDT is no LDT', { ldt: Selector.DATA }, { vector: TS, error: Selector.DATA }],
  ]
  // A task without a usable stack cannot take its own fault: #TS and its like have a task of their own.
  for (const [name, image, expect] of rows) {
    g.probe(`bad task: ${name}`, {
      setup: () => {
        writeTask32(a, { eip: 'start', ...image })
        guardTask(g)
      },
      body: () => a.farJump(Own.TASK32, 0),
      expect: { vector: expect.vector, error: expect.error, rip: at('start') },
      after: () => {
        unguard(g)
        restore(a)
      },
    })
  }
  const stack: readonly (readonly [string, Partial<Image>, number, number])[] = [
    ['SS null', { ss: 0 }, TS, 0], ['SS absent', { ss: Own.ABSENT_DATA }, SS, Own.ABSENT_DATA],
    ['SS is code', { ss: Selector.CODE32 }, TS, Selector.CODE32],
    ['SS of level 3', { ss: Selector.USER_DATA }, TS, Selector.USER_DATA & ~3],
    ['DS absent', { ds: Own.ABSENT_DATA }, NP, Own.ABSENT_DATA], ['DS beyond the table', { ds: Own.BEYOND }, TS, Own.BEYOND],
  ]
  for (const [name, image, vector, error] of stack) {
    g.probe(`bad task: ${name}`, {
      setup: () => {
        writeTask32(a, { eip: 'start', ...image })
        guardTask(g)
      },
      body: () => a.farJump(Own.TASK32, 0), expect: { vector, error, rip: at('start') },
      after: () => {
        unguard(g)
        restore(a)
      },
    })
  }
}

const GUARDED = [TS, NP, SS, GP]
const GUARD_TSS = Place.DATA + 0x3000
const GUARD = FREE + 0x100

/**
 * Sends #TS, #NP, #SS and #GP through task gates to a task that has everything, and whose entry looks like the monitor's stub: the
 * error code on its stack, and the faulting task's CS and EIP from its TSS.
 */
function guardTask(g: Guest): void {
  const { a } = g
  GUARDED.forEach((vector, n) => {
    a.store(mem(Place.IDT + vector * 8), BigInt(GUARD + n * 8) << 16n, 32)
    a.store(mem(Place.IDT + vector * 8 + 4), 0x8500, 32)
    a.store(mem(Place.GDT + GUARD + n * 8 + 5), 0x89, 8)
  })
}

function unguard(g: Guest): void {
  GUARDED.forEach((vector) => {
    g.a.mov('eax', mem(SAVED_GATES + vector * 8))
    g.a.mov(mem(Place.IDT + vector * 8), 'eax')
    g.a.mov('eax', mem(SAVED_GATES + vector * 8 + 4))
    g.a.mov(mem(Place.IDT + vector * 8 + 4), 'eax')
  })
}

const SAVED_GATES = Place.DATA + 0x6000

/** The guards' TSSs and their common code. */
function defineGuards(g: Guest): void {
  const { a } = g
  a.mov('esi', Place.IDT)
  a.mov('edi', SAVED_GATES)
  a.mov('ecx', 0x20)
  a.db(0xf3, 0xa5)
  GUARDED.forEach((vector, n) => {
    const tss = GUARD_TSS + n * 0x80
    g.gdt(GUARD + n * 8, segment(tss, 0x67, 0x89))
    g.poke(tss + 0x1c, Place.TABLES, 4)
    g.poke(tss + 0x24, 2, 4)
    g.poke(tss + 0x38, Place.DATA + 0x9000, 4)
    ;[Selector.DATA, Selector.CODE32, Selector.DATA, Selector.DATA, Selector.DATA, Selector.DATA].forEach((value, index) => {
      g.poke(tss + 0x48 + index * 4, value, 4)
    })
    g.poke(tss + 0x64, 0x680000, 4)
    const entry = a.fresh('guard')
    g.elsewhere(Place.USER_CODE + 0x20000, 32, () => {
      a.label(entry)
      guardCode(a, vector)
    })
    a.store(mem(tss + 0x20), at(entry), 32)
  })
}

/** [error] on the stack; the fault's EIP, CS and EFLAGS are in the TSS of the failed task. The frame is made as an interrupt's. */
function guardCode(a: Assembler, vector: number): void {
  a.pop('edx')
  a.push(mem(TSS32 + 0x24))
  a.push(Selector.CODE32)
  a.push(mem(TSS32 + 0x20))
  a.push('edx')
  a.push(vector)
  a.jmp('monitor.catch')
}

/** The T bit of a TSS: #DB before the new task's first instruction, with DR6.BT. */
function addTrap(g: Guest): void {
  const { a } = g
  const entry = a.fresh('task')
  g.elsewhere(Place.USER_CODE, 32, () => {
    a.label(entry)
    a.nop()
    a.int(DONE)
  })
  g.probe('the T flag of a TSS', {
    setup: () => writeTask32(a, { eip: entry, trap: true }), body: () => a.farJump(Own.TASK32, 0),
    expect: { vector: DB, rip: at(entry), dr6: 0xffff8ff0 },
    after: () => {
      a.mov('eax', 0xffff0ff0)
      a.mov('dr6', 'eax')
      restore(a)
    },
  })
  g.probe('a switch clears the local breakpoints, and no other bit', {
    setup: () => {
      writeTask32(a, { eip: entry })
      a.mov('eax', 0x100)
      a.mov('dr3', 'eax')
      a.mov('eax', 0x1c0 | 0x400 | 0xf0000000)
      a.mov('dr7', 'eax')
    },
    body: () => a.farJump(Own.TASK32, 0), expect: { vector: DONE },
    after: () => {
      a.mov('eax', 'dr7')
      g.observe('DR7 after the switch', { rax: 0xf0000580 })
      a.mov('eax', 0x400)
      a.mov('dr7', 'eax')
      restore(a)
    },
  })
}

export function taskGuests(): Guest[] {
  return (['protected', 'legacy'] as const).map((mode) => {
    const g = new Guest(`tasks ${mode}`, mode)
    define(g)
    defineGuards(g)
    addSwitches(g)
    addRoundTrip(g)
    addNarrow(g)
    addRefusals(g)
    addBadTasks(g)
    addTrap(g)
    return g
  })
}
