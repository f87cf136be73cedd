/** Chooses a memory operand: where it is, how the instruction addresses it, and the register values that make it so. */
import { CODE, DATA, DATA_SIZE, Local, segmentBase, WRITABLE_SIZE } from '../../test/vectors/environment.ts'
import { setSelector, Word } from '../../test/vectors/state.ts'
import type { Draft } from './draft.ts'
import { RBP, RSP } from './draft.ts'
import { PAIRS16 } from './encode.ts'

const SS = 2, DS = 3, FS = 4
const PREFIX_OF_SEGMENT = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]

/** A linear address for `size` bytes: mostly in the writable pages, one in twelve where something faults or pages meet. */
export function chooseAddress(draft: Draft, size: number, alignment: number): number {
  const { random } = draft
  const across = size > 1 ? 1 + random.below(size - 1) : 0
  switch (random.below(48)) {
    case 0: return DATA + 0x1000 - across
    case 1: return DATA + WRITABLE_SIZE - across
    case 2: return DATA + WRITABLE_SIZE + random.below(0xc00) * alignment % 0xc00
    case 3: return DATA + DATA_SIZE - across
  }
  const at = DATA + 0x80 + random.below(0xf00 - size)
  return at - (random.oneIn(5) ? 0 : at % alignment)
}

/** Gives the draft a memory operand of `size` bytes. */
export function placeMemory(draft: Draft, size: number, alignment: number, address = chooseAddress(draft, size, alignment)): void {
  draft.address = address
  draft.choice.addressSize = chooseAddressSize(draft)
  if (draft.mode !== 64 && draft.random.oneIn(6)) varySegments(draft)
  else if (draft.mode === 32 && draft.choice.addressSize === 16) setSelector(draft.state, DS, Local.DATA32)
  for (let attempt = 0; attempt < 50; attempt++) if (tryShape(draft, BigInt(address))) return spoil(draft)
  draft.discarded = true
}

function chooseAddressSize(draft: Draft): 16 | 32 | 64 {
  const other = ({ 64: 32, 32: 16, 16: 32 } as const)[draft.mode]
  return draft.random.oneIn(6) ? other : draft.mode
}

/** Outside 64-bit mode: DS of another kind, so that bases, limits and types matter. */
function varySegments(draft: Draft): void {
  const { random } = draft
  setSelector(draft.state, DS, random.pick([Local.DATA32, Local.DATA16, Local.READ_ONLY, Local.EXPAND_DOWN, 0, Local.CODE16, Local.DATA32]))
}

/** Rarely moves the base register so that the address is not canonical. */
function spoil(draft: Draft): void {
  const memory = draft.choice.memory
  if (draft.mode !== 64 || draft.choice.addressSize !== 64 || !memory || memory.base < 0 || memory.base === 16) return
  if (draft.random.below(40) !== 0) return
  draft.setRegister(memory.base, draft.state[memory.base] ^ draft.random.pick([1n << 63n, 1n << 47n, 1n << 55n]))
}

function tryShape(draft: Draft, linear: bigint): boolean {
  const { random, choice } = draft
  const [base, index] = choice.addressSize === 16 ? pair16(draft) : pair32(draft)
  const scale = choice.addressSize === 16 || index < 0 ? 0 : random.below(4)
  const displacementSize = base < 0 || base === 16 ? (choice.addressSize === 16 ? 2 : 4) : displacementSizeFor(draft, base, index)
  const segment = chooseSegment(draft, base)
  const offset = BigInt.asUintN(choice.addressSize, linear - segmentBase(draft.state, draft.mode, segment))
  if (base === 16) return ripRelative(draft, segment)
  const displacement = solve(draft, offset, base, index, scale, displacementSize)
  if (displacement === undefined) return false
  choice.memory = { base, index, scale, displacement, displacementSize }
  override(draft, segment, base)
  return true
}

function pair16(draft: Draft): readonly [number, number] {
  return draft.random.oneIn(6) ? [-1, -1] : draft.random.pick(PAIRS16)
}

function pair32(draft: Draft): readonly [number, number] {
  const { random, mode } = draft
  const base = mode === 64 && random.oneIn(8) ? 16 : random.oneIn(8) ? -1 : random.below(draft.registers)
  const index = base === 16 || random.oneIn(2) ? -1 : random.below(draft.registers)
  return [base, index === RSP ? -1 : index]
}

