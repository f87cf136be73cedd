/** Real mode: the vector table, wraps and limits of 16 bits, unreal mode, what is not there (SDM Vol. 3A chapter 20). */
import { at, mem } from './assembler.ts'
import type { Assembler } from './assembler.ts'
import { Flag, Flags, Place, segment } from './layout.ts'
import { DONE, Guest } from './monitor.ts'
import type { Expectation } from './monitor.ts'

const [DE, DB, BP, OF, UD, GP] = [0, 1, 3, 4, 6, 13]
/** A segment of 64 KiB for tests, as a paragraph and as an address. */
const PARAGRAPH = 0x2000
const BIG_DATA = 0x08

function raises(g: Guest, name: string, body: (a: Assembler) => void, expect: Expectation, setup?: (a: Assembler) => void): void {
  const label = g.a.fresh('raises')
  g.probe(name, { setup, body: (a) => { a.label(label); body(a) }, expect: { rip: at(label), rsp: Place.REAL_STACK, ...expect } })
}

function useSegment(a: Assembler, register: string, paragraph = PARAGRAPH): void {
  a.mov('ax', paragraph)
  a.mov(register, 'ax')
  a.mov('eax', 0)
}

function addInterrupts(g: Guest): void {
  const { a } = g
  for (const [name, bytes, vector] of [['INT 0x21', [0xcd, 0x21], 0x21], ['INT3', [0xcc], BP], ['INTO', [0xce], OF]] as const) {
    const label = a.fresh('int')
    g.probe(name, {
      flags: 0xa02, body: () => { a.db(...bytes); a.label(label) },
      expect: {
        vector, rip: at(label), cs: 0, rsp: Place.REAL_STACK, frame: Place.REAL_STACK - 6, flags: 0xa02, flagsMask: 0xff00,
      },
    })
  }
  raises(g, 'DIV by zero returns to itself', () => a.db(0xf7, 0xf1), { vector: DE })
  raises(g, 'UD2', () => a.db(0x0f, 0x0b), { vector: UD })
  g.probe('single step', {
    body: () => { a.push(Flag.TF | 2); a.popf(); a.nop(); a.label('stepped'); a.nop() }, expect: { vector: DB, rip: at('stepped') },
  })
  g.probe('IRET', {
    setup: () => { a.push(0x0a93); a.push(0x100); a.push(at('returned', -0x1000)) },
    body: () => { a.iret(); a.label('returned'); a.mov('bx', 'cs') },
    expect: { vector: DONE, cs: 0x100, rbx: 0x100, flags: 0x0a93, flagsMask: 0xffff },
  })
  g.probe('32-bit IRET', {
    setup: () => { a.push(2, 32); a.push(0x100, 32); a.push(at('returned32', -0x1000), 32) },
    body: () => { a.iret(32); a.label('returned32') }, expect: { vector: DONE, cs: 0x100, rsp: Place.REAL_STACK },
  })
  raises(g, 'a vector beyond the limit of the table', () => a.int(0x30), { vector: GP }, () => a.lidt(mem('short-table')))
  a.jmp('past-table')
  a.label('short-table')
  a.dw(0xbf)
  a.dd(0)
  a.label('full-table')
  a.dw(0x3ff)
  a.dd(0)
  a.label('past-table')
  a.lidt(mem('full-table'))
}

