/**
 * Random single instructions for hot programs, by what they do to the flags. Memory operands are made from the registers of
 * registers.ts, and registers that the program's structure needs are never written.
 */
import { Decoder } from '../../../src/cpu/decode/decoder.ts'
import { encodeSample } from '../../../src/cpu/decode/encode-sample.ts'
import type { SampleShape } from '../../../src/cpu/decode/encode-sample.ts'
import { Instruction } from '../../../src/cpu/decode/instruction.ts'
import type { OperandSize } from '../../../src/cpu/decode/instruction.ts'
import { rowOperands } from '../../../src/cpu/isa/operands.ts'
import type { OperandSpec } from '../../../src/cpu/isa/operands.ts'
import type { Row } from '../../../src/cpu/isa/row.ts'
import { features, rows } from '../../../src/cpu/isa/rows.ts'
import { DATA } from '../../vectors/environment.ts'
import type { Random } from '../../vectors/random.ts'
import { integerRows, vectorRows } from '../program.ts'
import type { Item } from './assemble.ts'
import { BASES, FREE, INDEX, RSP, WALKING } from './registers.ts'

/** Without 0F 0D of a register, which is a NOP on Intel's processors and #UD on AMD's. */
const named = (names: string): Row[] => integerRows.filter(({ mnemonic, opcode }) => names.split(' ').includes(mnemonic) && !opcode.startsWith('0F 0D'))

/** Leave all flags alone, or define all of them; of logic only AF stays undefined, which nothing reads before it is defined again. */
const plainRows = named(
  'ADD ADC SUB SBB CMP INC DEC NEG NOT AND OR XOR TEST MOV MOVZX MOVSX MOVSXD XCHG XADD CMPXCHG CMPXCHG8B CMPXCHG16B LEA BSWAP CBW CWD ' +
  'SETcc CMOVcc POPCNT CLC STC CMC MOVBE CRC32 CLD NOP XLAT',
)
const comparing = named('ADD ADC SUB SBB CMP INC DEC NEG AND OR XOR TEST CMPXCHG XADD')
const usableVectors = vectorRows.filter((row) =>
  !/^(RCP|RSQRT|MASKMOV|LDMXCSR|FX|X(SAVE|RSTOR)|EMMS|RDRAND|RDSEED|CRC32|MOVBE|CLFLUSH)/.test(row.mnemonic) &&
  rowOperands(row).every(({ method }) => !'PNQ'.includes(method)))

/** Instructions that leave flags undefined, and the conditions that do not depend on these. */
export interface Producer { readonly rows: readonly Row[]; readonly conditions: readonly number[]; readonly definesCarry: boolean }
const shifts = named('SHL SHR SAR'), rotates = named('ROL ROR RCL RCR')
const byOne = ({ operands }: Row): boolean => operands.at(-1) === '1'
const ALL = Array.from({ length: 16 }, (_, n) => n)
export const PRODUCERS: readonly Producer[] = [
  { rows: [...shifts, ...rotates].filter(byOne), conditions: ALL, definesCarry: true },
  { rows: shifts.filter((row) => !byOne(row)), conditions: [4, 5, 8, 9, 10, 11], definesCarry: false },
  { rows: rotates.filter((row) => !byOne(row)), conditions: [2, 3, 4, 5, 6, 7, 8, 9, 10, 11], definesCarry: true },
  { rows: named('SHLD SHRD'), conditions: [4, 5, 8, 9, 10, 11], definesCarry: false },
  { rows: named('MUL IMUL1 IMUL2 IMUL3'), conditions: [0, 1, 2, 3], definesCarry: true },
  { rows: named('BT BTS BTR BTC'), conditions: [2, 3, 4, 5, 6, 7], definesCarry: true },
  { rows: named('BSF BSR'), conditions: [4, 5], definesCarry: false },
  { rows: named('LZCNT TZCNT'), conditions: [2, 3, 4, 5, 6, 7], definesCarry: true },
  { rows: named('DIV IDIV'), conditions: [], definesCarry: false },
].filter((producer) => producer.rows.length > 0)

const SIZES: readonly OperandSize[] = [8, 16, 32, 32, 32, 64, 64]
const SHAPES: readonly SampleShape[] = ['register', 'register', 'register', 'base', 'base', 'index', 'absolute', 'relative']

const decoder = new Decoder(features())
const instruction = new Instruction()

export const plain = (random: Random): Item => randomOf(random, plainRows)
export const vector = (random: Random): Item => randomOf(random, usableVectors)
/** Defines the flags that conditions read. */
export const comparison = (random: Random): Item => randomOf(random, comparing)
export const producer = (random: Random, from: readonly Row[]): Item => randomOf(random, from)

