/** Pieces of hot programs that are more than one instruction: each is one item, so that nothing jumps into it and it shrinks as one. */
import { DATA } from '../../vectors/environment.ts'
import type { Random } from '../../vectors/random.ts'
import type { Item, Reference } from './assemble.ts'
import { comparison, plain, producer, PRODUCERS } from './instructions.ts'
import { COUNTERS, FREE, INDEX, STACK, WALKING } from './registers.ts'

export const dword = (value: number): number[] => [value & 0xff, value >> 8 & 0xff, value >> 16 & 0xff, value >> 24 & 0xff]
const rex = (w: number, reg: number, rm: number): number => 0x40 | w << 3 | reg >> 3 << 2 | rm >> 3
const modRm = (mod: number, reg: number, rm: number): number => mod << 6 | (reg & 7) << 3 | rm & 7
/** MOV r32, imm32. */
const moveImmediate = (register: number, value: number): number[] => [rex(0, 0, register), 0xb8 | register & 7, ...dword(value)]
/** CMP r64, r64: after it every flag is defined. */
const compare = (random: Random): number[] => [0x48, 0x39, modRm(3, random.pick(FREE), random.pick(FREE))]

function join(...parts: readonly (Item | readonly number[])[]): Item {
  const bytes: number[] = []
  const references: Reference[] = []
  for (const part of parts) {
    const item = 'bytes' in part ? part : { bytes: part }
    for (const reference of item.references ?? []) {
      references.push({ ...reference, at: reference.at + bytes.length, ...reference.end === undefined ? {} : { end: reference.end + bytes.length } })
    }
    bytes.push(...item.bytes)
  }
  return { bytes, references }
}

/** An instruction that leaves some flags undefined, consumers of the others, and a comparison that defines them all. */
export function windowOfFlags(random: Random): Item {
  const { rows, conditions, definesCarry } = random.pick(PRODUCERS)
  const first = producer(random, rows)
  const count = random.oneIn(3) ? moveImmediate(1, random.below(70)) : []
  const division = rows[0].mnemonic.endsWith('DIV') && !random.oneIn(6) ? divisionPrologue(random) : []
  const consumers = conditions.length === 0 ? [] : Array.from({ length: random.below(4) }, () => consumer(random, random.pick(conditions)))
  const carry = definesCarry && random.oneIn(3) ? [0x48, random.oneIn(2) ? 0x11 : 0x19, modRm(3, random.pick(FREE), random.pick(FREE))] : compare(random)
  return join(count, division, first, consumers.flat(), carry)
}

/** XOR EDX, EDX; OR RCX, 1 or so: most divisions should succeed. */
const divisionPrologue = (random: Random): number[] => random.oneIn(2) ? [0x31, 0xd2] : [0x48, 0x99, 0x48, 0x83, 0xc9, 0x01]

/** SETcc r8, CMOVcc, or Jcc over a MOV: reads a condition and writes no flags. */
function consumer(random: Random, condition: number): number[] {
  switch (random.below(4)) {
    case 0: return [0x0f, 0x90 | condition, modRm(3, 0, random.below(8) & ~4 | (random.oneIn(3) ? 4 : 0))]
    case 1: return [0x40, 0x0f, 0x90 | condition, modRm(3, 0, random.pick(FREE))]
    case 2: return [rex(random.below(2), 0, 0), 0x0f, 0x40 | condition, modRm(3, random.pick(FREE), random.pick(FREE))]
    default: return [0x70 | condition, 3, 0x48, 0x89, modRm(3, random.pick(FREE), random.pick(FREE))]
  }
}

/** Flags to AH or to a register, with all of them defined, or from AH. */
export function flagsTransfer(random: Random): Item {
  const definer = [...arithmetic(random), ...Array.from({ length: random.below(3) }, () => partial(random)).flat()]
  switch (random.below(4)) {
    case 0: return { bytes: [...definer, 0x9f] }
    case 1: return { bytes: [...definer, 0x9c, 0x58 | random.pick(FREE)] }
    case 2: return join(comparison(random), [0xb4, random.below(256), 0x9e], partial(random), consumer(random, random.below(16)), [0x9f])
    default: return { bytes: [...definer, ...consumer(random, random.below(16)), ...consumer(random, random.below(16))] }
  }
}