function addLimits(g: Guest): void {
  const { a } = g
  const rows: readonly (readonly [string, (b: Assembler) => void, number])[] = [
    ['a byte at 0xffff', (b) => b.mov('al', mem(0xffff, 0, 'es')), 0],
    ['a word at 0xffff', (b) => b.mov('ax', mem(0xffff, 0, 'es')), GP],
    ['a word at 0xfffe', (b) => b.mov(mem(0xfffe, 0, 'es'), 'ax'), 0],
    ['a doubleword at 0xfffd', (b) => b.mov(mem(0xfffd, 0, 'es'), 'eax'), GP],
    ['a 32-bit address of 0xffff', (b) => b.mov('al', mem('ebx', 0xffff, 'es')), 0],
    ['a 32-bit address of 0x10000', (b) => b.mov('al', mem('ebx', 0x10000, 'es')), GP],
    ['a sum of 16 bits wraps', (b) => { b.mov('bx', 0xffff); b.mov('cl', mem('bx', 3, 'es')) }, 0],
  ]
  for (const [name, body, vector] of rows) {
    const label = a.fresh('limit')
    g.probe(`limits: ${name}`, {
      setup: () => { useSegment(a, 'es'); a.mov('ebx', 0) }, body: () => { a.label(label); body(a) },
      expect: vector === 0 ? { vector: DONE } : { vector, rip: at(label) },
    })
  }
  g.probe('limits: the sum that wraps reads offset 2', {
    setup: () => { useSegment(a, 'es'); a.mov('al', 0x5a); a.mov(mem(2, 0, 'es'), 'al'); a.mov('ecx', 0) },
    body: () => { a.mov('bx', 0xffff); a.mov('cl', mem('bx', 3, 'es')) }, expect: { vector: DONE, rcx: 0x5a },
  })
  g.probe('limits: PUSH at SP 0 wraps to 0xfffe', {
    setup: () => { useSegment(a, 'ss'); a.mov('esp', 0) },
    body: () => { a.push(0x1234); a.mov('bx', 'sp'); a.mov('cx', mem(0xfffe, 0, 'ss')) },
    expect: { vector: DONE, rbx: 0xfffe, rcx: 0x1234, ss: PARAGRAPH },
  })
  g.probe('limits: a far JMP beyond 64 KiB', {
    body: () => { a.label('far-beyond'); a.farJump(0, 0x10000, 32) }, expect: { vector: GP, rip: at('far-beyond') },
  })
  g.probe('limits: a near 32-bit JMP beyond 64 KiB', {
    setup: () => a.mov('ebx', 0x12345), body: () => { a.label('near-beyond'); a.db(0x66, 0xff, 0xe3) },
    expect: { vector: GP, rip: at('near-beyond') },
  })
  g.probe('FFFF:0010 is the first byte above 1 MiB', {
    setup: () => { useSegment(a, 'es', 0xffff); a.mov('ebx', 0) },
    body: () => { a.mov('bl', 0x99); a.mov(mem(0x10, 0, 'es'), 'bl'); a.mov('cl', mem(0, 0, 'ds')) },
    expect: { vector: DONE, rbx: 0x99 },
  })
}

/** String instructions whose index wraps at 64 KiB. */
function addStrings(g: Guest): void {
  const { a } = g
  const on = (name: string, setup: () => void, body: () => void, expect: Expectation): void => {
    g.probe(`strings: ${name}`, { setup: () => { useSegment(a, 'es'); useSegment(a, 'ds'); setup() }, body, expect })
    // The monitor's code has put the segments back.
  }
  // DS is the monitor's: the handler brings it back, and INT 0x80 needs none.
  const registers = (cx: number, si: number, di: number): void => { a.mov('ecx', cx); a.mov('esi', si); a.mov('edi', di) }
  on('REP MOVSB wraps both', () => registers(8, 0xfffc, 0xfffe), () => a.db(0xf3, 0xa4), { vector: DONE, rcx: 0, rsi: 4, rdi: 6 })
  on('REP STOSB wraps', () => {
    registers(8, 0, 0xfffc)
    a.mov('al', 0x77)
  }, () => a.db(0xf3, 0xaa), { vector: DONE, rcx: 0, rdi: 4 })
  on('what REP STOSB wrote', () => undefined, () => {
    a.mov('ebx', 0)
    a.mov('bx', mem(2, 0, 'es'))
    a.mov('edx', 0)
    a.mov('dx', mem(0xfffe, 0, 'es'))
  }, { vector: DONE, rbx: 0x7777, rdx: 0x7777 })
  on('REP MOVSW over the end faults', () => registers(4, 0, 0xfffd), () => { a.label('movsw'); a.db(0xf3, 0xa5) },
    { vector: GP, rip: at('movsw'), rcx: 3, rsi: 2, rdi: 0xffff })
  on('REP STOSW at the end wraps', () => registers(3, 0, 0xfffe), () => a.db(0xf3, 0xab), { vector: DONE, rcx: 0, rdi: 4 })
  on('backwards through 0', () => registers(4, 1, 2), () => a.db(0xfd, 0xf3, 0xa4), {
    vector: DONE, rcx: 0, rsi: 0xfffd, rdi: 0xfffe,
  })
  on('the high half of ECX does not count', () => {
    registers(0x10003, 0, 0)
    a.mov('ecx', 0x10003)
  }, () => a.db(0xf3, 0xaa), { vector: DONE, rcx: 0x10000, rdi: 3 })
  on('with 32-bit addresses REP STOSB stops at the limit', () => registers(0x10, 0, 0xfffc), () => {
    a.label('stos32')
    a.db(0x67, 0xf3, 0xaa)
  },
    { vector: GP, rip: at('stos32'), rcx: 0xc, rdi: 0x10000 })
}

