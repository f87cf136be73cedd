/** Single steps and breakpoints (SDM Vol. 3B §18.2, §18.3). */
import { at, mem } from './assembler.ts'
import type { Assembler } from './assembler.ts'
import { Flag, Place, Selector } from './layout.ts'
import { DONE, Guest } from './monitor.ts'
import type { Expectation } from './monitor.ts'

const [DB, BP, UD, GP] = [1, 3, 6, 13]
const DR6 = 0xffff0ff0
const BS = 0xffff4ff0
const FMASK = 0xc0000084
const LSTAR = 0xc0000082
const STAR = 0xc0000081
const EFER = 0xc0000080
const { DATA } = Place

/** DR7 of one breakpoint, globally enabled. `length`: 1, 2, 4 or 8. */
function dr7(n: number, kind: 'execute' | 'write' | 'io' | 'access', length = 1): number {
  const condition = ['execute', 'write', 'io', 'access'].indexOf(kind)
  const size = [1, 2, 8, 4].indexOf(length)
  return (0x400 | (2 << (n * 2)) | (condition << (16 + n * 4)) | (size << (18 + n * 4))) >>> 0
}

function setDebug(a: Assembler, register: string, value: Parameters<Assembler['mov']>[1]): void {
  a.mov('eax', value)
  a.mov(register, a.mode === 64 ? 'rax' : 'eax')
}

/** Leaves no breakpoint and no trace of one. */
function clearDebug(a: Assembler): void {
  setDebug(a, 'dr7', 0x400)
  setDebug(a, 'dr6', DR6)
  a.mov('eax', 0)
}

/** Single steps: `traced` runs with TF set; the trap comes at the label 'end' unless told. */
function step(
  g: Guest, name: string, traced: (a: Assembler, end: string) => void, expect: Expectation = {}, setup?: (a: Assembler) => void,
): void {
  const { a } = g
  const end = a.fresh('end')
  g.probe(`step: ${name}`, {
    setup, body: () => {
      a.push(Flag.TF | 2)
      a.popf()
      traced(a, end)
      a.label(end)
      a.nop()
      a.nop()
    },
    expect: { vector: DB, rip: at(end), dr6: BS, flags: Flag.TF | 2, flagsMask: 0x3f0700, ...expect },
    after: clearDebug,
  })
}

function addSteps(g: Guest): void {
  const { a } = g
  const rep = a.fresh('rep')
  const elsewhere = a.fresh('target')
  step(g, 'over NOP', () => a.nop())
  step(g, 'over a taken branch', (_, end) => {
    a.jmp(end)
    a.nop()
  })
  step(g, 'over a branch that is not taken', (_, end) => a.jcc('e', end), {}, () => a.or('esp', 0))
  step(g, 'over LOOP', (_, end) => {
    a.db(0xe2, 0x01)
    a.nop()
    void end
  }, { rcx: 4 }, () => a.mov('ecx', 5))
  step(g, 'over the first iteration of REP MOVSB', () => {
    a.label(rep)
    a.db(0xf3, 0xa4)
  }, { rip: at(rep), rcx: 4, rsi: DATA + 1, rdi: DATA + 0x101, flags: Flag.TF | Flag.RF | 2 }, () => copy(a, 5))
  step(g, 'over the last iteration of REP MOVSB', () => a.db(0xf3, 0xa4), { rcx: 0, rsi: DATA + 1 }, () => copy(a, 1))
  step(g, 'over REP STOSD with no iteration', () => a.db(0xf3, 0xab), { rcx: 0, rdi: DATA + 0x100 }, () => copy(a, 0))
  const scan = a.fresh('rep')
  step(g, 'over REPNE SCASB that goes on', () => {
    a.label(scan)
    a.db(0xf2, 0xae)
  }, { rip: at(scan), rcx: 4, flags: Flag.TF | Flag.RF | 2 }, () => {
    copy(a, 5)
    a.mov('eax', 0x99)
  })
  step(g, 'over POPF that clears TF', () => a.popf(), { flags: 2 }, () => undefined)
  step(g, 'over CLI', () => a.cli())
  step(g, 'over STI', () => a.sti(), { flags: Flag.TF | Flag.IF | 2 })
  step(g, 'over MOV to CR2', () => a.mov('cr2', g.bits === 64 ? 'rbx' : 'ebx'))
  step(g, 'over WRMSR', () => a.db(0x0f, 0x30), {}, () => {
    a.mov('ecx', 0x174)
    a.mov('edx', 0)
  })
  step(g, 'over CPUID', () => a.db(0x0f, 0xa2))
  step(g, 'over PUSHF, which pushes TF', () => a.pushf(), { rsp: Place.STACK0 - (g.bits === 64 ? 8 : 4) })
  step(g, 'over a store', () => a.mov(mem(DATA), 'ebx'))
  step(g, 'not after MOV SS, but after what follows', () => {
    a.mov('ss', 'ax')
    a.nop()
  }, { ss: Selector.DATA }, () => a.mov('eax', Selector.DATA))
  step(g, 'over MOV DS', () => a.mov('ds', 'ax'), {}, () => a.mov('eax', Selector.DATA))
  step(g, 'not over a fault', () => {
    a.label(elsewhere)
    a.db(0x0f, 0x0b)
  }, { vector: UD, rip: at(elsewhere), dr6: DR6, flags: Flag.TF | Flag.RF | 2 })
  const software = a.fresh('int')
  step(g, 'not into the handler of INT n', () => {
    a.int(DONE)
    a.label(software)
  }, { vector: DONE, rip: at(software), dr6: DR6, flags: Flag.TF | 2 })
  step(g, 'not into the handler of INT3', (_, end) => {
    a.db(0xcc)
    a.label(`${end}.int3`)
  }, { vector: BP, dr6: DR6 })
  addReturnSteps(g)
}

