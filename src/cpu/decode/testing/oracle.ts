/**
 * iced-x86 as the decoder's oracle: both decoders' results are put into the same words and compared as text. What differs on
 * purpose is in differences.ts.
 */
import iced from 'iced-x86'
import type { OperandSpec } from '../../isa/operands.ts'
import { operandBits, rowOperands } from '../../isa/operands.ts'
import { rows } from '../../isa/rows.ts'
import type { Decoder } from '../decoder.ts'
import { formatMnemonic } from '../format.ts'
import type { CodeSize } from '../instruction.ts'
import { Instruction, immediateRegister } from '../instruction.ts'
import { ICED_OPTIONS, icedMnemonic, icedRepne, isExtendedPause, isIcedsAlone, sameOperands } from './differences.ts'

const { OpKind, Register } = iced
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs']
const operandsOfRow = rows.map(rowOperands)

/** An instruction in both decoders' words. `invalid` stands for what is no instruction. */
export interface Description {
  readonly mnemonic: string
  readonly length: number
  readonly prefixes: string
  readonly operands: readonly string[]
}

/** Compares the two decoders in one mode. */
export class Oracle {
  private readonly ours = new Instruction()
  private readonly theirs = new iced.Instruction()
  private readonly decoder: Decoder
  private readonly codeSize: CodeSize
  /** How many instructions (not invalid byte strings) both decoded alike. */
  agreedOn = 0

  constructor(decoder: Decoder, codeSize: CodeSize) {
    this.decoder = decoder
    this.codeSize = codeSize
  }

  /** Every difference between the decoders at `offsets`, as text. */
  compare(bytes: Uint8Array, offsets: Iterable<number>): string[] {
    const icedDecoder = new iced.Decoder(this.codeSize, bytes, ICED_OPTIONS)
    const differences: string[] = []
    for (const offset of offsets) {
      icedDecoder.position = offset
      icedDecoder.ip = 0n
      icedDecoder.decodeOut(this.theirs)
      const difference = this.difference(bytes, offset)
      if (difference !== undefined) differences.push(difference)
    }
    icedDecoder.free()
    return differences
  }

  free(): void {
    this.theirs.free()
  }

