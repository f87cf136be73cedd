/**
 * Random programs for comparing engines: some dozens of instructions with forward branches of every kind and one loop, which end in
 * UD2 or in the first fault. Memory operands are mostly in the data pages of the vectors' address space.
 */
import { Decoder } from '../../src/cpu/decode/decoder.ts'
import { encodeSample } from '../../src/cpu/decode/encode-sample.ts'
import type { SampleShape } from '../../src/cpu/decode/encode-sample.ts'
import { formatInstruction } from '../../src/cpu/decode/format.ts'
import { Instruction } from '../../src/cpu/decode/instruction.ts'
import type { OperandSize } from '../../src/cpu/decode/instruction.ts'
import { rowOperands } from '../../src/cpu/isa/operands.ts'
import type { OperandSpec } from '../../src/cpu/isa/operands.ts'
import { avxFloatRows } from '../../src/cpu/isa/avx-float.ts'
import { avxIntegerRows } from '../../src/cpu/isa/avx-integer.ts'
import { bitManipulationRows } from '../../src/cpu/isa/bit-manipulation.ts'
import { oneByteRows } from '../../src/cpu/isa/one-byte.ts'
import { packedIntegerRows } from '../../src/cpu/isa/packed-integer.ts'
import type { Row } from '../../src/cpu/isa/row.ts'
import { features, rows } from '../../src/cpu/isa/rows.ts'
import { sseRows } from '../../src/cpu/isa/sse.ts'
import { threeByteRows } from '../../src/cpu/isa/three-byte.ts'
import { twoByteRows } from '../../src/cpu/isa/two-byte.ts'
import { x87Rows } from '../../src/cpu/isa/x87.ts'
import { backgroundState, CODE, DATA } from '../vectors/environment.ts'
import type { Random } from '../vectors/random.ts'
import { Word } from '../vectors/state.ts'
import type { State } from '../vectors/state.ts'

export type Mode = 32 | 64

export interface Program {
  readonly mode: Mode
  readonly code: Uint8Array
  /** Where it is in the code pages, and where it starts. */
  readonly offset: number
  readonly state: State
}

/** Registers that addresses are made from, and that no instruction names as an operand: bases, an index and a loop counter. */
interface Registers { readonly bases: readonly number[]; readonly index: number; readonly counter: number }
const REGISTERS: Record<Mode, Registers> = {
  64: { bases: [5, 6, 7, 12, 13, 14], index: 11, counter: 15 },
  32: { bases: [5, 6, 7], index: -1, counter: 3 },
}
const RSP = 4

/** System instructions, what leaves the program, and what is not decided by the state. */
const APART = /^(IN|OUT|INS|OUTS|INT|INT1|INT3|INTO|IRET|HLT|CLI|STI|POPF|CPUID|RDTSC|UD[012]|.*SREG|.*FAR|L[DEFGS]S|BOUND|ARPL|RDRAND|RDSEED|POPA)$/
const isPlain = (row: Row): boolean =>
  !APART.test(row.mnemonic) && rowOperands(row).every(({ method }) => !'JAOSCD'.includes(method)) && row.attributes.ends !== true &&
  !/^(RET|CALL|JMP)/.test(row.mnemonic) && row.attributes.gathers !== true

export const integerRows = [...oneByteRows, ...twoByteRows, ...bitManipulationRows].filter(isPlain)
export const vectorRows = [...packedIntegerRows, ...sseRows, ...threeByteRows].filter(isPlain)
const avxRows = [...avxFloatRows, ...avxIntegerRows].filter(isPlain)
const floatRows = x87Rows.filter(isPlain)
/** What comes before a conditional branch. */
const flagRows = integerRows.filter((row) => /^(CMP|TEST|SUB|ADD|AND|OR|XOR|INC|DEC|NEG|SHL|SHR|SAR|ADC|BT|IMUL2|CMPXCHG|ANDN|BLS[IR]|BZHI|ADCX|TZCNT)$/.test(row.mnemonic))

/** Few enough for comparisons to find equal ones. */
const CORNERS = [0n, 1n, 2n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0x8000n, 0x7fffffffn, 0x80000000n, 0xffffffffn, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]
const SIZES: readonly OperandSize[] = [8, 16, 32, 32, 32, 64, 64]
const SHAPES: readonly SampleShape[] = ['register', 'register', 'register', 'base', 'base', 'index', 'absolute', 'relative']

/** Bytes, or a branch to the item with a number. */
interface Branch {
  readonly short: boolean
  readonly opcode: readonly number[]
  readonly target: number
  /** Instructions before and after it that nothing jumps between. */
  readonly prefix?: readonly number[]
  readonly suffix?: readonly number[]
}
type Item = Uint8Array | Branch

const decoder = new Decoder(features())
const instruction = new Instruction()

