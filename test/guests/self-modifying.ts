/**
 * Code that changes: the next instruction, the same page, instructions in two pages, other mappings of the same frame, string
 * instructions over code, and writes from outside (SDM Vol. 3A §8.1.3). Every case but those with an alias runs on any processor
 * since the Pentium without a serialising instruction; those with an alias have one.
 */
import { at, mem } from './assembler.ts'
import type { Assembler } from './assembler.ts'
import { gpa } from '../../src/base/addresses.ts'
import { P, Place, RW, US } from './layout.ts'
import { DONE, Guest } from './monitor.ts'
import { flush, storeEntry } from './paging.ts'

/** Code of the tests, in a page of its own. */
const PAGE = Place.CODE + 0x80000
const ALIAS = Place.TEST_MEMORY
const BYTE_PORT = 0xe9

const serialise = (a: Assembler): void => {
  a.mov('eax', 0)
  a.db(0x0f, 0xa2)
}

/** MOV EBX, n; then goes on at the end of the probe. */
function say(a: Assembler, n: number): void { a.mov('ebx', n) }

/** A probe whose code is in PAGE (aligned anew), because other code lies around that must not change. */
function inPage(
  g: Guest, name: string, write: (a: Assembler) => void, ebx: number, more: { setup?: () => void, offset?: number } = {},
): void {
  const { a } = g
  const label = a.fresh('page')
  const start = PAGE + (pages++) * 0x4000 + (more.offset ?? 0)
  g.elsewhere(start, g.bits, () => {
    a.label(label)
    write(a)
    a.int(DONE)
  })
  g.probe(name, { setup: more.setup, body: () => a.jmp(label), expect: { vector: DONE, rbx: ebx } })
}
let pages = 0

function addDirect(g: Guest): void {
  const { a } = g
  const unique = (name: string): string => a.fresh(name)
  const next = unique('next')
  inPage(g, 'the next instruction', () => {
    a.store(mem(at(next, 1)), 2, 8)
    a.label(next)
    say(a, 1)
  }, 2)
  const grown = unique('grown')
  inPage(g, 'the next instruction becomes a longer one', () => {
    // NOP NOP NOP NOP NOP becomes MOV EBX, 0x90909003.
    a.store(mem(at(grown)), 0x909003bb, 32)
    a.label(grown)
    a.db(0x90, 0x90, 0x90, 0x90, 0x90)
  }, 0x90909003)
  const loop = unique('loop')
  inPage(g, 'a loop that changes itself each time around', () => {
    a.mov('ecx', 10)
    a.mov('ebx', 0)
    const top = unique('top')
    a.label(top)
    a.label(loop)
    // ADD EBX, 1, whose immediate grows.
    a.db(0x81, 0xc3, 1, 0, 0, 0)
    a.add('ebx', 0)
    a.mov('al', mem(at(loop, 2)))
    a.add('al', 1)
    a.mov(mem(at(loop, 2)), 'al')
    a.sub('ecx', 1)
    a.jcc('ne', top)
  }, 55)
  addBranches(g)
}

/** Subroutines and branches that have run before they change. */
function addBranches(g: Guest): void {
  const { a } = g
  const unique = (name: string): string => a.fresh(name)
  const warm = unique('warm')
  inPage(g, 'a subroutine that has run before', () => {
    const over = unique('over')
    a.jmp(over)
    a.label(warm)
    say(a, 1)
    a.ret()
    a.label(over)
    for (let n = 0; n < 3; n++) a.call(warm)
    a.store(mem(at(warm, 1)), 7, 8)
    a.call(warm)
  }, 7)
  const jumped = unique('jumped')
  inPage(g, 'a branch gets another target', () => {
    const [one, two, again, end] = ['one', 'two', 'again', 'end'].map(unique)
    a.mov('ecx', 0)
    a.label(again)
    a.label(jumped)
    a.jmp(one)
    a.label(one)
    say(a, 1)
    a.add('ecx', 1)
    a.cmp('ecx', 2)
    a.jcc('e', end)
    // The displacement moves by the distance of the two labels.
    a.mov('eax', mem(at(jumped, 1)))
    a.lea('edx', mem(at(two)))
    a.sub('edx', at(one))
    a.add('eax', 'edx')
    a.mov(mem(at(jumped, 1)), 'eax')
    a.jmp(again)
    a.label(two)
    say(a, 2)
    a.label(end)
  }, 2)
  const away = unique('away')
  inPage(g, 'a subroutine in another page', () => {
    a.call(away)
    a.store(mem(at(away, 1)), 9, 8)
    a.call(away)
  }, 9)
  g.elsewhere(PAGE + 0x60000, g.bits, () => {
    a.label(away)
    say(a, 1)
    a.ret()
  })
  const modified = unique('modified')
  inPage(g, 'an instruction that changes itself while it runs', () => {
    // ADD byte [self + 6 or so], 1 twice: the immediate that it adds is its own.
    a.mov('ecx', 0)
    const top = unique('top')
    a.label(top)
    a.label(modified)
    a.mov('eax', at(modified))
    a.db(0x80, 0x05 - (g.bits === 64 ? 1 : 0), ...g.bits === 64 ? [0x25] : [])
    a.dd(at(`${modified}.immediate`))
    a.label(`${modified}.immediate`)
    a.db(1)
    a.add('ecx', 1)
    a.cmp('ecx', 3)
    a.jcc('ne', top)
    a.mov('ebx', 0)
    a.mov('bl', mem(at(`${modified}.immediate`)))
  }, 8)
}