/** ADD, ADC, SBB, SUB, CMP or NEG: defines all flags. */
function arithmetic(random: Random): number[] {
  const size = random.pick([[], [], [0x48], [0x66]])
  if (random.oneIn(6)) return [...size, 0xf7, modRm(3, 3, random.pick(FREE))]
  return [...size, random.pick([0x01, 0x11, 0x19, 0x29, 0x39]), modRm(3, random.pick(FREE), random.pick(FREE))]
}

/** Defines some flags and leaves the others as they were: STC, CLC, CMC, a rotation by one, INC, DEC; or none of them: NOT, MOV. */
function partial(random: Random): number[] {
  const size = random.pick([[], [], [0x48], [0x66]])
  switch (random.below(6)) {
    case 0: return [random.pick([0xf9, 0xf8, 0xf5])]
    case 1: return [...size, 0xd1, modRm(3, random.below(4), random.pick(FREE))]
    case 2: return [0xd0, modRm(3, random.below(4), random.below(8) & 3)]
    case 3: return [...size, 0xff, modRm(3, random.below(2), random.pick(FREE))]
    case 4: return [0xfe, modRm(3, random.below(2), random.below(4))]
    default: return random.oneIn(2) ? [...size, 0xf7, modRm(3, 2, random.pick(FREE))] : [0x48, 0x89, modRm(3, random.pick(FREE), random.pick(FREE))]
  }
}

/** An address of 32 bits, whose sum wraps around and whose base has a high half. */
export function narrowAddress(random: Random): Item {
  const base = random.pick(FREE)
  const displacement = random.u32()
  const set = [0x48, 0xb8 | base, ...dword(DATA + random.below(0x1f00) - displacement), ...dword(random.u32())]
  const opcode = random.pick([[0x8b], [0x89], [0x03], [0x8d], [0x0f, 0xb6]])
  return { bytes: [...set, 0x67, 0x48, ...opcode, modRm(2, random.pick(FREE), base), ...dword(displacement)] }
}

/** PUSHFQ; XOR of flags in [RSP]; POPFQ. */
const toggle = (flags: number): number[] => [0x9c, 0x48, 0x81, 0x34, 0x24, ...dword(flags), 0x9d]
const AC = 0x40000

/** Alignment is checked for a few instructions. The comparisons before it define AF, which PUSHFQ shows to nobody else. */
export function alignmentChecked(random: Random): Item {
  return join(compare(random), toggle(AC), plain(random), plain(random), compare(random), toggle(AC))
}

/** The index and the walking register move on. */
export function moveOn(random: Random): Item {
  if (random.oneIn(2)) return { bytes: [0x45, 0x8d, 0x49, random.below(32), 0x41, 0x83, 0xe1, 0x1f] }
  const step = random.pick([1, 4, 8, 16, 32, 64, 128]) * (random.oneIn(4) ? -1 : 1)
  return { bytes: [0x4d, 0x8d, modRm(2, WALKING, WALKING & 7), ...dword(step)] }
}

/** An access through the walking register: sooner or later it leaves the data. */
export function walkingAccess(random: Random): Item {
  const reg = random.pick(FREE)
  const mod = modRm(1, reg, WALKING)
  const opcode = random.pick([[0x8b], [0x89], [0x03], [0x01], [0x8a], [0x88], [0x33], [0x31], [0x0f, 0xaf], [0x0f, 0xb6], [0x87]])
  // IMUL leaves flags undefined.
  return { bytes: [rex(random.below(2), reg, WALKING), ...opcode, mod, random.below(0x80), ...opcode[1] === 0xaf ? compare(random) : []] }
}

