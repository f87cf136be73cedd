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
  g.probe('a load across the end', {
    ...user, body: (b) => { point(b); b.mov('ecx', mem('ebx')) }, expect: { vector: DONE, rcx: 0x66554433 },
  })
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

/** VPEXTRD ECX, XMM0, lane. */
const laneToEcx = (a: Assembler, lane: number): void => { a.db(0xc4, 0xe3, 0x79, 0x16, 0xc1, lane) }
const ALL_ONES_XMM1 = [0xc5, 0xf1, 0x76, 0xc9]

/** 256 bits at once, and vectors that are accessed lane by lane. */
function addVectors(g: Guest): void {
  const { a } = g
  const user = {
    ring: 3, bits: 32, setup: () => {
      a.mov('eax', 7)
      a.mov('edx', 0)
      a.mov('ecx', 0)
      a.db(0x0f, 0x01, 0xd1) // XSETBV
      numbers(g)
    },
  } as const
  const loads = (name: string, lane: number, bytes: readonly number[]): void => g.probe(`a load across the end: ${name}`, {
    ...user, body: (b) => { b.mov('ebx', END - 4 * lane); b.db(...bytes); laneToEcx(b, lane) }, expect: { vector: DONE, rcx: 0x58776655 },
  })
  loads('VMOVDQU YMM0', 2, [0xc5, 0xfe, 0x6f, 0x03])
  loads('VMASKMOVPS', 1, [...ALL_ONES_XMM1, 0xc4, 0xe2, 0x71, 0x2c, 0x03])
  g.probe('a load across the end: VPGATHERDD', {
    ...user, body: (b) => {
      b.mov('ebx', END - 4)
      b.db(...ALL_ONES_XMM1, 0xc5, 0xe9, 0x72, 0xd1, 0x1f) // VPSRLD XMM2, XMM1, 31
      b.db(0xc4, 0xe2, 0x71, 0x90, 0x04, 0x93) // VPGATHERDD XMM0, [EBX + XMM2 * 4], XMM1
      laneToEcx(b, 3)
    },
    expect: { vector: DONE, rcx: 0x58776655 },
  })
  const stores = (name: string, bytes: readonly number[]): void => {
    g.probe(`a store across the end: ${name}`, {
      ...user, body: (b) => { b.mov('ebx', END - 4); b.db(...ALL_ONES_XMM1, ...bytes) }, expect: { vector: DONE },
    })
    a.mov('eax', mem(0))
    g.observe(`what the store left at 0: ${name}`, { rax: 0xffffffff })
  }
  stores('VMOVDQU XMM1', [0xc5, 0xfa, 0x7f, 0x0b])
  stores('VMASKMOVPS', [0xc4, 0xe2, 0x71, 0x2e, 0x0b])
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
    const g = new Guest(`4 GiB ${mode}`, mode, { cr4: 0x40600 })
    mapMemory(g)
    addData(g)
    addVectors(g)
    addCode(g, 32)
    if (mode === 'long') addLong(g)
    return g
  })
}