export function randomProgram(random: Random, seed: number): Program {
  const mode = random.oneIn(4) ? 32 : 64
  const items = randomItems(random, mode, 8 + random.below(32))
  const length = items.reduce((sum, item) => sum + itemLength(item), 0) + 2
  const offset = random.oneIn(2) ? 0x1000 - random.below(length) : random.below(0xc00)
  return { mode, code: assemble(items, mode, offset), offset, state: randomState(random, seed, mode, offset) }
}

/** The program as text, an instruction a line. */
export function listing({ code, mode, offset }: Program): string {
  const lines: string[] = []
  for (let at = 0; at < code.length;) {
    const length = decoder.decode(code, at, code.length, mode, instruction)
    const bytes = Array.from(code.subarray(at, at + Math.max(length, 1)), (byte) => byte.toString(16).padStart(2, '0')).join(' ')
    lines.push(`${(CODE + offset + at).toString(16)}  ${bytes}  ${length > 0 ? formatInstruction(instruction, BigInt(CODE + offset + at)) : '?'}`)
    at += Math.max(length, 1)
  }
  return lines.join('\n')
}

function randomItems(random: Random, mode: Mode, count: number): Item[] {
  const items: Item[] = []
  const loopAt = random.below(count)
  const compares = random.oneIn(3)
  while (items.length < count) {
    if (items.length === loopAt) items.push(loopEnd(random, mode, items.length))
    else if (random.oneIn(compares ? 2 : 5)) items.push(...forwardBranch(random, mode, items.length, count))
    else if (random.oneIn(40)) items.push(repeatedMove(random, mode))
    else items.push(compares ? cornerToRegister(random, mode) : plainInstruction(random, mode, random.below(100)))
  }
  return items
}

/** MOV of a corner value to a register, so that comparisons find equal operands. */
function cornerToRegister(random: Random, mode: Mode): Uint8Array {
  const value = new Uint8Array(8)
  new DataView(value.buffer).setBigUint64(0, random.pick(CORNERS), true)
  const opcode = 0xb8 + random.below(3)
  return Uint8Array.from(mode === 64 ? [0x48, opcode, ...value] : [opcode, ...value.subarray(0, 4)])
}

/** MOV ECX, n; LEA RDI, [RSI + d]; REP MOVS: source and destination overlap, either way. */
function repeatedMove(random: Random, mode: Mode): Uint8Array {
  const size = random.pick([[0xa4], [0x66, 0xa5], [0xa5], mode === 64 ? [0x48, 0xa5] : [0xa5]])
  return Uint8Array.from([
    0xb9, random.below(0x80), 0, 0, 0, ...mode === 64 ? [0x48] : [], 0x8d, 0x7e, random.below(0x100), 0xf3, ...size,
  ])
}

/** DEC of the counter and JNZ back to an earlier item, as one item: nothing jumps between them. Forward branches never come back. */
function loopEnd(random: Random, mode: Mode, at: number): Item {
  return { short: false, prefix: mode === 64 ? [0x41, 0xff, 0xcf] : [0x4b], opcode: [0x0f, 0x85], target: random.below(at + 1) }
}

function forwardBranch(random: Random, mode: Mode, at: number, count: number): Item[] {
  const target = at + 2 + random.below(random.oneIn(4) ? Math.max(1, count - at) : 3)
  const branch = (...opcode: number[]): Branch => ({ short: false, opcode, target })
  const short = (opcode: number): Branch => ({ short: true, opcode: [opcode], target: Math.min(target, at + 5) })
  switch (random.below(8)) {
    case 0: return [branch(0xe9)]
    case 1: return [branch(0xe8)]
    case 2: return [short(0xe0 + random.below(4))]
    // LEA RCX, [RIP + ...] or MOV ECX, ..., then there, by a jump or by a return.
    case 3: return [{ ...branch(...mode === 64 ? [0x48, 0x8d, 0x0d] : [0xb9]), suffix: random.oneIn(2) ? [0xff, 0xe1] : [0x51, 0xc3] }]
    default: {
      const condition = random.below(16)
      return [plainInstruction(random, mode, -1), random.oneIn(2) ? short(0x70 + condition) : branch(0x0f, 0x80 + condition)]
    }
  }
}

/** `kind` 0 to 99 chooses a group of rows; -1 those that set flags. */
function plainInstruction(random: Random, mode: Mode, kind: number): Uint8Array {
  const from = kind < 0 ? flagRows : kind < 66 ? integerRows : kind < 80 ? vectorRows : kind < 94 ? avxRows : floatRows
  for (;;) {
    const row = random.pick(from)
    const prefixes = row.attributes.repeat !== undefined && random.oneIn(2) ? [0xf2 + random.below(2)] : []
    const code = encodeSample(row, {
      codeSize: mode, operandSize: random.pick(SIZES), shape: kind === -1 && random.oneIn(2) ? 'register' : random.pick(SHAPES), random: () => random.u32(), prefixes,
    })
    const usable = code === null ? undefined : fitted(random, mode, code)
    if (usable !== undefined) return usable
  }
}