/** RCX, RSI, RDI for a string instruction on DATA. */
function copy(a: Assembler, count: number): void {
  a.mov('ecx', count)
  a.mov('esi', DATA)
  a.mov('edi', DATA + 0x100)
}

function pushFrame(g: Guest, flags: number, target: string): void {
  const { a } = g
  const top = g.bits === 64
  if (top) {
    a.push(Selector.DATA)
    a.push(Place.STACK0)
  }
  a.push(flags)
  a.push(top ? Selector.CODE64 : Selector.CODE32)
  a.push(at(target))
}

/** IRET that sets TF is not followed by a trap itself; one that runs with TF set is. */
function addReturnSteps(g: Guest): void {
  const { a } = g
  const target = a.fresh('target')
  const after = a.fresh('after')
  g.probe('step: IRET sets TF, the next instruction is traced', {
    setup: () => pushFrame(g, Flag.TF | 2, target), body: () => {
      a.iret()
      a.label(target)
      a.nop()
      a.label(after)
      a.nop()
    },
    expect: { vector: DB, rip: at(after), dr6: BS }, after: clearDebug,
  })
  const cleared = a.fresh('target')
  const traced = a.fresh('iret')
  g.probe('step: over IRET that clears TF', {
    setup: () => {
      pushFrame(g, 2, cleared)
      a.push(Flag.TF | 2)
    },
    body: () => {
      a.popf()
      a.label(traced)
      a.iret()
      a.label(cleared)
      a.nop()
    },
    expect: { vector: DB, rip: at(cleared), dr6: BS, flags: 2 }, after: clearDebug,
  })
  const user = a.fresh('user')
  g.probe('step: at level 3', {
    ring: 3, body: () => {
      a.push(Flag.TF | 2)
      a.popf()
      a.nop()
      a.label(user)
      a.nop()
    },
    expect: { vector: DB, rip: at(user), dr6: BS, ss: Selector.USER_DATA }, after: clearDebug,
  })
}