/** What real mode does not have, and what it has although it looks protected. */
function addUndefined(g: Guest): void {
  const { a } = g
  const rows: readonly (readonly [string, readonly number[]])[] = [
    ['SLDT', [0x0f, 0x00, 0xc0]], ['STR', [0x0f, 0x00, 0xc8]], ['LLDT', [0x0f, 0x00, 0xd0]], ['LTR', [0x0f, 0x00, 0xd8]],
    ['VERR', [0x0f, 0x00, 0xe0]],
    ['VERW', [0x0f, 0x00, 0xe8]], ['LAR', [0x0f, 0x02, 0xc0]], ['LSL', [0x0f, 0x03, 0xc0]], ['ARPL', [0x63, 0xc0]],
    ['SYSCALL', [0x0f, 0x05]],
    ['LOCK NOP', [0xf0, 0x90]], ['MOV to CS', [0x8e, 0xc8]],
  ]
  for (const [name, bytes] of rows) raises(g, `not there: ${name}`, () => a.db(...bytes), { vector: UD })
  raises(g, 'SYSENTER', () => a.db(0x0f, 0x34), { vector: GP })
  raises(g, 'SYSEXIT', () => a.db(0x0f, 0x35), { vector: GP })
  g.probe('SMSW', { body: () => a.db(0x0f, 0x01, 0xe3), expect: { vector: DONE, rbx: 0x10 } })
  g.probe('CLI and STI', { body: () => { a.sti(); a.cli() }, expect: { vector: DONE, flags: 2, flagsMask: 0x7f00 } })
  g.probe('32-bit operands', {
    setup: () => a.mov('ebx', 0xfffffffe), body: () => a.add('ebx', 3), expect: { vector: DONE, rbx: 1 },
  })
  g.probe('PUSHFD', { body: () => { a.pushf(32); a.pop('ebx'); a.and('ebx', 0xffff0000) }, expect: { vector: DONE, rbx: 0 } })
  g.probe('a far CALL and RET', {
    body: () => {
      a.farCall(0x100, at('callee', -0x1000))
      a.mov('bx', 'cs')
      a.jmp('called')
      a.label('callee')
      a.mov('cx', 'cs')
      a.farReturn()
      a.label('called')
    },
    expect: { vector: DONE, cs: 0, rcx: 0x100, rbx: 0, rsp: Place.REAL_STACK },
  })
}

/** Unreal mode: limits that protected mode loaded stay, until a load in real mode that changes the base alone. */
function addUnreal(g: Guest): void {
  const { a } = g
  a.jmp('unreal')
  a.label('unreal-gdtr')
  a.dw(0xf)
  a.dd(Place.DATA)
  a.label('unreal')
  g.poke(Place.DATA + BIG_DATA, segment(0, 0xfffff, 0x93, Flags.PAGES | Flags.BIG))
  a.lgdt(mem('unreal-gdtr'))
  a.mov('eax', 'cr0')
  a.or('eax', 1)
  a.mov('cr0', 'eax')
  a.mov('bx', BIG_DATA)
  a.mov('fs', 'bx')
  a.and('eax', 0xfffffffe)
  a.mov('cr0', 'eax')
  // The monitor's handler loads FS, and keeps the limit.
  g.probe('unreal mode reaches all memory', {
    setup: () => a.mov('ebx', 0x1234567),
    body: () => { a.mov('ecx', 0x5a5aa5a5); a.mov(mem('ebx', 0, 'fs'), 'ecx'); a.mov('edx', mem('ebx', 0, 'fs')) },
    expect: { vector: DONE, rdx: 0x5a5aa5a5 },
  })
  g.probe('a load in real mode changes the base alone', {
    setup: () => { a.mov('ax', 0x1000); a.mov('fs', 'ax'); a.mov('ebx', 0x1234567 - 0x10000) },
    body: () => a.mov('ecx', mem('ebx', 0, 'fs')),
    expect: { vector: DONE, rcx: 0x5a5aa5a5 },
  })
}

export function realModeGuests(): Guest[] {
  const g = new Guest('real mode', 'real')
  addInterrupts(g)
  addUndefined(g)
  addUnreal(g)
  const limits = new Guest('real mode limits', 'real')
  limits.notInQemu = 'checks no limits'
  addLimits(limits)
  addStrings(limits)
  return [g, limits]
}
