/** From mode to mode and back (SDM Vol. 3A §9.8, §9.9), and what translations survive: global pages, INVLPG, writes of CR3. */
import { at, mem } from './assembler.ts'
import type { Assembler } from './assembler.ts'
import { GLOBAL, P, PS, Place, RW, Selector, US } from './layout.ts'
import { DONE, Guest } from './monitor.ts'
import { flush, storeEntry } from './paging.ts'

const EFER = 0xc0000080
const [UD, GP, PF] = [6, 13, 14]
/** 32-bit page directory and four-level tables of the first 16 MiB. */
const LEGACY_TABLES = Place.MORE_TABLES
const PAE_TABLES = Place.MORE_TABLES + 0x1000
const LONG_TABLES = Place.MORE_TABLES + 0x4000
const LOW = Place.CODE16

function defineTables(g: Guest): void {
  for (let n = 0; n < 8; n++) g.poke(LEGACY_TABLES + n * 4, BigInt(n << 22) | P | RW | PS | US, 4)
  for (const [pointers, upper] of [[PAE_TABLES, P], [LONG_TABLES + 0x1000, P | RW | US]] as const) {
    g.poke(pointers, BigInt(pointers + 0x1000) | upper)
    for (let n = 0; n < 16; n++) g.poke(pointers + 0x1000 + n * 8, BigInt(n << 21) | P | RW | PS | US)
  }
  g.poke(LONG_TABLES, BigInt(LONG_TABLES + 0x1000) | P | RW | US)
}

/** Without paging in between, so that the old mode does not see the new tables. */
function setControl(a: Assembler, cr0: number, cr4: number, cr3: number): void {
  a.mov('eax', 0x31)
  a.mov('cr0', 'eax')
  a.mov('eax', cr3)
  a.mov('cr3', 'eax')
  a.mov('eax', cr4)
  a.mov('cr4', 'eax')
  a.mov('eax', cr0)
  a.mov('cr0', 'eax')
}

/** Adds to EBX, so that the record tells the way that was gone. */
const pass = (a: Assembler, bit: number): void => a.add('ebx', 1 << bit)

/** The whole tour: 32-bit with 32-bit paging, PAE, IA-32e, 64-bit, compatibility, no paging, 16-bit, real, and back. */
function addTour(g: Guest): void {
  const { a } = g
  const PAGED = 0x80010031
  g.probe('the tour of all modes', {
    body: () => {
      a.mov('ebx', 0)
      setControl(a, PAGED, 0x10, LEGACY_TABLES)
      pass(a, 0)
      setControl(a, PAGED, 0x20, PAE_TABLES)
      pass(a, 1)
      setControl(a, 0x31, 0x20, LONG_TABLES)
      a.wrmsr(EFER, 0x100n)
      setControl(a, PAGED, 0x20, LONG_TABLES)
      pass(a, 2)
      a.farJump(Selector.CODE64, at('tour.64'))
      a.use(64)
      a.label('tour.64')
      // 64-bit mode: REX.W ADD RBX, 8.
      a.db(0x48, 0x83, 0xc3, 0x08)
      a.rdmsr(EFER)
      a.mov('esi', 'eax')
      a.farIndirect(5, mem(at('tour.pointer')), 32)
      a.label('tour.pointer')
      a.dd(at('tour.compatibility'))
      a.dw(Selector.CODE32)
      a.use(32)
      a.label('tour.compatibility')
      pass(a, 4)
      a.mov('eax', 0x31)
      a.mov('cr0', 'eax')
      a.wrmsr(EFER, 0n)
      a.rdmsr(EFER)
      a.mov('edi', 'eax')
      pass(a, 5)
      a.farJump(Selector.CODE16, at('tour.16'), 32)
      a.label('tour.back')
      for (const name of ['ds', 'es', 'ss', 'fs', 'gs']) {
        a.mov('eax', Selector.DATA)
        a.mov(name, 'ax')
      }
      a.mov('esp', Place.STACK0)
      a.lidt(mem('monitor.idtr'))
      pass(a, 8)
    },
    expect: { vector: DONE, rbx: 0x1ff, rsi: 0x500, rdi: 0, cs: Selector.CODE32, rsp: Place.STACK0 },
  })
  g.elsewhere(LOW, 16, () => {
    a.label('tour.16')
    pass(a, 6)
    a.mov('ax', Selector.DATA16)
    for (const name of ['ds', 'es', 'ss']) a.mov(name, 'ax')
    a.mov('eax', 0x30)
    a.mov('cr0', 'eax')
    a.farJump(0, at('tour.real'))
    a.label('tour.real')
    a.xor('ax', 'ax')
    for (const name of ['ds', 'es', 'ss']) a.mov(name, 'ax')
    a.mov('esp', Place.REAL_STACK)
    a.lidt(mem('tour.ivt'))
    // An interrupt of real mode adds 1 << 7.
    a.mov('ax', at('tour.handler'))
    a.mov(mem(0x40 * 4), 'ax')
    a.xor('ax', 'ax')
    a.mov(mem(0x40 * 4 + 2), 'ax')
    a.int(0x40)
    a.mov('eax', 0x31)
    a.mov('cr0', 'eax')
    a.farJump(Selector.CODE32, at('tour.back'), 32)
    a.label('tour.handler')
    pass(a, 7)
    a.iret()
    a.label('tour.ivt')
    a.dw(0x3ff)
    a.dd(0)
  })
}