/** SYSCALL with TF: masked by FMASK there is no trap, else it comes at the kernel's entry. */
function addSyscallSteps(g: Guest): void {
  const { a } = g
  for (const masked of [true, false]) {
    const entry = a.fresh('entry')
    const after = a.fresh('after')
    g.elsewhere(Place.CODE + 0x40000, 64, () => {
      a.label(entry)
      a.int(DONE)
    })
    g.probe(`step: SYSCALL with TF ${masked ? 'masked' : 'not masked'}`, {
      ring: 3, setup: () => {
        a.wrmsr(EFER, 0xd01n)
        a.wrmsr(STAR, 0x0028001800000000n)
        a.wrmsr(LSTAR, at(entry))
        a.wrmsr(FMASK, masked ? 0x700n : 0x200n)
      },
      body: () => {
        a.push(Flag.TF | 2)
        a.popf()
        a.db(0x0f, 0x05)
        a.label(after)
      },
      expect: masked
        ? { vector: DONE, rip: at(entry, 2), rcx: at(after), cs: Selector.CODE64 }
        : { vector: DB, rip: at(entry), dr6: BS, rcx: at(after), cs: Selector.CODE64 },
      after: clearDebug,
    })
  }
}

function breakpoint(
  g: Guest, name: string, address: Parameters<typeof setDebug>[2], control: number, body: (a: Assembler, end: string) => void,
  expect: Expectation,
  setup?: (a: Assembler) => void,
): void {
  const { a } = g
  const end = a.fresh('end')
  g.probe(`breakpoint: ${name}`, {
    setup: () => {
      setDebug(a, 'dr0', address)
      setDebug(a, 'dr7', control)
      a.mov('eax', 0x12345678)
      setup?.(a)
    },
    body: () => {
      body(a, end)
      a.label(end)
      a.nop()
      a.nop()
    },
    expect: { ...expect.vector === DB ? { rip: at(end), dr6: DR6 + 1 } : { dr6: DR6 }, ...expect }, after: clearDebug,
  })
}

const none: Expectation = { vector: DONE }
const hit: Expectation = { vector: DB }

function addInstructionBreakpoints(g: Guest): void {
  const { a } = g
  const here = a.fresh('here')
  breakpoint(g, 'on an instruction, before it runs', at(here), dr7(0, 'execute'), () => {
    a.nop()
    a.label(here)
    a.mov('ebx', 1)
  }, { vector: DB, rip: at(here), rbx: 0, flags: 2, flagsMask: 0x3f0700 })
  const inside = a.fresh('here')
  breakpoint(g, 'not in the middle of an instruction', at(inside, 1), dr7(0, 'execute'), () => {
    a.label(inside)
    a.mov('ebx', 1)
  }, { ...none, rbx: 1 })
  const off = a.fresh('here')
  breakpoint(g, 'not when it is disabled', at(off), dr7(0, 'execute') & ~3, () => {
    a.label(off)
    a.nop()
  }, none)
  const resumed = a.fresh('here')
  breakpoint(g, 'not with RF from IRET', at(resumed), dr7(0, 'execute'), () => {
    pushFrame(g, Flag.RF | 2, resumed)
    a.iret()
    a.label(resumed)
    a.mov('ebx', 1)
  }, { ...none, rbx: 1 })
  const [again, back] = [a.fresh('here'), a.fresh('back')]
  breakpoint(g, 'RF lasts one instruction', at(again), dr7(0, 'execute'), () => {
    pushFrame(g, Flag.RF | 2, again)
    a.iret()
    a.label(again)
    a.add('ebx', 1)
    a.label(back)
    a.jmp(again)
  }, { vector: DB, rip: at(again), rbx: 1 })
  const popf = a.fresh('here')
  breakpoint(g, 'POPF does not load RF', at(popf), dr7(0, 'execute'), () => {
    a.push(Flag.RF | 2)
    a.popf()
    a.label(popf)
    a.nop()
  }, { vector: DB, rip: at(popf) })
  const rep = a.fresh('here')
  breakpoint(g, 'on a REP instruction that RF lets run to its end', at(rep), dr7(0, 'execute'), () => {
    pushFrame(g, Flag.RF | 2, rep)
    a.iret()
    a.label(rep)
    a.db(0xf3, 0xa4)
  }, { ...none, rcx: 0 }, () => copy(a, 4))
}

