/**
 * Paging (SDM Vol. 3A chapter 4): every combination of permissions, with error code, CR2 and the accessed and dirty flags.
 *
 * A probe writes fresh entries for one test page, sets the control bits, touches the page, and looks at the entries.
 */
import type { Assembler } from './assembler.ts'
import { mem } from './assembler.ts'
import { ACCESSED, DIRTY, Flag, NX, P, PS, Place, RW, US } from './layout.ts'
import { DONE, Guest } from './monitor.ts'
import type { Expectation, Mode } from './monitor.ts'

const PF = 14
const CR0_BASE = 0x80000031
const CR0_WP = 0x10000
const CR4_SMEP = 0x100000
const CR4_SMAP = 0x200000
/** Physical page behind the test address, in which the code and the data are, and a large page's offset of it. */
const FRAME = Place.TEST_MEMORY
const CODE_OFFSET = 0x10
const DATA_OFFSET = 0x100

type AccessName = 'read' | 'write' | 'modify' | 'fetch'

/** One way that a mode maps the test page. Entry addresses from the top; the last one is the leaf. */
interface Mapping {
  readonly name: string
  /** Linear address of the page, and the offset in it of FRAME. */
  readonly linear: number
  readonly offset: number
  /** Address and value without permissions of each entry, from the top. */
  readonly entries: readonly { readonly address: number, readonly value: bigint, readonly permissions: boolean }[]
  readonly entryBytes: 4 | 8
}

const [MIDDLE, BOTTOM] = [0x2000, 0x3000].map((offset) => Place.MORE_TABLES + offset)
const LINEAR = 0x40000000

/** Four-level: PML4[0] leads to the identity map's PDPT, whose entry 1 maps LINEAR. */
const LONG_MAPPINGS: readonly Mapping[] = [
  {
    name: '4K', linear: LINEAR, offset: 0, entryBytes: 8,
    entries: [entry(Place.TABLES + 0x1008, MIDDLE), entry(MIDDLE, BOTTOM), entry(BOTTOM, FRAME)],
  },
  {
    name: '2M', linear: LINEAR, offset: 0, entryBytes: 8, entries: [entry(Place.TABLES + 0x1008, MIDDLE), entry(MIDDLE, FRAME, PS)],
  },
  { name: '1G', linear: LINEAR, offset: FRAME, entryBytes: 8, entries: [entry(Place.TABLES + 0x1008, 0, PS)] },
]
const PAE_MAPPINGS: readonly Mapping[] = [
  { name: '4K', linear: LINEAR, offset: 0, entryBytes: 8, entries: [entry(MIDDLE, BOTTOM), entry(BOTTOM, FRAME)] },
  { name: '2M', linear: LINEAR, offset: 0, entryBytes: 8, entries: [entry(MIDDLE, FRAME, PS)] },
]
const LEGACY_MAPPINGS: readonly Mapping[] = [
  { name: '4K', linear: LINEAR, offset: 0, entryBytes: 4, entries: [entry(Place.TABLES + 0x400, BOTTOM), entry(BOTTOM, FRAME)] },
  { name: '4M', linear: LINEAR, offset: 0, entryBytes: 4, entries: [entry(Place.TABLES + 0x400, FRAME, PS)] },
]

function entry(address: number, to: number, flags = 0n): Mapping['entries'][number] {
  return { address, value: BigInt(to) | flags, permissions: true }
}

interface Case {
  readonly mapping: Mapping
  /** Permission bits of the leaf, and of the entry above it. */
  readonly leaf: bigint
  readonly upper: bigint
  readonly wp: boolean
  readonly smep: boolean
  readonly smap: boolean
  readonly ac: boolean
  readonly user: boolean
  readonly access: AccessName
}

const bit = (value: bigint, mask: bigint): boolean => (value & mask) !== 0n

/** What the SDM says (§4.6.1, §4.7): the page fault's error code, or -1 if the access is allowed. */
function judgeAccess({ mapping, leaf, upper, wp, smep, smap, ac, user, access }: Case, nxe: boolean): number {
  const single = mapping.entries.length === 1
  const all = single ? leaf : leaf & upper
  const noExecute = nxe && (bit(leaf, NX) || (!single && bit(upper, NX)))
  const present = bit(leaf, P) && (single || bit(upper, P))
  const userPage = bit(all, US)
  const writes = access === 'write' || access === 'modify'
  const fetch = access === 'fetch'
  const code = (writes ? 2 : 0) | (user ? 4 : 0) | (fetch && (nxe || smep) ? 16 : 0)
  if (!present) return code
  const denied = fetch
    ? noExecute || (user ? !userPage : smep && userPage)
    : user
      ? !userPage || (writes && !bit(all, RW))
      : (userPage && smap && !ac) || (writes && wp && !bit(all, RW))
  return denied ? code | 1 : -1
}