/** REP MOVSB and STOSB over code, the instructions after them among it. */
function addStrings(g: Guest): void {
  const { a } = g
  const target = a.fresh('target')
  const from = a.fresh('from')
  inPage(g, 'REP MOVSB over the next instructions', () => {
    a.mov('esi', at(from))
    a.mov('edi', at(target))
    a.mov('ecx', 10)
    a.db(0xf3, 0xa4)
    a.label(target)
    say(a, 1)
    say(a, 2)
  }, 4)
  g.elsewhere(PAGE + 0x61000, g.bits, () => {
    a.label(from)
    say(a, 3)
    say(a, 4)
  })
  const filled = a.fresh('filled')
  inPage(g, 'REP STOSB of NOPs over the next instructions', () => {
    say(a, 5)
    a.mov('edi', at(filled))
    a.mov('ecx', 10)
    a.mov('eax', 0x90)
    a.db(0xf3, 0xaa)
    a.label(filled)
    say(a, 1)
    say(a, 2)
  }, 5)
  const itself = a.fresh('itself')
  inPage(g, 'REP STOSB over itself and what follows', () => {
    say(a, 6)
    a.mov('edi', at(itself))
    a.mov('ecx', 8)
    a.mov('eax', 0x90)
    a.label(itself)
    a.db(0xf3, 0xaa)
    a.label(`${itself}.rest`)
    // The first two bytes are the instruction's own: it goes on or stops, but what lies behind is NOPs or what it was.
    a.db(0x90, 0x90, 0x90, 0x90, 0x90, 0x90)
  }, 6)
  const atomic = a.fresh('atomic')
  inPage(g, 'LOCK XCHG into code', () => {
    a.mov('eax', 0x909006bb)
    a.xchg(mem(at(atomic)), 'eax')
    a.label(atomic)
    a.db(0x90, 0x90, 0x90, 0x90, 0x90)
  }, 0x90909006)
  const pushed = a.fresh('pushed')
  inPage(g, 'PUSH over the next instructions', () => {
    const [stack, saved] = g.bits === 64 ? ['rsp', 'rdx'] : ['esp', 'edx']
    a.mov('eax', 0)
    a.mov('ebx', 0)
    a.mov(saved, stack)
    a.mov(stack, at(pushed, g.bits / 8))
    // MOV BL, 0x42; MOV BL, 0x43; and in 64-bit mode twice ADD [RAX], AL.
    a.push(0x43b342b3)
    a.label(pushed)
    a.db(0xcc, 0xcc, 0xcc, 0xcc, 0x90, 0x90, 0x90, 0x90)
    a.mov(stack, saved)
  }, 0x43)
}

/** An instruction in two pages: a write to either changes it. */
function addCrossing(g: Guest): void {
  const { a } = g
  for (const [name, offset, value, ebx] of [['first', 1, 0x22, 0x44332222], ['second', 4, 0x55, 0x55332211]] as const) {
    const label = a.fresh('crossing')
    const start = PAGE + (pages++) * 0x4000
    g.elsewhere(start + 0xffd, g.bits, () => {
      a.label(label)
      a.mov('ebx', 0x44332211)
      a.ret()
    })
    const expected = name === 'first' ? 0x44332222 : ebx
    g.probe(`an instruction in two pages, its ${name} changed`, {
      body: () => {
        for (let n = 0; n < 3; n++) a.call(label)
        a.store(mem(at(label, offset)), value, 8)
        a.call(label)
      },
      expect: { vector: DONE, rbx: expected },
    })
    g.probe(`an instruction in two pages, the opcode of its ${name} changed`, {
      body: () => {
        a.call(label)
        // MOV EBX becomes MOV ECX, or the RET in the second page a NOP and RET.
        if (name === 'first') a.store(mem(at(label)), 0xb9, 8)
        else {
          a.store(mem(at(label, 6)), 0xc3, 8)
          a.store(mem(at(label, 5)), 0x90, 8)
        }
        a.mov('ebx', 0)
        a.call(label)
      },
      expect: name === 'first' ? { vector: DONE, rcx: expected, rbx: 0 } : { vector: DONE, rbx: expected },
    })
  }
}