function addDataBreakpoints(g: Guest): void {
  const { a } = g
  const word = DATA + 0x40
  const store = (address: number, register = 'eax') => (): void => a.mov(mem(address), register)
  const load = (address: number, register = 'ebx') => (): void => a.mov(register, mem(address))
  breakpoint(g, 'write of what is watched, after it is done', word, dr7(0, 'write', 4), store(word), hit)
  breakpoint(g, 'read of what is watched for writes', word, dr7(0, 'write', 4), load(word), none)
  breakpoint(g, 'read of what is watched for accesses', word, dr7(0, 'access', 4), load(word), hit)
  breakpoint(g, 'write of what is watched for accesses', word, dr7(0, 'access', 4), store(word), hit)
  breakpoint(g, 'write of the byte below', word, dr7(0, 'write', 4), store(word - 1, 'al'), none)
  breakpoint(g, 'write of the byte above', word, dr7(0, 'write', 4), store(word + 4, 'al'), none)
  breakpoint(g, 'write that reaches in from below', word, dr7(0, 'write', 4), store(word - 3), hit)
  breakpoint(g, 'write of the last byte', word, dr7(0, 'write', 4), store(word + 3, 'al'), hit)
  breakpoint(g, 'an unaligned address counts as aligned', word + 1, dr7(0, 'write', 4), store(word, 'al'), hit)
  breakpoint(g, 'length 2', word, dr7(0, 'write', 2), store(word + 2, 'al'), none)
  breakpoint(g, 'read-modify-write', word, dr7(0, 'write', 4), () => a.add(mem(word), 'eax'), hit)
  breakpoint(g, 'CMP reads only', word, dr7(0, 'write', 4), () => a.cmp(mem(word), 'eax'), none)
  breakpoint(g, 'across two pages', DATA + 0x1000, dr7(0, 'write', 1), store(DATA + 0xffe), hit)
  // Below what the monitor itself uses.
  breakpoint(
    g, 'PUSH', Place.STACK0 - 0x104, dr7(0, 'write', 4), () => a.push(1), hit, () => a.sub(g.bits === 64 ? 'rsp' : 'esp', 0x100),
  )
  const movs = a.fresh('movs')
  breakpoint(g, 'REP MOVSB stops after the iteration', DATA + 0x102, dr7(0, 'write', 1), () => {
    a.label(movs)
    a.db(0xf3, 0xa4)
  }, { vector: DB, rip: at(movs), rcx: 2, rdi: DATA + 0x103 }, () => copy(a, 5))
  breakpoint(g, 'several at once', word, dr7(0, 'write', 4) | dr7(2, 'access', 1), store(word), { vector: DB, dr6: DR6 + 5 },
    () => setTo(a, 'dr2', word + 1))
  breakpoint(g, 'with a single step', word, dr7(0, 'write', 4), () => {
    a.push(Flag.TF | 2)
    a.popf()
    store(word)()
  }, { vector: DB, dr6: BS + 1 })
  const fault = a.fresh('fault')
  breakpoint(g, 'not when the instruction faults later', DATA + 0x10, dr7(0, 'access', 1), () => {
    a.label(fault)
    // MOVSB to the table of vector 255's neighbour: a place that is not mapped.
    a.db(0xa4)
  }, { vector: 14, error: 2, rip: at(fault) }, () => {
    a.mov('esi', DATA + 0x10)
    a.mov('edi', 0x3000000)
  })
  g.probe('breakpoint: nothing is left of one that a fault cancelled', {
    body: () => { a.nop(); a.nop() }, expect: { vector: DONE, dr6: DR6 },
  })
  const shadow = a.fresh('shadow')
  g.poke(DATA + 0x60, Selector.DATA, 2)
  breakpoint(g, 'MOV SS delays it', DATA + 0x60, dr7(0, 'access', 2), () => {
    a.mov('ss', mem(DATA + 0x60))
    a.nop()
    a.label(shadow)
  }, { vector: DB, rip: at(shadow) })
}

function setTo(a: Assembler, register: string, value: number): void {
  setDebug(a, register, value)
  a.mov('eax', 0)
}

