/** What a guest's memory holds before it starts: descriptor tables, the TSS, page tables. */
import { Access, Flags, P, PS, Place, RW, Selector, US, Variable, segment } from './layout.ts'
import type { Guest } from './monitor.ts'

/** Fills in all tables; a guest adds its own. */
export function fillTables(g: Guest): void {
  const { LONG, BIG, PAGES } = Flags
  const flat = (access: number, flags: number): bigint => segment(0, 0xfffff, access, flags | PAGES)
  const user = (access: number): number => access | 0x60
  g.gdt(Selector.CODE32, flat(Access.CODE, BIG))
  for (const data of [Selector.DATA, Selector.DATA_B, Selector.FAST_CODE32 + 8]) g.gdt(data, flat(Access.DATA, BIG))
  g.gdt(Selector.CODE64, flat(Access.CODE, LONG))
  g.gdt(Selector.USER_CODE32, flat(user(Access.CODE), BIG))
  for (const data of [
    Selector.USER_DATA, Selector.USER_DATA_B, Selector.FAST_CODE32 + 24,
  ]) g.gdt(data, flat(user(Access.DATA), BIG))
  g.gdt(Selector.USER_CODE64, flat(user(Access.CODE), LONG))
  g.gdt(Selector.FAST_CODE32, flat(Access.CODE, BIG))
  g.gdt(Selector.FAST_CODE32 + 16, flat(user(Access.CODE), BIG))
  g.gdt(Selector.CODE16, segment(0, 0xffff, Access.CODE))
  g.gdt(Selector.DATA16, segment(0, 0xffff, Access.DATA))
  g.gdt(Selector.TSS, segment(Place.TSS, 0x2068, Access.TSS32))
  g.gdt(Selector.LDT, segment(Place.LDT, 0x7ff, Access.LDT))
  // No I/O permission map: no port is for level 3.
  g.poke(Place.TSS + 102, 0xffff, 2)
  if (g.mode === 'long') fillLongTss(g)
  else {
    g.poke(Place.TSS + 4, Place.INNER_STACK, 4)
    g.poke(Place.TSS + 8, Selector.DATA, 4)
  }
  if (g.mode !== 'real' && g.mode !== 'protected') fillPageTables(g)
  g.poke(Variable.RESULT, g.mode === 'real' ? 0 : g.results, 8)
}

/** Level 0's stack lies lower than the interrupt stack 1 that all of the monitor's gates use. */
function fillLongTss(g: Guest): void {
  g.poke(Place.TSS + 4, Place.INNER_STACK - 0x4000)
  g.poke(Place.TSS + 0x24, Place.INNER_STACK)
}

/** The first 16 MiB as they are, the upper 4 of them for user programs too, and the APICs' registers. */
function fillPageTables(g: Guest): void {
  const { TABLES } = Place
  if (g.mode === 'legacy') {
    for (let n = 0; n < 4; n++) g.poke(TABLES + n * 4, BigInt(n << 22) | P | RW | PS | (n === 3 ? US : 0n), 4)
    g.poke(TABLES + (0xfec00000 / 2 ** 22) * 4, 0xfec00000n | P | RW | PS, 4)
    return
  }
  const pointers = g.mode === 'pae' ? TABLES : TABLES + 0x1000
  const upper = g.mode === 'pae' ? P : P | RW | US
  if (g.mode === 'long') g.poke(TABLES, BigInt(pointers) | upper)
  g.poke(pointers, BigInt(TABLES + 0x2000) | upper)
  g.poke(pointers + 24, BigInt(TABLES + 0x3000) | upper)
  for (let n = 0; n < 8; n++) g.poke(TABLES + 0x2000 + n * 8, BigInt(n << 21) | P | RW | PS | (n >= 6 ? US : 0n))
  for (let n = 0; n < 2; n++) g.poke(TABLES + 0x3000 + (0x1f6 + n) * 8, BigInt(0xfec00000 + n * 2 ** 21) | P | RW | PS)
}
