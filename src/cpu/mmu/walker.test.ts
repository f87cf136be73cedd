import { describe, expect, it } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import { Block, Slot } from '../state/layout.ts'
import { MemoryRig, TestRandom } from '../testing/rig.ts'
import { AccessKind } from './mmu.ts'

// A plain reference walker, written from SDM Vol. 3A chapter 4 without regard for speed, against the MMU, in random tables.

type Kind = 'read' | 'write' | 'fetch'
type Level = { readonly shift: number, readonly bits: number, readonly large: boolean }
interface Setting {
  mode: 'legacy' | 'pae' | 'four-level'
  user: boolean, ac: boolean, wp: boolean, smep: boolean, smap: boolean, nxe: boolean, pse: boolean
}
interface Outcome { readonly page: number, readonly code: number, readonly used: readonly number[], readonly leaf: number }

const LEVELS: Record<Setting['mode'], readonly Level[]> = {
  legacy: [{ shift: 22, bits: 10, large: true }, { shift: 12, bits: 10, large: false }],
  pae: [{ shift: 30, bits: 2, large: false }, { shift: 21, bits: 9, large: true }, { shift: 12, bits: 9, large: false }],
  'four-level': [
    { shift: 39, bits: 9, large: false }, { shift: 30, bits: 9, large: true },
    { shift: 21, bits: 9, large: true }, { shift: 12, bits: 9, large: false },
  ],
}
const bit = (value: bigint, n: number): boolean => ((value >> BigInt(n)) & 1n) === 1n
const anyBit = (value: bigint, from: number, to: number): boolean =>
  ((value >> BigInt(from)) & ((1n << BigInt(to - from + 1)) - 1n)) !== 0n

function reservedBitSet(entry: bigint, level: Level, s: Setting, isLarge: boolean): boolean {
  if (s.mode === 'legacy') return isLarge && bit(entry, 21)
  if (s.mode === 'pae' && level.shift === 30) return false
  const paging = s.mode === 'pae' ? anyBit(entry, 40, 62) : anyBit(entry, 40, 51)
  if (paging || (!s.nxe && bit(entry, 63))) return true
  if (level.shift === 39) return bit(entry, 7)
  return isLarge && anyBit(entry, 13, level.shift - 1)
}

function reference(rig: MemoryRig, s: Setting, root: number, linear: bigint, kind: Kind): Outcome {
  const size = s.mode === 'legacy' ? 4 : 8
  let table = root
  let writable = true, user = true, executable = true
  const used: number[] = []
  const code = (present: boolean, reserved: boolean): number =>
    (present ? 1 : 0) | (kind === 'write' ? 2 : 0) | (s.user ? 4 : 0) | (reserved ? 8 : 0) |
    (kind === 'fetch' && ((s.nxe && s.mode !== 'legacy') || s.smep) ? 16 : 0)
  const fault = (present: boolean, reserved: boolean): Outcome => ({ page: -1, code: code(present, reserved), used: [], leaf: 0 })
  for (const level of LEVELS[s.mode]) {
    const at = table + Number((linear >> BigInt(level.shift)) & ((1n << BigInt(level.bits)) - 1n)) * size
    const entry = size === 4 ? BigInt(rig.memory.readU32(gpa(at))) : rig.memory.readU64(gpa(at))
    const isPdpte = s.mode === 'pae' && level.shift === 30
    if (!bit(entry, 0)) return fault(false, false)
    const isLarge = level.large && bit(entry, 7) && (s.mode !== 'legacy' || s.pse)
    if (reservedBitSet(entry, level, s, isLarge)) return fault(true, true)
    if (!isPdpte) {
      writable &&= bit(entry, 1)
      user &&= bit(entry, 2)
      executable &&= !(s.nxe && s.mode !== 'legacy' && bit(entry, 63))
      used.push(at)
    }
    const address = Number(entry & 0xff_ffff_f000n)
    if (!isLarge && level.shift !== 12) { table = address; continue }
    const within = Number(linear & ((1n << BigInt(level.shift)) - 1n))
    const base = level.shift === 22
      ? Number(entry & 0xffc0_0000n) + Number((entry >> 13n) & 0xffn) * 2 ** 32
      : Math.floor(address / 2 ** level.shift) * 2 ** level.shift
    if (s.user && !user) return fault(true, false)
    if (!s.user && user && s.smap && !s.ac && kind !== 'fetch') return fault(true, false)
    if (!s.user && user && s.smep && kind === 'fetch') return fault(true, false)
    if (kind === 'write' && !writable && (s.user || s.wp)) return fault(true, false)
    if (kind === 'fetch' && !executable) return fault(true, false)
    return { page: Math.floor((base + within) / 4096), code: 0, used, leaf: at }
  }
  throw new Error('a walk ends at its last level')
}