/** The instruction with its displacement changed so that it hits the data, or undefined if it is not to be used. */
function fitted(random: Random, mode: Mode, code: Uint8Array): Uint8Array | undefined {
  if (decoder.decode(code, 0, code.length, mode, instruction) !== code.length) return undefined
  const row = rows[instruction.row]
  if (!isPlain(row) || !rowOperands(row).every((operand) => isFree(operand, mode))) return undefined
  if (!usesMemory(row) || instruction.mod === 3) return code
  const { bases, index } = REGISTERS[mode]
  const based = instruction.base >= 0 && instruction.base !== 16
  if (instruction.index >= 0 && instruction.index !== index) return undefined
  if (based && !bases.includes(instruction.base) && instruction.base !== RSP) return undefined
  if (instruction.displacement >= -128 && instruction.displacement < 128 && based) return code
  const alignment = rowOperands(row).some(({ method }) => method === 'W') ? ~15 : -1
  return withDisplacement(code, (based ? random.below(0x100) : DATA + random.below(0x1f00)) & alignment)
}

const usesMemory = (row: Row): boolean => rowOperands(row).some(({ method }) => 'EMWQ'.includes(method))

function withDisplacement(code: Uint8Array, displacement: number): Uint8Array | undefined {
  const old = instruction.displacement
  for (let at = 1; at + 4 <= code.length; at++) {
    const view = new DataView(code.buffer, code.byteOffset + at, 4)
    if (view.getInt32(0, true) !== old) continue
    view.setInt32(0, displacement, true)
    return code
  }
  return undefined
}

/** A register operand is none of those that addresses are made from. */
function isFree({ method, type }: OperandSpec, mode: Mode): boolean {
  const inRm = 'EZR'.includes(method) && (method !== 'E' || instruction.mod === 3)
  if (method !== 'G' && method !== 'B' && !inRm) return true
  const number = method === 'G' ? instruction.reg : method === 'B' ? instruction.vvvv : instruction.rm
  const { bases, index, counter } = REGISTERS[mode]
  if (number === RSP) return type === 'b' && !instruction.rex
  return !bases.includes(number) && number !== index && number !== counter
}

function itemLength(item: Item): number {
  if (item instanceof Uint8Array) return item.length
  const { prefix = [], opcode, short, suffix = [] } = item
  return prefix.length + opcode.length + (short ? 1 : 4) + suffix.length
}

/** Items to bytes; targets beyond the last item are the UD2 at the end. RIP-relative operands are made to point at the data. */
function assemble(items: readonly Item[], mode: Mode, offset: number): Uint8Array {
  const starts = [0]
  for (const item of items) starts.push(starts[starts.length - 1] + itemLength(item))
  const end = starts[items.length]
  const code = new Uint8Array(end + 2)
  code.set([0x0f, 0x0b], end)
  items.forEach((item, n) => {
    if (item instanceof Uint8Array) code.set(relocated(item, mode, offset + starts[n]), starts[n])
    else code.set(encodeBranch(item, starts[n], starts[Math.min(item.target, items.length)], offset), starts[n])
  })
  return code
}

function encodeBranch(branch: Branch, at: number, target: number, offset: number): number[] {
  const { prefix = [], opcode, short, suffix = [] } = branch
  const distance = target - at - itemLength(branch) + suffix.length
  if (short) return [...prefix, ...opcode, distance & 0xff]
  const value = opcode[0] === 0xb9 ? CODE + offset + target : distance
  return [...prefix, ...opcode, value & 0xff, value >> 8 & 0xff, value >> 16 & 0xff, value >> 24 & 0xff, ...suffix]
}

function relocated(code: Uint8Array, mode: Mode, at: number): Uint8Array {
  decoder.decode(code, 0, code.length, mode, instruction)
  if (instruction.base !== 16 || instruction.mod === 3) return code
  const copy = code.slice()
  return withDisplacement(copy, instruction.displacement - CODE - at - code.length) ?? copy
}

function randomState(random: Random, seed: number, mode: Mode, offset: number): State {
  const state = backgroundState(seed, mode)
  const { bases, index, counter } = REGISTERS[mode]
  const mask = mode === 64 ? 2n ** 64n - 1n : 2n ** 32n - 1n
  for (let n = 0; n < (mode === 64 ? 16 : 8); n++) if (!random.oneIn(4)) state[n] = random.pick(CORNERS) & mask
  const alignment = random.oneIn(4) ? -1 : ~15
  for (const base of [...bases, RSP]) {
    state[base] = BigInt(DATA + (random.oneIn(3) ? 0xfc0 + random.below(0x50) : 0x200 + random.below(0x1c00)) & alignment)
  }
  if (index >= 0) state[index] = BigInt(random.below(16))
  state[counter] = BigInt(1 + random.below(5))
  state[Word.RFLAGS] = BigInt(random.below(0x1000) & 0x8d5 | 0x202 | (random.oneIn(8) ? 0x400 : 0))
  state[Word.RIP] = BigInt(CODE + offset)
  return state
}