const SMAP_AND_AC = [[false, false], [true, false], [true, true]] as const

/** `compact` leaves out combinations that the page's size has nothing to do with. */
function* cases(mapping: Mapping, mode: Mode, compact: boolean): Generator<Case> {
  const nxBits = mode === 'legacy' ? [0n] : [0n, NX]
  const uppers = compact || mapping.entries.length === 1 ? [P | RW | US] : [
    P | RW | US, P | US, P | RW, ...mode === 'legacy' ? [] : [P | RW | US | NX],
  ]
  const accesses: readonly AccessName[] = compact ? ['read', 'write', 'fetch'] : ['read', 'write', 'modify', 'fetch']
  for (const upper of uppers) for (const nx of nxBits) for (const us of [0n, US]) for (const rw of [0n, RW]) {
    for (const wp of [true, false]) for (const smep of [false, true]) for (const [smap, ac] of SMAP_AND_AC) {
      if (ac && compact) continue
      for (const user of [false, true]) for (const access of accesses) {
        yield { mapping, leaf: P | rw | us | nx, upper, wp, smep, smap, ac, user, access }
      }
    }
  }
}

function describe({ mapping, leaf, upper, wp, smep, smap, ac, user, access }: Case): string {
  const bits = (value: bigint): string =>
    [
      bit(value, P) ? '' : 'absent', bit(value, US) ? 'user' : 'system', bit(value, RW) ? 'rw' : 'ro', bit(value, NX) ? 'nx' : '',
    ].join(' ')
  const on = [wp && 'WP', smep && 'SMEP', smap && 'SMAP', ac && 'AC'].filter(Boolean).join(' ')
  return `${mapping.name} leaf ${bits(leaf)}, upper ${bits(upper)}, ${on}: ${user ? 'user' : 'supervisor'} ${access}`
}

/** Entries and control registers as the case has them; all translations are forgotten by the write of CR3. */
function arrange(a: Assembler, one: Case): void {
  const { mapping } = one
  mapping.entries.forEach(({ address, value }, n) => {
    const last = n === mapping.entries.length - 1
    const permissions = last ? one.leaf : n === mapping.entries.length - 2 ? one.upper : P | RW | US
    storeEntry(a, address, value | permissions, mapping.entryBytes)
  })
  a.mov('eax', CR0_BASE | (one.wp ? CR0_WP : 0))
  a.mov('cr0', a.mode === 64 ? 'rax' : 'eax')
  a.mov('eax', (a.mode === 64 || mapping.entryBytes === 8 ? 0x20 : 0x10) | (one.smep ? CR4_SMEP : 0) | (one.smap ? CR4_SMAP : 0))
  a.mov('cr4', a.mode === 64 ? 'rax' : 'eax')
  flush(a)
}

export function flush(a: Assembler): void {
  const register = a.mode === 64 ? 'rax' : 'eax'
  a.mov(register, 'cr3')
  a.mov('cr3', register)
}

export function storeEntry(a: Assembler, address: number, value: bigint, bytes: 4 | 8): void {
  a.store(mem(address), value & 0xffffffffn, 32)
  if (bytes === 8) a.store(mem(address + 4), (value >> 32n) & 0xffffffffn, 32)
}

function touch(a: Assembler, access: AccessName, page: number): void {
  const pointer = a.mode === 64 ? 'rbx' : 'ebx'
  a.mov(pointer, page + (access === 'fetch' ? CODE_OFFSET : DATA_OFFSET))
  if (access === 'read') a.mov('cl', mem(pointer))
  else if (access === 'write') a.mov(mem(pointer), 'cl')
  else if (access === 'modify') a.add(mem(pointer), 'cl')
  else a.jmpTo(pointer)
}

/** The leaf in EDX and the entry above it in ESI, A and D alone; nothing of it if the entry above is the one. */
function inspect(g: Guest, name: string, { mapping }: Case, expect: Expectation): void {
  const { a } = g
  const [leaf, upper] = mapping.entries.toReversed()
  a.mov('edx', mem(leaf.address))
  a.and('edx', Number(ACCESSED | DIRTY))
  a.mov('esi', mem((upper ?? leaf).address))
  a.and('esi', Number(ACCESSED | (upper === undefined ? DIRTY : 0n)))
  g.observe(`${name}, then the entries`, expect)
  a.mov('edx', 0)
  a.mov('esi', 0)
}

