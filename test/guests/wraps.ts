/**
 * The end of 4 GiB: linear addresses have 32 bits in legacy and compatibility mode and go on at 0; in 64-bit mode they do not. What is
 * before it, after it and at 0 differs.
 */
import { at, mem } from './assembler.ts'
import type { Assembler } from './assembler.ts'
import { P, PS, Place, RW, Selector, US } from './layout.ts'
import { DONE, Guest } from './monitor.ts'

/** Where the memory before the end of 4 GiB, and after it, really is. */
const BEFORE = Place.TEST_MEMORY
const AFTER = Place.TEST_MEMORY + 0x400000
const END = 2 ** 32

function mapMemory(g: Guest): void {
  const { TABLES, MORE_TABLES } = Place
  const page = P | RW | US | PS
  if (g.mode === 'legacy') {
    g.poke(TABLES, page, 4)
    g.poke(TABLES + 0x3ff * 4, BigInt(BEFORE) | page, 4)
    return
  }
  g.poke(TABLES + 0x2000, page)
  g.poke(TABLES + 0x3000 + 0x1ff * 8, BigInt(BEFORE) | page)
  if (g.mode !== 'long') return
  g.poke(TABLES + 0x1000 + 4 * 8, BigInt(MORE_TABLES) | P | RW | US)
  g.poke(MORE_TABLES, BigInt(AFTER) | page)
}

/** Fills the last 4 bytes, the first 8 (`start`), and those after the end (`after`). Clobbers EBX. */
function fill(g: Guest, last: number, start: readonly [number, number], after: readonly [number, number] = start): void {
  const { a } = g
  const put = (address: number, value: number): void => {
    a.mov(g.bits === 64 ? 'rbx' : 'ebx', BigInt(address))
    a.store(mem(g.bits === 64 ? 'rbx' : 'ebx'), value, 32)
  }
  put(END - 4, last)
  start.forEach((value, n) => put(4 * n, value))
  if (g.bits === 64) after.forEach((value, n) => put(END + 4 * n, value))
}

const numbers = (g: Guest): void => fill(g, 0x44332211, [0x58776655, 0], [0x0ddba110, 0])

/** 32-bit code at level 3. */
function addData(g: Guest): void {
  const { a } = g
  const user = { ring: 3, bits: 32, setup: () => numbers(g) } as const
  const observe = (name: string, value: number): void => {
    a.mov('eax', mem(0))
    g.observe(name, { rax: value })
  }
  const point = (b: Assembler): void => b.mov('ebx', END - 2)
  g.probe('a load across the end', { ...user, body: (b) => { point(b); b.mov('ecx', mem('ebx')) }, expect: { vector: DONE, rcx: 0x66554433 } })
  g.probe('a store across the end', {
    ...user, body: (b) => { point(b); b.mov('ecx', 0xa1b2c3d4); b.mov(mem('ebx'), 'ecx') }, expect: { vector: DONE },
    after: () => observe('what the store left at 0', 0x5877a1b2),
  })
  g.probe('a read-modify-write across the end', {
    ...user, body: (b) => { point(b); b.mov('ecx', 0x10000); b.add(mem('ebx'), 'ecx') }, expect: { vector: DONE },
    after: () => observe('what it left at 0', 0x58776656),
  })
  g.probe('a string across the end', {
    ...user, body: (b) => {
      b.mov('esi', END - 2)
      b.mov('edi', Place.USER_DATA)
      b.mov('ecx', 4)
      b.db(0xf3, 0xa4)
      b.mov('eax', mem(Place.USER_DATA))
    },
    expect: { vector: DONE, rax: 0x66554433, rsi: 2 },
  })
  g.probe('SGDT across the end', {
    ...user, body: (b) => { b.mov('ebx', END - 4); b.db(0x0f, 0x01, 0x03) }, expect: { vector: DONE },
    after: () => observe('what SGDT left at 0', 0x58770000 | Place.GDT >> 16),
  })
}

const JUMP_TO_EAX = [0xff, 0xe0]

/** Code at the end: an instruction across it, and one that ends there. */
function addCode(g: Guest, bits: 32 | 64): void {
  const end = bits === 64 ? END : 0
  const user = { ring: 3, bits } as const
  // NOP; NOP; MOV ECX, 12345678; INT 80.
  g.probe(`${bits}-bit code: an instruction across the end`, {
    ...user, setup: () => fill(g, 0x78b99090 | 0, [0xcd123456 | 0, 0x80]),
    body: (b) => { b.mov('eax', END - 2); b.db(...JUMP_TO_EAX) }, expect: { vector: DONE, rcx: 0x12345678, rip: end + 5 },
  })
  g.probe(`${bits}-bit code: on from the last instruction`, {
    ...user, setup: () => fill(g, 0x90909090 | 0, [0x9080cd, 0]),
    body: (b) => { b.mov('eax', END - 3); b.db(...JUMP_TO_EAX) }, expect: { vector: DONE, rip: end + 2 },
  })
}

/** What only long mode has: 64-bit code, and compatibility mode at level 0. */
function addLong(g: Guest): void {
  const { a } = g
  addCode(g, 64)
  g.probe('64-bit code: a load across the end', {
    setup: () => numbers(g), body: () => { a.mov('ebx', END - 2); a.mov('ecx', mem('rbx')) }, expect: { vector: DONE, rcx: 0xa1104433 },
  })
  const target = a.fresh('compatibility')
  g.elsewhere(Place.CODE16, 32, () => {
    a.label(target)
    a.mov('ebx', END - 2)
    a.db(0x0f, 0x01, 0x13) // LGDT [EBX]
    a.mov('ebx', Place.DATA)
    a.db(0x0f, 0x01, 0x03) // SGDT [EBX]
    a.mov('ecx', mem(Place.DATA + 2))
    a.int(DONE)
  })
  g.probe('compatibility mode: LGDT across the end', {
    setup: () => {
      fill(g, 0x7ff0000, [Place.GDT, 0], [0x99999999 | 0, 0])
      a.store(mem(Place.DATA + 0x100), at(target), 32)
      a.store(mem(Place.DATA + 0x104), Selector.CODE32, 32)
    },
    body: () => a.farIndirect(5, mem(Place.DATA + 0x100), 32), expect: { vector: DONE, cs: Selector.CODE32, rcx: Place.GDT },
  })
}

export function wrapGuests(): Guest[] {
  return (['legacy', 'pae', 'long'] as const).map((mode) => {
    const g = new Guest(`4 GiB ${mode}`, mode)
    mapMemory(g)
    addData(g)
    addCode(g, 32)
    if (mode === 'long') addLong(g)
    return g
  })
}