/** Something that surely faults, if the low bits of the outer counter are zero: it stays rare. */
export function rareFault(random: Random): Item {
  const fault = random.pick([
    [0x0f, 0x0b], // UD2
    [0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x8b, 0x08], // MOV ECX, [RAX], not canonical
    [0x89, 0x04, 0x25, ...dword(DATA + 0x2ffd)], // across the end of a page that can be read only
    [0x8b, 0x04, 0x25, ...dword(DATA + 0x2ffd)],
    [0x48, 0x31, 0xc9, 0xf7, 0xf1], // DIV ECX, of zero
    [0x48, 0x81, 0x04, 0x25, ...dword(DATA + 0x1ffc), ...dword(random.u32())], // writes across into the read-only page
    [0x0f, 0x28, 0x0c, 0x25, ...dword(DATA + 0x108)], // MOVAPS, not aligned
    [0xf4], // HLT
    [0x6a, 0x00, 0x8f, 0x04, 0x25, ...dword(DATA + 0x2100), 0x59], // POP to a read-only page; then POP RCX
  ])
  return { bytes: [...rarely(random, fault.length), ...fault] }
}

/** TEST R15D, mask; JNZ over the bytes that follow; CMP before them. */
function rarely(random: Random, length: number): number[] {
  return [0x41, 0xf7, 0xc7, ...dword(random.pick([7, 15, 31])), 0x75, length]
}

/** REP MOVS, STOS, LODS, CMPS or SCAS. Those that move may run out of the data. */
export function stringInstruction(random: Random): Item {
  const kind = random.pick([0xa4, 0xa5, 0xaa, 0xab, 0xa4, 0xa5, 0xac, 0xad, 0xa6, 0xa7, 0xae, 0xaf])
  const compares = [0xa6, 0xa7, 0xae, 0xaf].includes(kind)
  const count = random.oneIn(5) ? 0 : random.below(random.oneIn(4) ? 200 : 20)
  const wild = !compares && random.oneIn(12)
  const address = (): number => DATA + (wild ? 0x1e00 + random.below(0x200) : 0x680 + random.below(0x1100 - 0x680))
  const backwards = !compares && random.oneIn(6)
  const size = (kind & 1) === 0 ? [] : random.pick([[], [0x66], [0x48]])
  const prefix = random.oneIn(4) ? [] : [compares && random.oneIn(2) ? 0xf2 : 0xf3]
  const instruction = size[0] === 0x66 ? [0x66, ...prefix, kind] : [...prefix, ...size, kind]
  const setUp = [...moveImmediate(6, address()), ...moveImmediate(7, address()), ...moveImmediate(1, count)]
  return { bytes: [...setUp, ...backwards ? [0xfd] : [], ...instruction, ...backwards ? [0xfc] : []] }
}

/** PUSH and POP, of registers, immediates and memory; ENTER and LEAVE. What it pushes it takes away. */
export function stackWork(random: Random): Item {
  const a = random.pick(FREE), b = random.pick(FREE)
  switch (random.below(6)) {
    case 0: return { bytes: [0x50 | a, 0x50 | b, 0x58 | a, 0x58 | b] }
    case 1: return { bytes: [0x68, ...dword(random.u32()), 0x58 | a] }
    case 2: return { bytes: [0x66, 0x50 | a, 0x66, 0x50 | b, 0x66, 0x6a, random.below(256), 0x66, 0x58 | b, 0x66, 0x58 | a, 0x66, 0x58 | b] }
    case 3: return { bytes: [0xc8, random.below(0x40), 0, random.below(4), 0x48, 0x89, modRm(1, a, 5), 0xf8, 0xc9] }
    case 4: return { bytes: [0x55, 0x48, 0x89, 0xe5, 0x50 | a, 0x48, 0x8b, modRm(1, b, 5), 0xf8, 0xc9] }
    default: return { bytes: [0x50 | a, 0x48, 0x01, modRm(0, b, 4), 0x24, 0x48, 0xff, 0x04, 0x24, 0x58 | b] }
  }
}