function configure(rig: MemoryRig, s: Setting, root: number): void {
  const { state } = rig
  state.setBlockU64(Block.CR0, BigInt((0x80000001 | (s.wp ? 0x10000 : 0)) >>> 0))
  state.setBlockU64(Block.CR3, BigInt(root))
  const cr4 = (s.pse ? 0x10 : 0) | (s.mode === 'legacy' ? 0 : 0x20) | (s.smep ? 0x100000 : 0) | (s.smap ? 0x200000 : 0)
  state.setBlockU64(Block.CR4, BigInt(cr4))
  state.setBlockU64(Block.EFER, BigInt((s.mode === 'four-level' ? 0x500 : 0) | (s.nxe ? 0x800 : 0)))
  state.setBlockU32(Block.CPL, s.user ? 3 : 0)
  state.setSlotU32(Slot.SYSTEM_FLAGS, 2 | (s.ac && !s.user ? 0x40000 : 0))
  rig.mmu.configure()
}

/** An entry that is mostly valid, and now and then wrong in any of its bits. */
function randomEntry(random: TestRandom, s: Setting, table: number): bigint {
  let entry = BigInt(table) | 1n
  for (const n of [1, 2]) if (!random.chance(4)) entry |= 1n << BigInt(n)
  for (const n of [5, 6, 8]) if (random.chance(2)) entry |= 1n << BigInt(n)
  if (random.chance(6)) entry |= 0x80n
  if (random.chance(16)) entry &= ~1n
  if (random.chance(12)) entry |= 1n << BigInt(7 + random.below(s.mode === 'legacy' ? 15 : 23))
  if (s.mode !== 'legacy' && random.chance(10)) entry |= 1n << BigInt(40 + random.below(24))
  return entry
}

const PDPTE_RESERVED = 0xffff_ff00_0000_01e6n
const TABLES = [0x10000, 0x11000, 0x12000, 0x13000]

function buildTables(rig: MemoryRig, random: TestRandom, s: Setting, linear: bigint): void {
  LEVELS[s.mode].forEach((level, depth) => {
    const next = depth === LEVELS[s.mode].length - 1 ? (random.below(64) << 12) + 0x40000 : TABLES[depth + 1]
    const index = Number((linear >> BigInt(level.shift)) & ((1n << BigInt(level.bits)) - 1n))
    let entry = randomEntry(random, s, next)
    if (s.mode === 'pae' && depth === 0) entry &= ~PDPTE_RESERVED
    if (s.mode === 'legacy') rig.memory.writeU32(gpa(TABLES[depth] + index * 4), Number(BigInt.asUintN(32, entry)))
    else rig.memory.writeU64(gpa(TABLES[depth] + index * 8), entry)
  })
}

function perform(rig: MemoryRig, linear: bigint, kind: Kind): number {
  const low = Number(BigInt.asIntN(32, linear))
  const high = Number(BigInt.asIntN(32, linear >> 32n))
  if (kind === 'fetch') return rig.mmu.translateFetch(low, high)
  const address = rig.mmu.access(low, high, 1, kind === 'write' ? AccessKind.WRITE : AccessKind.READ)
  return address === 0 ? -1 : rig.mmu.walker.page
}