function randomOf(random: Random, from: readonly Row[]): Item {
  for (;;) {
    const row = random.pick(from)
    const item = draft(random, row)
    if (item !== undefined) return item
  }
}

function draft(random: Random, row: Row): Item | undefined {
  const shape = random.pick(SHAPES)
  const prefixes = row.attributes.lock === true && shape !== 'register' && random.oneIn(6) ? [0xf0] : []
  const code = encodeSample(row, { codeSize: 64, operandSize: random.pick(SIZES), shape, addressSize: random.oneIn(15) ? 32 : 64, random: () => random.u32(), prefixes })
  return code === null ? undefined : fitted(random, code)
}

/** The instruction with its memory operand moved to the data, or undefined if it uses registers that it must not. */
function fitted(random: Random, code: Uint8Array): Item | undefined {
  if (decoder.decode(code, 0, code.length, 64, instruction) !== code.length) return undefined
  const row = rows[instruction.row]
  if (!rowOperands(row).every(isFree) || isUndefined(row)) return undefined
  if (!rowOperands(row).some(({ method }) => 'EMWO'.includes(method)) || instruction.mod === 3) return { bytes: [...code] }
  if (row.mnemonic === 'LEA') return instruction.base === 16 ? undefined : { bytes: [...code] }
  if (instruction.segment > 3) return undefined
  return withMemory(random, code, row)
}

/** What is not the same on every processor: SHLD by more than 16 of 16 bits, BSWAP of 16 bits. */
const isUndefined = ({ mnemonic }: Row): boolean => /^(SH[LR]D|BSWAP)$/.test(mnemonic) && instruction.operandSize === 16

function withMemory(random: Random, code: Uint8Array, row: Row): Item | undefined {
  const { base, index, displacement } = instruction
  if (index >= 0 && index !== INDEX) return undefined
  if (base >= 0 && base !== 16 && base !== WALKING && base !== RSP && !BASES.includes(base)) return undefined
  const alignment = isAligned(row) && !random.oneIn(20) ? ~15 : -1
  if (base === RSP) return index < 0 && !row.mnemonic.startsWith('BT') ? belowStack(random, code) : undefined
  if (base >= 0 && base !== 16) {
    if (displacement >= -128 && displacement < 128) return (displacement & ~alignment) === 0 ? { bytes: [...code] } : undefined
    return replaced(code, random.below(0x200) & alignment)
  }
  const address = DATA + (random.below(random.oneIn(20) ? 0x3100 : 0x1ff0) & alignment)
  if (base !== 16) return replaced(code, address)
  const at = fieldOf(code)
  return at < 0 ? undefined : { bytes: [...code], references: [{ at, kind: 'relative', to: { address }, end: code.length }] }
}

/** What is above RSP are counters and return addresses. */
function belowStack(random: Random, code: Uint8Array): Item | undefined {
  const { displacement } = instruction
  if (displacement >= -128 && displacement < 128) return displacement < -15 && (displacement & 15) === 0 ? { bytes: [...code] } : undefined
  return replaced(code, -16 * (1 + random.below(16)))
}

const isAligned = (row: Row): boolean => row.mnemonic === 'CMPXCHG16B' || rowOperands(row).some(({ method }) => method === 'W')

/** Where the displacement of four bytes is. */
function fieldOf(code: Uint8Array): number {
  const view = new DataView(code.buffer, code.byteOffset, code.length)
  for (let at = 1; at + 4 <= code.length; at++) if (view.getInt32(at, true) === instruction.displacement) return at
  return -1
}

function replaced(code: Uint8Array, displacement: number): Item | undefined {
  const at = fieldOf(code)
  if (at < 0 || Math.abs(instruction.displacement) < 0x1000) return undefined
  new DataView(code.buffer, code.byteOffset).setInt32(at, displacement, true)
  return { bytes: [...code] }
}

/** A general register operand is a free one. */
function isFree({ method, type, register }: OperandSpec): boolean {
  if (method === 'register') return register === undefined || FREE.includes(register) || type !== 'v'
  const isRm = method === 'Z' || method === 'R' || (method === 'E' && instruction.mod === 3)
  if (method !== 'G' && !isRm) return true
  const number = method === 'G' ? instruction.reg : instruction.rm
  const isHigh = type === 'b' && !instruction.rex && number >= 4 && number < 8
  return isHigh || FREE.includes(number)
}
