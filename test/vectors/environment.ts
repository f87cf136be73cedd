/**
 * What surrounds every vector: a small address space below 4 GiB, and the descriptors that its selectors name. It is what the
 * recorder's process looks like to an instruction.
 *
 * | linear address           | contents                                                                                         |
 * |--------------------------|--------------------------------------------------------------------------------------------------|
 * | 10000000h to 10001FFFh   | code: user, read and execute, every byte CCh (INT3) except the instruction                       |
 * | 20000000h to 20001FFFh   | data: user, read and write, no execute; the background with the vector's patches                 |
 * | 20002000h to 20002FFFh   | data: user, read only, no execute; the background                                                |
 * | everything else          | not present (or not canonical)                                                                   |
 */
import { Random } from './random.ts'
import { selector, setSelector, Word, WORDS } from './state.ts'
import type { CodeSize, State } from './state.ts'

export const CODE = 0x10000000
export const CODE_SIZE = 0x2000
export const DATA = 0x20000000
export const WRITABLE_SIZE = 0x2000
export const DATA_SIZE = 0x3000

/** Selectors of the GDT, as Linux has them: flat, DPL 3. */
export const Flat = { CODE32: 0x23, DATA: 0x2b, CODE64: 0x33 } as const
/** Entries 0 to 6 of the GDT. Those of the kernel (DPL 0) are there only to be refused. */
export const gdt: readonly bigint[] = [
  0n, 0x00cf9b000000ffffn, 0x00af9b000000ffffn, 0x00cf93000000ffffn, 0x00cffb000000ffffn, 0x00cff3000000ffffn, 0x00affb000000ffffn,
]

function descriptor(base: number, limit: number, access: number, flags: number): bigint {
  const low = BigInt(limit & 0xffff) | BigInt(base & 0xffffff) << 16n
  return low | BigInt(access) << 40n | BigInt(limit >>> 16) << 48n | BigInt(flags) << 52n | BigInt(base >>> 24) << 56n
}

const BIG = 4
/** Selectors of the LDT. Limits are in bytes. */
export const Local = {
  DATA32: 0x07, DATA16: 0x0f, CODE16: 0x17, EXPAND_DOWN: 0x1f, READ_ONLY: 0x27, EXECUTE_ONLY: 0x2f, READABLE_CODE: 0x37, NOT_PRESENT: 0x3f,
} as const
/** The LDT's entries, in the order of Local: all DPL 3, accessed. */
export const ldt: readonly bigint[] = [
  descriptor(DATA, DATA_SIZE - 1, 0xf3, BIG),
  descriptor(DATA, WRITABLE_SIZE - 1, 0xf3, 0),
  descriptor(CODE, CODE_SIZE - 1, 0xfb, 0),
  descriptor(DATA, 0xfff, 0xf7, BIG),
  descriptor(DATA, WRITABLE_SIZE - 1, 0xf1, BIG),
  descriptor(CODE, CODE_SIZE - 1, 0xf9, BIG),
  descriptor(CODE, CODE_SIZE - 1, 0xfb, BIG),
  descriptor(DATA, DATA_SIZE - 1, 0x73, BIG),
]

/** The descriptor that a selector names, 0 for a null selector or one beyond its table. */
export function descriptorOf(selectorValue: number): bigint {
  return ((selectorValue & 4) === 0 ? gdt : ldt)[selectorValue >> 3] ?? 0n
}

/** The base in a descriptor. */
export function baseOf(value: bigint): bigint {
  return value >> 16n & 0xffffffn | value >> 56n << 24n
}

/** The base that an access of `mode` through a segment (ES 0 to GS 5) adds. */
export function segmentBase(state: State, mode: CodeSize, segment: number): bigint {
  if (mode !== 64) return baseOf(descriptorOf(selector(state, segment)))
  return segment < 4 ? 0n : state[segment === 4 ? Word.FS_BASE : Word.GS_BASE]
}

let background: Uint8Array | undefined
/** The bytes of the three data pages before a vector's patches: pseudo-random, one in four zero. */
export function backgroundData(): Uint8Array {
  if (background !== undefined) return background
  const random = new Random(0x7e40)
  background = Uint8Array.from({ length: DATA_SIZE }, () => random.below(4) === 0 ? 0 : random.below(256))
  return background
}

/** RIP before a vector that does not say otherwise, an offset in CS for 16-bit code. */
export const DEFAULT_OFFSET = 0x400

/**
 * The state that a vector's own words are laid over: registers pseudo-random from `seed`, segments as Linux gives them to a process
 * of the mode (16-bit code uses the LDT), control words at their defaults, the x87 stack empty.
 */
export function backgroundState(seed: number, mode: CodeSize): State {
  const state = new BigUint64Array(WORDS)
  fillRandom(state, new Random(seed), mode)
  state[4] = BigInt(mode === 16 ? 0x1800 : DATA + 0x1800)
  state[Word.RIP] = BigInt(mode === 16 ? DEFAULT_OFFSET : CODE + DEFAULT_OFFSET)
  state[Word.RFLAGS] = 0x202n
  setSegments(state, mode)
  state[Word.X87] = 0x37fn
  state[Word.MXCSR] = 0x1f80n
  return state
}

function fillRandom(state: State, random: Random, mode: CodeSize): void {
  if (mode === 64) for (let i = 0; i < 16; i++) state[i] = random.u64()
  else for (let i = 0; i < 8; i++) state[i] = BigInt(random.u32())
  for (let i = 0; i < 8; i++) {
    state[Word.STACK + 2 * i] = random.u64()
    state[Word.STACK + 2 * i + 1] = BigInt(random.below(0x10000))
  }
  for (let i = Word.XMM; i < WORDS; i++) state[i] = random.u64()
}

function setSegments(state: State, mode: CodeSize): void {
  const code = { 16: Local.CODE16, 32: Flat.CODE32, 64: Flat.CODE64 }[mode]
  const data = { 16: Local.DATA32, 32: Flat.DATA, 64: 0 }[mode]
  const stack = mode === 16 ? Local.DATA16 : Flat.DATA
  const all = [data, code, stack, data, mode === 64 ? 0 : Local.DATA32, mode === 64 ? 0 : Local.READ_ONLY]
  for (let segment = 0; segment < 6; segment++) setSelector(state, segment, all[segment])
}