describe.each(['legacy', 'pae', 'four-level'] as const)('%s paging', (mode) => {
  it('agrees with the reference walker on pages, faults, accessed and dirty flags', () => {
    const rig = new MemoryRig()
    const random = new TestRandom(0x1234 + mode.length)
    const seen = { pages: 0, faults: new Set<number>() }
    for (let n = 0; n < 4000; n++) {
      const s: Setting = {
        mode, user: random.chance(2), ac: random.chance(3), wp: random.chance(2), smep: random.chance(2), smap: random.chance(2),
        nxe: random.chance(2), pse: random.chance(2),
      }
      const upper = mode === 'four-level' ? BigInt.asUintN(64, BigInt.asIntN(48, BigInt(random.below(65536)) << 32n)) : 0n
      const linear = upper | BigInt(random.next())
      const kind = random.pick(['read', 'write', 'fetch'] as const)
      buildTables(rig, random, s, linear)
      if (mode === 'pae') expect(rig.mmu.walker.loadPdptes(TABLES[0])).toBe(true)
      configure(rig, s, TABLES[0])
      const expected = reference(rig, s, TABLES[0], linear, kind)
      const before = TABLES.map((table) => { const bytes = new Uint8Array(4096); rig.memory.read(gpa(table), bytes); return bytes })
      const context = `case ${n}: ${JSON.stringify(s)} ${linear.toString(16)} ${kind}`
      const page = perform(rig, linear, kind)
      expect(page, context).toBe(expected.page)
      if (page < 0) {
        expect(rig.state.slotU32(Slot.EXIT_VECTOR), context).toBe(14)
        expect(rig.state.slotU32(Slot.EXIT_ERROR_CODE), context).toBe(expected.code)
        expect(rig.state.slotU64(Slot.FAULT_ADDRESS), context).toBe(linear)
        seen.faults.add(expected.code)
      } else seen.pages++
      for (const at of expected.used) before[(at >> 12) - 0x10][at & 4095] |= at === expected.leaf && kind === 'write' ? 0x60 : 0x20
      TABLES.forEach((table, t) => {
        const after = new Uint8Array(4096)
        rig.memory.read(gpa(table), after)
        if (Buffer.compare(after, before[t]) !== 0) expect.fail(`${context}: table ${t} differs`)
        rig.memory.write(gpa(table), new Uint8Array(4096))
      })
    }
    expect(seen.pages).toBeGreaterThan(500)
    expect(seen.faults.size).toBeGreaterThan(8)
  })
})

describe('page directory pointers of PAE paging', () => {
  it('are refused when a present one has reserved bits, and kept in registers', () => {
    const rig = new MemoryRig()
    rig.memory.writeU64(gpa(0x2020), 0x3001n)
    expect(rig.mmu.walker.loadPdptes(0x2020)).toBe(true)
    rig.memory.writeU64(gpa(0x2028), 0x2n)
    expect(rig.mmu.walker.loadPdptes(0x2020)).toBe(true)
    for (const reserved of [0x2n, 0x4n, 0x20n, 0x100n, 1n << 40n, 1n << 63n]) {
      rig.memory.writeU64(gpa(0x2020), 0x5001n | reserved)
      expect(rig.mmu.walker.loadPdptes(0x2020)).toBe(false)
    }
    expect(rig.mmu.walker.pdptes[0]).toBe(0x3001)
  })
})

describe('no paging', () => {
  it('takes linear addresses for physical ones', () => {
    const rig = new MemoryRig()
    rig.mmu.configure()
    expect(perform(rig, 0x12345n, 'write')).toBe(0x12)
    expect(perform(rig, 0x3fffffn, 'fetch')).toBe(0x3ff)
  })
})