function displacementSizeFor(draft: Draft, base: number, index: number): number {
  const { random, choice } = draft
  const needed = choice.addressSize === 16 ? base === RBP && index < 0 : (base & 7) === RBP
  const size = random.pick([0, 1, 1, choice.addressSize === 16 ? 2 : 4])
  return needed && size === 0 ? 1 : size
}

function chooseSegment(draft: Draft, base: number): number {
  const { random, mode, state } = draft
  const usual = base === RSP || base === RBP ? SS : DS
  // A 16-bit offset reaches the data through DS, whose base is there, but not through a flat SS.
  if (!random.oneIn(10)) return mode === 32 && draft.choice.addressSize === 16 ? DS : usual
  if (mode !== 64) return random.pick([0, 1, 2, 3, 4, 5])
  const segment = FS + random.below(2)
  const value = BigInt.asUintN(64, random.pick([0x1000n, -0x1000n, BigInt(random.u32()), 0x7fff00000000n]))
  state[segment === FS ? Word.FS_BASE : Word.GS_BASE] = value
  return segment
}

/** Adds the prefix that the segment needs; in 64-bit mode sometimes one that is ignored. */
function override(draft: Draft, segment: number, base: number): void {
  const usual = base === RSP || base === RBP ? SS : DS
  draft.choice.prefixes = draft.choice.prefixes.filter((byte) => !PREFIX_OF_SEGMENT.includes(byte))
  if (segment !== usual || draft.random.oneIn(60)) draft.choice.prefixes = [...draft.choice.prefixes, PREFIX_OF_SEGMENT[segment]]
}

function ripRelative(draft: Draft, segment: number): boolean {
  draft.ripRelative = true
  draft.choice.memory = { base: 16, index: -1, scale: 0, displacement: 0, displacementSize: 4 }
  override(draft, segment, 16)
  return true
}

/** Sets the free registers of an address so that it equals `offset`; returns the displacement, or undefined if that cannot be. */
function solve(draft: Draft, offset: bigint, base: number, index: number, scale: number, size: number): number | undefined {
  const { random, state, choice } = draft
  const bits = choice.addressSize
  const wrap = (value: bigint) => BigInt.asUintN(bits, value)
  const free = (register: number) => register >= 0 && !draft.fixed.has(register)
  const indexValue = index < 0 ? 0n : state[index] << BigInt(scale)
  if (free(base) && base !== index) {
    const displacement = size === 0 ? 0n : BigInt.asIntN(size * 8, random.u64())
    const low = wrap(offset - indexValue - displacement)
    draft.setRegister(base, bits === 64 ? low : state[base] & ~((1n << BigInt(bits)) - 1n) | low)
    if (index >= 0) draft.fixed.add(index)
    return Number(displacement)
  }
  if (base < 0 && free(index)) {
    const rest = BigInt.asIntN(32, offset) - BigInt(random.below(0x1000) << 3)
    draft.setRegister(index, wrap(offset - rest) >> BigInt(scale))
    return index >= 0 && wrap((state[index] << BigInt(scale)) + rest) === offset ? Number(rest) : undefined
  }
  const left = BigInt.asIntN(bits, wrap(offset - (base < 0 ? 0n : state[base]) - indexValue))
  if (BigInt.asIntN(size * 8, left) !== left) return undefined
  return Number(left)
}

/** The displacement of a RIP-relative operand, once the instruction's length is known. */
export function resolveRip(draft: Draft, length: number): void {
  const memory = draft.choice.memory
  if (!draft.ripRelative || !memory || memory.base !== 16) return
  const segment = draft.choice.prefixes.find((byte) => byte >= 0x64)
  const base = segment === undefined ? 0n : draft.state[segment === 0x64 ? Word.FS_BASE : Word.GS_BASE]
  const left = BigInt(draft.address!) - base - BigInt(CODE + draft.offset + length)
  if (BigInt.asIntN(32, left) !== left) draft.discarded = true
  draft.choice.memory = { ...memory, displacement: Number(BigInt.asIntN(32, left)) }
}