/** Another linear address of the same frame, writable, and a page that gets another frame. */
function addAliases(g: Guest): void {
  const { a } = g
  const table = Place.MORE_TABLES
  const bytes = g.mode === 'legacy' ? 4 : 8
  const directory = g.mode === 'legacy' ? Place.TABLES + (ALIAS >> 22) * 4 : Place.TABLES + 0x2000 + (ALIAS >> 21) * 8
  const label = a.fresh('aliased')
  const frame = PAGE + (pages++) * 0x4000
  g.elsewhere(frame, g.bits, () => {
    a.label(label)
    say(a, 1)
    a.ret()
  })
  const other = PAGE + (pages++) * 0x4000
  g.elsewhere(other, g.bits, () => {
    say(a, 0x77)
    a.ret()
  })
  const map = (to: number): void => {
    storeEntry(a, directory, BigInt(table) | P | RW | US, bytes)
    storeEntry(a, table, BigInt(to) | P | RW | US, bytes)
    flush(a)
  }
  g.probe('written by an alias', {
    body: () => {
      map(frame)
      a.call(label)
      a.store(mem(ALIAS + 1), 3, 8)
      serialise(a)
      a.call(label)
    },
    expect: { vector: DONE, rbx: 3 },
  })
  g.probe('run by an alias, written directly', {
    body: () => {
      map(frame)
      a.mov('esi', ALIAS)
      a.callTo(g.bits === 64 ? 'rsi' : 'esi')
      a.store(mem(at(label, 1)), 4, 8)
      serialise(a)
      a.mov('esi', ALIAS)
      a.callTo(g.bits === 64 ? 'rsi' : 'esi')
    },
    expect: { vector: DONE, rbx: 4 },
  })
  g.probe('the page gets another frame', {
    body: () => {
      map(frame)
      a.mov('esi', ALIAS)
      a.callTo(g.bits === 64 ? 'rsi' : 'esi')
      map(other)
      a.mov('esi', ALIAS)
      a.callTo(g.bits === 64 ? 'rsi' : 'esi')
    },
    expect: { vector: DONE, rbx: 0x77 },
  })
  g.probe('the page gets another frame, by INVLPG', {
    body: () => {
      map(frame)
      a.mov('esi', ALIAS)
      a.callTo(g.bits === 64 ? 'rsi' : 'esi')
      storeEntry(a, table, BigInt(other) | P | RW | US, bytes)
      a.invlpg(mem(ALIAS))
      a.mov('esi', ALIAS)
      a.callTo(g.bits === 64 ? 'rsi' : 'esi')
    },
    expect: { vector: DONE, rbx: 0x77 },
  })
}

/** A device that writes into memory: port 0xe9, whose value goes to the second byte of the routine. */
function outsideGuest(): Guest {
  const g = new Guest('code written from outside', 'long')
  g.notInQemu = 'has no such device'
  const { a } = g
  const label = 'outside'
  g.elsewhere(PAGE, 64, () => {
    a.label(label)
    say(a, 1)
    a.ret()
  })
  g.onByte = (value, machine) => machine.memory.writeU8(gpa(PAGE + 1), value)
  g.probe('a device writes into code that has run', {
    body: () => {
      a.call(label)
      a.mov('eax', 0x66)
      a.out(BYTE_PORT)
      a.call(label)
    },
    expect: { vector: DONE, rbx: 0x66 },
  })
  const next = a.fresh('next')
  g.onByte = (value, machine) => {
    machine.memory.writeU8(gpa(PAGE + 1), value)
    machine.memory.writeU8(gpa(a.addressOf(next) + 1), value)
  }
  g.probe('a device writes into the next instruction', {
    body: () => {
      a.mov('eax', 0x67)
      a.out(BYTE_PORT)
      a.label(next)
      say(a, 1)
    },
    expect: { vector: DONE, rbx: 0x67 },
  })
  return g
}

export function selfModifyingGuests(): Guest[] {
  const guests = (['legacy', 'long'] as const).map((mode) => {
    pages = 0
    const g = new Guest(`self-modifying ${mode}`, mode)
    addDirect(g)
    addStrings(g)
    addCrossing(g)
    addAliases(g)
    return g
  })
  return [...guests, outsideGuest()]
}