/** CR0.PE set and cleared without a far jump: the code segment goes on as it was cached. */
function addCached(g: Guest): void {
  const { a } = g
  g.probe('PE cleared: 32-bit code goes on, selectors are as they were', {
    body: () => {
      a.mov('eax', 0x30)
      a.mov('cr0', 'eax')
      a.mov('ebx', 0x12345678)
      a.mov('ecx', mem(Place.CODE))
      a.mov('eax', 0x31)
      a.mov('cr0', 'eax')
    },
    expect: { vector: DONE, rbx: 0x12345678, cs: Selector.CODE32, ds: Selector.DATA },
  })
  g.probe('LMSW sets PE but does not clear it', {
    setup: () => a.mov('eax', 0), body: () => { a.db(0x0f, 0x01, 0xf0); a.mov('ebx', 'cr0'); a.and('ebx', 0x31) },
    expect: { vector: DONE, rbx: 0x31 },
  })
  g.probe('64-bit instructions are INC and DEC outside 64-bit mode', {
    setup: () => a.mov('eax', 5), body: () => a.db(0x48, 0x40, 0x40), expect: { vector: DONE, rax: 6 },
  })
  g.probe('SWAPGS outside 64-bit mode', { body: () => a.db(0x0f, 0x01, 0xf8), expect: { vector: UD } })
}

/** QEMU starts paging anyway. */
function addRefusals(g: Guest): void {
  const { a } = g
  g.probe('paging with LME but without PAE is refused', {
    setup: () => {
      a.mov('eax', 0)
      a.mov('cr4', 'eax')
      a.wrmsr(EFER, 0x100n)
      a.mov('eax', LONG_TABLES)
      a.mov('cr3', 'eax')
      a.mov('eax', 0x80000031)
    },
    body: () => a.mov('cr0', 'eax'), expect: { vector: GP, error: 0 }, after: () => a.wrmsr(EFER, 0n),
  })
  g.probe('PDPTEs with reserved bits are refused', {
    setup: () => {
      a.store(mem(PAE_TABLES), (PAE_TABLES + 0x1000) | 3, 32)
      a.mov('eax', PAE_TABLES)
      a.mov('cr3', 'eax')
      a.mov('eax', 0x20)
      a.mov('cr4', 'eax')
      a.mov('eax', 0x80000031)
    },
    body: () => a.mov('cr0', 'eax'), expect: { vector: GP, error: 0 },
    after: () => { a.store(mem(PAE_TABLES), (PAE_TABLES + 0x1000) | 1, 32); a.mov('eax', 0); a.mov('cr4', 'eax') },
  })
  g.probe('PDPTEs are read with CR3, not with each access', {
    setup: () => setControl(a, 0x80010031, 0x20, PAE_TABLES),
    body: () => {
      a.store(mem(PAE_TABLES), 0, 32)
      a.mov('ebx', mem(Place.DATA))
      a.mov('ecx', 1)
      a.store(mem(PAE_TABLES), (PAE_TABLES + 0x1000) | 1, 32)
    },
    expect: { vector: DONE, rcx: 1 }, after: () => setControl(a, 0x31, 0x20, PAE_TABLES),
  })
}