function addControl(g: Guest): void {
  const { a } = g
  const wide = (name: string): string => g.bits === 64 ? `r${name}` : `e${name}`
  const detect = a.fresh('gd')
  g.probe('general detect: MOV from DR', {
    setup: () => setDebug(a, 'dr7', 0x2400), body: () => {
      a.label(detect)
      a.mov(wide('bx'), 'dr0')
    },
    expect: { vector: DB, rip: at(detect), dr6: DR6 + 0x2000 },
    after: () => {
      a.mov(wide('ax'), 'dr7')
      g.observe('general detect: the handler has GD clear', { rax: 0x400 })
      clearDebug(a)
    },
  })
  const ice = a.fresh('int1')
  g.probe('INT1 leaves DR6 alone', {
    body: () => {
      a.db(0xf1)
      a.label(ice)
    },
    expect: { vector: DB, rip: at(ice), dr6: DR6 },
  })
  g.probe('INT1 at level 3 does not ask the gate', { ring: 3, body: () => a.db(0xf1), expect: { vector: DB, dr6: DR6 } })
  g.probe('INT 1 at level 3 does', { ring: 3, body: () => a.int(1), expect: { vector: GP, error: 0xa } })
  g.probe('MOV DR at level 3', { ring: 3, body: () => a.mov(wide('ax'), 'dr0'), expect: { vector: GP, error: 0 } })
  g.probe('DR4 is DR6', {
    setup: () => setDebug(a, 'dr6', 0), body: () => a.mov(wide('ax'), 'dr4'), expect: { vector: DONE, rax: DR6 }, after: clearDebug,
  })
  g.probe('DR5 is DR7', { body: () => a.mov(wide('ax'), 'dr5'), expect: { vector: DONE, rax: 0x400 } })
  g.probe('DR4 with CR4.DE', {
    setup: () => setControl4(g, 8), body: () => a.mov(wide('ax'), 'dr4'), expect: { vector: UD }, after: () => setControl4(g, 0),
  })
  g.probe('I/O breakpoint', {
    setup: () => {
      setControl4(g, 8)
      setDebug(a, 'dr0', 0x80)
      setDebug(a, 'dr7', dr7(0, 'io'))
      a.mov('edx', 0x80)
    },
    body: () => {
      a.db(0xee)
      a.label('io-end')
      a.nop()
    },
    expect: { vector: DB, rip: at('io-end'), dr6: DR6 + 1 },
    after: () => {
      clearDebug(a)
      setControl4(g, 0)
    },
  })
  g.probe('DR6 and DR7 keep their fixed bits', {
    setup: () => {
      setDebug(a, 'dr6', 0xffffffff)
      setDebug(a, 'dr7', 0)
    },
    body: () => {
      a.mov(wide('bx'), 'dr6')
      a.mov(wide('cx'), 'dr7')
    },
    expect: { vector: DONE, rbx: 0xffffefff, rcx: 0x400 }, after: clearDebug,
  })
  if (g.bits !== 64) return
  for (const register of ['dr6', 'dr7']) {
    g.probe(`high bits of ${register}`, {
      setup: () => a.mov('rax', 0x100000000n), body: () => a.mov(register, 'rax'), expect: { vector: GP, error: 0 },
    })
  }
}

function setControl4(g: Guest, bits: number): void {
  const { a } = g
  a.mov('eax', bits | (g.bits === 64 ? 0x20 : 0x10))
  a.mov('cr4', g.bits === 64 ? 'rax' : 'eax')
  a.mov('eax', 0)
}

/** HLT with TF set is left at once, for the trap. */
function haltGuest(): Guest {
  const g = new Guest('debug HLT', 'long')
  g.notInQemu = 'waits in HLT for ever'
  step(g, 'over HLT', () => g.a.hlt())
  return g
}

export function debugGuests(): Guest[] {
  const guests = (['legacy', 'long'] as const).map((mode) => {
    const g = new Guest(`debug ${mode}`, mode)
    addSteps(g)
    if (mode === 'long') addSyscallSteps(g)
    addInstructionBreakpoints(g)
    addDataBreakpoints(g)
    addControl(g)
    return g
  })
  return [...guests, haltGuest()]
}