  private difference(bytes: Uint8Array, offset: number): string | undefined {
    const length = this.decoder.decode(bytes, offset, bytes.length, this.codeSize, this.ours)
    const { theirs } = this
    const theirsInvalid = theirs.isInvalid || isIcedsAlone(theirs)
    if ((length <= 0 && theirsInvalid) || isExtendedPause(bytes, offset, theirs)) return undefined
    const expected = theirsInvalid ? 'invalid' : describeIced(theirs)
    const actual = length <= 0 ? 'invalid' : describe(this.ours)
    if (typeof expected !== 'string' && typeof actual !== 'string' && agree(actual, expected)) {
      this.agreedOn++
      return undefined
    }
    const hex = [...bytes.subarray(offset, offset + 15)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    return `${this.codeSize}-bit ${hex}\n  ours ${JSON.stringify(actual)}\n  iced ${JSON.stringify(expected)} ${theirs.code}`
  }
}

function agree(actual: Description, expected: Description): boolean {
  return actual.mnemonic === expected.mnemonic && actual.length === expected.length && actual.prefixes === expected.prefixes
    && sameOperands(actual, expected)
}

/** Our instruction in words. */
export function describe(instruction: Instruction): Description {
  const repeat = ['', 'rep', 'repne'][instruction.repeat]
  return {
    mnemonic: formatMnemonic(instruction),
    length: instruction.length,
    prefixes: `${instruction.lock ? 'lock' : ''}${repeat}`,
    operands: operandsOfRow[instruction.row].map((spec, n) => describeOperand(spec, n, instruction)),
  }
}

function describeOperand(spec: OperandSpec, position: number, instruction: Instruction): string {
  const bits = operandBits(spec, instruction)
  const { reg, rm, rex } = instruction
  const memory = () => describeMemory(instruction, bits)
  const isRegister = instruction.mod === 3
  switch (spec.method) {
    case 'register': return general(spec.register!, bits, true)
    case 'G': return general(reg, bits, rex)
    case 'B': return general(instruction.vvvv, bits, true)
    case 'Z': case 'R': return general(rm, bits, rex)
    case 'E': return isRegister ? general(rm, bits, rex) : memory()
    case 'M': case 'O': return memory()
    case 'X': return `m${bits} ${SEGMENTS[instruction.segment]} si${instruction.addressSize}`
    case 'Y': return `m${bits} es di${instruction.addressSize}`
    case 'V': return vector(reg, bits)
    case 'U': return vector(rm, bits)
    case 'L': return vector(immediateRegister(instruction), bits)
    case 'H': return vector(instruction.vvvv, bits)
    case 'W': return isRegister ? vector(rm, bits) : memory()
    case 'P': return `mm${reg}`
    case 'N': return `mm${rm}`
    case 'Q': return isRegister ? `mm${rm}` : memory()
    case 'S': return SEGMENTS[spec.register ?? reg]
    case 'C': return `cr${reg}`
    case 'D': return `dr${reg}`
    case 'ST': return `st${spec.register ?? rm}`
    case 'constant': return `i${spec.constant}`
    case 'J': return `j${BigInt.asUintN(instruction.operandSize, halves(instruction) + BigInt(instruction.length))}`
    case 'A': return `far ${instruction.immediate2}:${instruction.immediate >>> 0}`
    case 'I': return position === 1 && spec.type === 'b' && rows[instruction.row].mnemonic === 'ENTER'
      ? `i${instruction.immediate2}`
      : `i${BigInt.asUintN(spec.signExtended ? instruction.operandSize : 64, halves(instruction))}`
  }
}

function halves(instruction: Instruction): bigint {
  return BigInt(instruction.immediateHigh) << 32n | BigInt(instruction.immediate >>> 0)
}

const vector = (register: number, bits: number): string => `${bits === 256 ? 'y' : 'x'}mm${register}`

function general(register: number, bits: number, rex: boolean): string {
  return bits === 8 && !rex && register >= 4 && register < 8 ? `r8 ${register - 4} high` : `r${bits} ${register}`
}

function describeMemory(instruction: Instruction, bits: number): string {
  const { base, index, scale, segment, addressSize: size } = instruction
  const displacement = BigInt(instruction.displacementHigh) << 32n | BigInt(instruction.displacement >>> 0)
  // iced gives an instruction-relative operand's target instead of its displacement.
  const offset = base === 16 ? displacement + BigInt(instruction.length) : displacement
  const where = `${base === 16 ? 'ip' : base}+${index}*${index < 0 ? 1 : 1 << scale}`
  return `m${bits} ${SEGMENTS[segment]} ${where}+${BigInt.asUintN(size, offset)}`
}

/** iced's instruction in the same words. */
export function describeIced(instruction: iced.Instruction): Description {
  const operands: string[] = []
  for (let n = 0; n < instruction.opCount; n++) operands.push(describeIcedOperand(instruction, n))
  const repeat = instruction.hasRepPrefix ? 'rep' : instruction.hasRepnePrefix ? icedRepne(instruction) : ''
  return {
    mnemonic: icedMnemonic(instruction),
    length: instruction.length,
    prefixes: `${instruction.hasLockPrefix ? 'lock' : ''}${instruction.isStringInstruction ? repeat : ''}`,
    operands,
  }
}

function describeIcedOperand(instruction: iced.Instruction, n: number): string {
  const kind = instruction.opKind(n)
  const bits = iced.MemorySizeExt.size(instruction.memorySize) * 8
  switch (kind) {
    case OpKind.Register: return describeIcedRegister(instruction.opRegister(n))
    case OpKind.NearBranch16: case OpKind.NearBranch32: case OpKind.NearBranch64: return `j${instruction.nearBranchTarget}`
    case OpKind.FarBranch16: return `far ${instruction.farBranchSelector}:${instruction.farBranch16}`
    case OpKind.FarBranch32: return `far ${instruction.farBranchSelector}:${instruction.farBranch32}`
    case OpKind.MemorySegSI: return `m${bits} ${icedSegment(instruction)} si16`
    case OpKind.MemorySegESI: return `m${bits} ${icedSegment(instruction)} si32`
    case OpKind.MemorySegRSI: return `m${bits} ${icedSegment(instruction)} si64`
    case OpKind.MemoryESDI: return `m${bits} es di16`
    case OpKind.MemoryESEDI: return `m${bits} es di32`
    case OpKind.MemoryESRDI: return `m${bits} es di64`
    case OpKind.MemorySegDI: case OpKind.MemorySegEDI: case OpKind.MemorySegRDI: return `implicit ${icedSegment(instruction)}`
    case OpKind.Memory: return describeIcedMemory(instruction, bits)
    default: return `i${BigInt.asUintN(immediateBits(kind), instruction.immediate(n))}`
  }
}

function immediateBits(kind: iced.OpKind): number {
  switch (kind) {
    case OpKind.Immediate8: case OpKind.Immediate8_2nd: return 8
    case OpKind.Immediate16: case OpKind.Immediate8to16: return 16
    case OpKind.Immediate32: case OpKind.Immediate8to32: return 32
    default: return 64
  }
}

/** iced's segment register, without the overrides that 64-bit mode ignores and iced reports. */
function icedSegment(instruction: iced.Instruction): string {
  const segment = instruction.memorySegment - Register.ES
  if (instruction.codeSize !== iced.CodeSize.Code64 || segment >= 4) return SEGMENTS[segment]
  const base = registerNumber(instruction.memoryBase)
  return base === 4 || base === 5 ? 'ss' : 'ds'
}

const REGISTER_CLASSES = [
  { first: Register.SPL, last: Register.R15L, text: (n: number) => `r8 ${n + 4}` },
  { first: Register.AL, last: Register.BL, text: (n: number) => `r8 ${n}` },
  { first: Register.AH, last: Register.BH, text: (n: number) => `r8 ${n} high` },
  { first: Register.AX, last: Register.R15W, text: (n: number) => `r16 ${n}` },
  { first: Register.EAX, last: Register.R15D, text: (n: number) => `r32 ${n}` },
  { first: Register.RAX, last: Register.R15, text: (n: number) => `r64 ${n}` },
  { first: Register.ES, last: Register.GS, text: (n: number) => SEGMENTS[n] },
  { first: Register.XMM0, last: Register.XMM15, text: (n: number) => `xmm${n}` },
  { first: Register.YMM0, last: Register.YMM15, text: (n: number) => `ymm${n}` },
  { first: Register.CR0, last: Register.CR15, text: (n: number) => `cr${n}` },
  { first: Register.DR0, last: Register.DR15, text: (n: number) => `dr${n}` },
  { first: Register.ST0, last: Register.ST7, text: (n: number) => `st${n}` },
  { first: Register.MM0, last: Register.MM7, text: (n: number) => `mm${n}` },
]

function describeIcedRegister(register: iced.Register): string {
  const found = REGISTER_CLASSES.find(({ first, last }) => register >= first && register <= last)
  return found === undefined ? `register ${register}` : found.text(register - found.first)
}

function describeIcedMemory(instruction: iced.Instruction, bits: number): string {
  const base = instruction.memoryBase
  const index = instruction.memoryIndex
  const isRelative = base === Register.RIP || base === Register.EIP
  const scale = index === Register.None ? 1 : instruction.memoryIndexScale
  const where = `${isRelative ? 'ip' : registerNumber(base)}+${registerNumber(index)}*${scale}`
  const size = addressSize(instruction)
  return `m${bits} ${icedSegment(instruction)} ${where}+${BigInt.asUintN(size, instruction.memoryDisplacement)}`
}

function registerNumber(register: iced.Register): number {
  return register === Register.None ? -1 : iced.RegisterExt.number(register)
}

/** Address size in bits: that of the registers, or of the displacement where there are none. */
function addressSize(instruction: iced.Instruction): number {
  const register = instruction.memoryBase !== 0 ? instruction.memoryBase : instruction.memoryIndex
  return register !== 0 ? iced.RegisterExt.size(register) * 8 : Math.max(instruction.memoryDisplSize * 8, 16)
}