/** LOOP, LOOPE or LOOPNE around an addition, or JRCXZ over a MOV: what branches on RCX. */
export function countedByRcx(random: Random): Item {
  const a = random.pick([0, 2, 3, 6, 7])
  const add = [0x48, 0x01, modRm(3, 1, a)]
  if (random.oneIn(3)) return { bytes: [0x83, 0xe1, random.below(4), 0xe3, 3, ...add] }
  return { bytes: [...moveImmediate(1, 1 + random.below(12)), ...add, 0xe0 + random.below(3), 0xfb] }
}

/** MXCSR with another rounding mode, denormals as zeros or flushed to zero, and now and then all exceptions enabled. */
export function floatingControl(random: Random): Item {
  const masks = random.oneIn(8) ? 0 : 0x1f80
  const value = masks | random.below(4) << 13 | (random.oneIn(3) ? 0x8000 : 0) | (random.oneIn(3) ? 0x40 : 0)
  return { bytes: [0xc7, 0x44, 0x24, 0xf0, ...dword(value), 0x0f, 0xae, 0x54, 0x24, 0xf0] }
}

/** Jcc to a label, on what a comparison finds. */
export function conditionalBranch(random: Random, label: number): Item[] {
  const condition = random.below(16)
  const to: Item = { bytes: [0x0f, 0x80 | condition, 0, 0, 0, 0], short: [0x70 | condition], references: [{ at: 2, kind: 'relative', to: { label } }] }
  return random.oneIn(5) ? [to] : [comparison(random), to]
}

export function jump(label: number): Item {
  return { bytes: [0xe9, 0, 0, 0, 0], short: [0xeb], references: [{ at: 1, kind: 'relative', to: { label } }] }
}

export function call(random: Random, label: number): Item {
  if (random.oneIn(4)) return { bytes: [0xb9, 0, 0, 0, 0, 0xff, 0xd1], references: [{ at: 1, kind: 'absolute', to: { label } }] }
  return { bytes: [0xe8, 0, 0, 0, 0], references: [{ at: 1, kind: 'relative', to: { label } }] }
}

/** PUSH of an argument, and the call of a function that takes it away with RET 8. */
export function callWithArgument(random: Random, label: number): Item {
  return { bytes: [0x50 | random.pick(FREE), 0xe8, 0, 0, 0, 0], references: [{ at: 2, kind: 'relative', to: { label } }] }
}

/** Jcc over RET. */
export const conditionalReturn = (random: Random): Item => ({ bytes: [0x70 | random.below(16), 1, 0xc3] })

/** A jump or call (ModRM.reg 4 or 2) through a table of four, by bits of the index or of a counter. */
export function throughTable(random: Random, reg: 2 | 4, label: number): Item {
  const source = random.pick([INDEX, COUNTERS[0], 0])
  const select = [rex(0, source, 0), 0x89, modRm(3, source, 1), 0x83, 0xe1, 3]
  if (random.oneIn(2)) {
    return { bytes: [...select, 0xff, modRm(0, reg, 4), 0xcd, 0, 0, 0, 0], references: [{ at: select.length + 3, kind: 'absolute', to: { label } }] }
  }
  const load = [0x48, 0x8b, modRm(0, 2, 4), 0xcd, 0, 0, 0, 0]
  return { bytes: [...select, ...load, 0xff, modRm(3, reg, 2)], references: [{ at: select.length + 4, kind: 'absolute', to: { label } }] }
}

export function table(label: number, targets: readonly number[]): Item {
  const references = targets.map((target, n): Reference => ({ at: n * 8, kind: 'absolute64', to: { label: target } }))
  return { bytes: Array(targets.length * 8).fill(0), isData: true, references, label }
}

/**
 * ADD EAX, imm32 or another operation of that shape, to be overwritten; behind it Jcc over a MOV, whose condition is to be overwritten
 * too.
 */
export function overwritable(random: Random, label: number): Item {
  const operation = [random.pick(OPERATIONS), ...dword(random.u32())]
  return { bytes: [...operation, 0x70 | random.below(16), 3, 0x48, 0x89, modRm(3, random.pick(FREE), random.pick(FREE))], label }
}
const CONDITION = 5
const OPERAND = 9
const OPERATIONS = [0x05, 0x0d, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d]