/** Translations: what must be forgotten, and that nothing else is needed. */
function translations(mode: 'legacy' | 'pae' | 'long'): Guest {
  const g = new Guest(`translations ${mode}`, mode)
  const { a } = g
  const linear = Place.TEST_MEMORY
  const bytes = mode === 'legacy' ? 4 : 8
  const table = Place.MORE_TABLES
  const directory = mode === 'legacy' ? Place.TABLES + (linear >> 22) * 4 : Place.TABLES + 0x2000 + (linear >> 21) * 8
  const [one, two] = [Place.TEST_MEMORY, Place.TEST_MEMORY + 0x1000]
  const map = (to: number, flags = P | RW): void => storeEntry(a, table, BigInt(to) | flags, bytes)
  const cr4 = (bits: number): void => {
    a.mov('eax', bits | (mode === 'legacy' ? 0x10 : 0x20))
    a.mov('cr4', mode === 'long' ? 'rax' : 'eax')
  }
  storeEntry(a, directory, BigInt(table) | P | RW | US, bytes)
  const read = (): void => a.mov('ebx', mem(linear))
  const fill = (): void => {
    map(two)
    flush(a)
    a.store(mem(linear), 0x2222, 32)
    map(one)
    flush(a)
    a.store(mem(linear), 0x1111, 32)
  }
  const changes = (name: string, change: () => void, before: () => void = () => undefined): void => {
    g.probe(name, {
      setup: () => { before(); fill(); read(); a.mov('ebx', 0) }, body: () => { change(); read() },
      expect: { vector: DONE, rbx: 0x2222 }, after: () => cr4(0),
    })
  }
  changes('a write of CR3 forgets', () => { map(two); flush(a) })
  changes('INVLPG forgets', () => { map(two); a.invlpg(mem(linear + 0x123)) })
  changes('INVLPG forgets global pages', () => {
    map(two, P | RW | GLOBAL)
    a.invlpg(mem(linear))
  }, () => { cr4(0x80); map(one, P | RW | GLOBAL) })
  changes('a change of CR4.PGE forgets global pages', () => { map(two, P | RW | GLOBAL); cr4(0) }, () => cr4(0x80))
  changes('G without CR4.PGE is nothing', () => { map(two, P | RW | GLOBAL); flush(a) }, () => map(one, P | RW | GLOBAL))
  changes('a page that was not there needs no INVLPG', () => { map(two, RW); flush(a); map(two) })
  changes('a change of CR0.PG forgets', () => {
    map(two)
    if (mode === 'long') return flush(a)
    a.mov('eax', 0x31)
    a.mov('cr0', 'eax')
    a.mov('eax', 0x80010031)
    a.mov('cr0', 'eax')
  })
  g.probe('a write after a read sets the dirty flag', {
    setup: () => { fill(); map(one); flush(a); read() },
    body: () => { a.mov(mem(linear), 'ebx'); a.mov('ecx', mem(table)); a.and('ecx', 0x60) }, expect: { vector: DONE, rcx: 0x60 },
  })
  g.probe('a read sets the accessed flag alone', {
    setup: () => { map(one); flush(a) }, body: () => { read(); a.mov('ecx', mem(table)); a.and('ecx', 0x60) },
    expect: { vector: DONE, rcx: 0x20 },
  })
  g.probe('a page that became read-only, after INVLPG', {
    setup: () => { fill(); map(one, P); a.invlpg(mem(linear)) }, body: () => { a.label('read-only'); a.mov(mem(linear), 'ebx') },
    expect: { vector: PF, error: 3, rip: at('read-only'), cr2: linear },
  })
  g.probe('a page that became writable needs no INVLPG after the fault', {
    setup: () => { map(one); }, body: () => { a.mov('ebx', 0x3333); a.mov(mem(linear), 'ebx') }, expect: { vector: DONE },
  })
  return g
}

export function modeSwitchGuests(): Guest[] {
  const g = new Guest('mode switches', 'protected')
  defineTables(g)
  addTour(g)
  addCached(g)
  const refusals = new Guest('refused modes', 'protected')
  refusals.notInQemu = 'takes them'
  defineTables(refusals)
  addRefusals(refusals)
  return [g, refusals, translations('legacy'), translations('pae'), translations('long')]
}