function addCase(g: Guest, one: Case): void {
  const nxe = g.mode !== 'legacy'
  const code = judgeAccess(one, nxe)
  const page = one.mapping.linear + one.mapping.offset
  const target = page + (one.access === 'fetch' ? CODE_OFFSET : DATA_OFFSET)
  const name = describe(one)
  const writes = one.access === 'write' || one.access === 'modify'
  const fault = { vector: PF, error: code, cr2: target, ...one.access === 'fetch' ? { rip: target } : {} }
  g.probe(name, {
    setup: (a) => arrange(a, one), ring: one.user ? 3 : 0, flags: one.ac ? Flag.AC | 2 : 2, body: (a) => touch(a, one.access, page),
    expect: code < 0 ? { vector: DONE, ...one.access === 'fetch' ? { rip: target + 2 } : {} } : fault,
  })
  if (code >= 0 && one.mapping.entries.length > 1) return
  const used = code < 0 ? ACCESSED | (writes ? DIRTY : 0n) : 0n
  inspect(g, name, one, { rdx: used, rsi: one.mapping.entries.length > 1 ? used & ACCESSED : used })
}

function pagingGuest(mode: 'legacy' | 'pae' | 'long', mappings: readonly Mapping[], index: number): Guest {
  const mapping = mappings[index]
  const g = new Guest(`paging ${mode} ${mapping.name}`, mode)
  // INT 0x80 at the place that is jumped to.
  g.poke(FRAME + CODE_OFFSET, 0x80cd, 2)
  if (mode === 'pae') g.poke(Place.TABLES + 8, BigInt(MIDDLE) | P)
  for (const one of cases(mapping, mode, index > 0)) addCase(g, one)
  addAbsent(g, mapping)
  addReserved(g, mapping, mode)
  return g
}

const OPEN = { wp: true, smep: false, smap: false, ac: false } as const

/** Absent leaves and upper entries, whatever the other bits. */
function addAbsent(g: Guest, mapping: Mapping): void {
  for (const user of [false, true]) for (const access of ['read', 'write', 'fetch'] as const) {
    addCase(g, { mapping, ...OPEN, leaf: RW | US, upper: P | RW | US, user, access })
    if (mapping.entries.length > 1) addCase(g, { mapping, ...OPEN, leaf: P | RW | US, upper: RW | US, user, access })
  }
}

/** Each reserved bit by itself: error code with P and RSVD, and no accessed flag. MAXPHYADDR is 40. */
function addReserved(g: Guest, mapping: Mapping, mode: Mode): void {
  const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, n) => from + n)
  const high = mode === 'pae' ? range(40, 62) : range(40, 51)
  const leafBits: Record<string, readonly number[]> = {
    '4K': mode === 'legacy' ? [] : high, '2M': [...range(13, 20), ...high], '1G': [...range(13, 29), ...high], '4M': [21],
  }
  const one = { mapping, ...OPEN, leaf: P | RW | US, upper: P | RW | US, user: false, access: 'read' } as const
  for (const n of leafBits[mapping.name]) addReservedCase(g, one, 'leaf', n)
  if (mapping.entries.length > 1 && mode !== 'legacy') for (const n of high) addReservedCase(g, one, 'upper', n)
}

function addReservedCase(g: Guest, one: Case, which: 'leaf' | 'upper', n: number): void {
  const leaf = one.leaf | (which === 'leaf' ? 1n << BigInt(n) : 0n)
  const upper = one.upper | (which === 'upper' ? 1n << BigInt(n) : 0n)
  for (const user of [false, true]) {
    const name = `${one.mapping.name}: bit ${n} of the ${which} is reserved, ${user ? 'user' : 'supervisor'}`
    const page = one.mapping.linear + one.mapping.offset
    g.probe(name, {
      setup: (a) => arrange(a, { ...one, leaf, upper }), ring: user ? 3 : 0, body: (a) => touch(a, 'read', page),
      expect: { vector: PF, error: user ? 13 : 9, cr2: page + DATA_OFFSET },
    })
  }
}

export function pagingGuests(): Guest[] {
  const of = (mode: 'legacy' | 'pae' | 'long', mappings: readonly Mapping[]): Guest[] =>
    mappings.map((_, index) => pagingGuest(mode, mappings, index))
  return [...of('legacy', LEGACY_MAPPINGS), ...of('pae', PAE_MAPPINGS), ...of('long', LONG_MAPPINGS)]
}