/** Now and then overwrites the opcode, the immediate, a byte of it, or all of an `overwritable`. */
export function overwrite(random: Random, label: number): Item {
  const to = (at: number, add: number): Reference => ({ at, kind: 'absolute', to: { label }, add })
  const make = (store: number[], add: number): Item => {
    const guard = rarely(random, store.length)
    return { bytes: [...guard, ...store], references: [to(guard.length + store.indexOf(0x25) + 1, add)] }
  }
  const byte = (value: number): number[] => [0xc6, 0x04, 0x25, 0, 0, 0, 0, value]
  switch (random.below(6)) {
    case 0: return make(byte(random.pick(OPERATIONS)), 0)
    case 4: return make(byte(random.oneIn(4) ? 0xeb : 0x70 | random.below(16)), CONDITION)
    case 5: return make(byte(modRm(3, random.pick(FREE), random.pick(FREE))), OPERAND)
    case 1: return make([0x44, 0x89, modRm(0, COUNTERS[0], 4), 0x25, 0, 0, 0, 0], 1)
    case 2: return make([0x88, modRm(0, random.below(8), 4), 0x25, 0, 0, 0, 0], 1 + random.below(4))
    default: return make([0xf0, 0x81, modRm(0, 6, 4), 0x25, 0, 0, 0, 0, ...dword(random.u32())], 1)
  }
}

/** A counter in a page of code. */
export function dataInCode(random: Random, label: number): Item {
  const store = [0x48, 0xff, modRm(0, random.below(2), 4), 0x25, 0, 0, 0, 0]
  const guard = random.oneIn(4) ? [] : rarely(random, store.length)
  return { bytes: [...guard, ...store], references: [{ at: guard.length + 4, kind: 'absolute', to: { label } }] }
}

/** MOV of a loop's counter. */
export const setCounter = (depth: number, count: number): Item => ({ bytes: moveImmediate(COUNTERS[depth], count) })

/** DEC or SUB of the counter, and the branch back. */
export function countDown(random: Random, depth: number, label: number): Item {
  const register = COUNTERS[depth]
  const step = random.oneIn(2) ? [rex(0, 0, register), 0xff, modRm(3, 1, register)] : [rex(1, 0, register), 0x83, modRm(3, 5, register), 1]
  const condition = step.length === 3 ? 5 : random.pick([5, 7, 15])
  return {
    bytes: [...step, 0x0f, 0x80 | condition, 0, 0, 0, 0], short: [...step, 0x70 | condition],
    references: [{ at: step.length + 2, kind: 'relative', to: { label } }],
  }
}

/** PUSH of a count; later DEC of it in memory, the branch back, and LEA that takes it away. */
export const pushCounter = (count: number): Item => ({ bytes: [0x6a, count] })
export function countDownPushed(label: number): Item[] {
  return [
    { bytes: [0x48, 0xff, 0x0c, 0x24, 0x0f, 0x85, 0, 0, 0, 0], short: [0x48, 0xff, 0x0c, 0x24, 0x75], references: [{ at: 6, kind: 'relative', to: { label } }] },
    { bytes: [0x48, 0x8d, 0x64, 0x24, 0x08] },
  ]
}

/** MOV RSP: whatever was pushed and not popped is forgotten. */
export const resetStack = (): Item => ({ bytes: [0x48, 0xc7, 0xc4, ...dword(STACK + 0x1800)] })
export const RET: Item = { bytes: [0xc3] }
export const RET_8: Item = { bytes: [0xc2, 8, 0] }
export const UD2: Item = { bytes: [0x0f, 0x0b, 0x90], isData: true }

/** Brings the walking register back and goes on behind the instruction that faulted. */
export function handler(random: Random, label: number): Item {
  return { bytes: [...moveImmediate(WALKING, DATA + random.below(0x1d00)), 0xfc, 0x41, 0xff, 0xe3], label }
}
