/** Decoded instructions as text in Intel's syntax, for `inspect` and error messages. */
import type { OperandSpec } from '../isa/operands.ts'
import { operandBits, rowOperands } from '../isa/operands.ts'
import { rows } from '../isa/rows.ts'
import { immediateRegister } from './instruction.ts'
import type { Instruction } from './instruction.ts'

const CONDITIONS = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g']
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs']
const LEGACY_REGISTERS = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di']
const LOW_BYTES = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil']
const HIGH_BYTES = ['ah', 'ch', 'dh', 'bh']
const RIP = 16

/** Names that depend on the operand size: 8, 16, 32 and 64 bits. */
const SIZED: Readonly<Record<string, readonly string[]>> = {
  MOVS: ['movsb', 'movsw', 'movsd', 'movsq'],
  CMPS: ['cmpsb', 'cmpsw', 'cmpsd', 'cmpsq'],
  STOS: ['stosb', 'stosw', 'stosd', 'stosq'],
  LODS: ['lodsb', 'lodsw', 'lodsd', 'lodsq'],
  SCAS: ['scasb', 'scasw', 'scasd', 'scasq'],
  INS: ['insb', 'insw', 'insd', 'insd'],
  OUTS: ['outsb', 'outsw', 'outsd', 'outsd'],
  CBW: ['', 'cbw', 'cwde', 'cdqe'],
  CWD: ['', 'cwd', 'cdq', 'cqo'],
  PUSHA: ['', 'pusha', 'pushad', ''],
  POPA: ['', 'popa', 'popad', ''],
  PUSHF: ['', 'pushf', 'pushfd', 'pushfq'],
  POPF: ['', 'popf', 'popfd', 'popfq'],
  IRET: ['', 'iret', 'iretd', 'iretq'],
  MOVD_LOAD: ['', '', 'movd', 'movq'],
  MOVD_STORE: ['', '', 'movd', 'movq'],
  VMOVD_LOAD: ['', '', 'vmovd', 'vmovq'],
  VMOVD_STORE: ['', '', 'vmovd', 'vmovq'],
  VPINSRD: ['', '', 'vpinsrd', 'vpinsrq'],
  VPEXTRD: ['', '', 'vpextrd', 'vpextrq'],
  PINSRD: ['', '', 'pinsrd', 'pinsrq'],
  PEXTRD: ['', '', 'pextrd', 'pextrq'],
  FXSAVE: ['', '', 'fxsave', 'fxsave64'],
  FXRSTOR: ['', '', 'fxrstor', 'fxrstor64'],
  XSAVE: ['', '', 'xsave', 'xsave64'],
  XRSTOR: ['', '', 'xrstor', 'xrstor64'],
  XSAVEOPT: ['', '', 'xsaveopt', 'xsaveopt64'],
  SYSRET: ['', '', 'sysret', 'sysretq'],
  SYSEXIT: ['', '', 'sysexit', 'sysexitq'],
}

/** Names that neither the table above nor the rule (lower case, without what follows an underscore) gives. */
const RENAMED: Readonly<Record<string, string>> = {
  IMUL1: 'imul', IMUL2: 'imul', IMUL3: 'imul', XLAT: 'xlatb', FWAIT: 'wait',
  CALL_FAR: 'call far', JMP_FAR: 'jmp far', RET_FAR: 'retf',
}

/** The instruction's name alone, in lower case, as the SDM has it: `jne`, `cdqe`, `movsd`. */
export function formatMnemonic(instruction: Instruction): string {
  const { mnemonic } = rows[instruction.row]
  if (mnemonic.endsWith('cc')) return mnemonic.slice(0, -2).toLowerCase() + CONDITIONS[instruction.condition]
  if (mnemonic === 'JCXZ') return { 16: 'jcxz', 32: 'jecxz', 64: 'jrcxz' }[instruction.addressSize]
  const sized = SIZED[mnemonic]
  if (sized !== undefined) return sized[Math.log2(instruction.operandSize) - 3]
  return RENAMED[mnemonic] ?? mnemonic.split('_')[0].toLowerCase()
}

/** One line of text. Relative branches show their target if `rip`, the instruction's own address, is given; else `$+distance`. */
export function formatInstruction(instruction: Instruction, rip?: bigint): string {
  const operands = rowOperands(rows[instruction.row]).map((spec) => formatOperand(spec, instruction, rip))
  return `${formatPrefixes(instruction)}${formatMnemonic(instruction)} ${operands.join(', ')}`.trimEnd()
}

function formatPrefixes(instruction: Instruction): string {
  const compares = rows[instruction.row].attributes.repeat === 'repe'
  const repeat = ['', compares ? 'repe ' : 'rep ', 'repne '][instruction.repeat]
  return (instruction.lock ? 'lock ' : '') + repeat
}

function formatOperand(spec: OperandSpec, instruction: Instruction, rip?: bigint): string {
  const bits = operandBits(spec, instruction)
  const isMemory = instruction.mod !== 3
  switch (spec.method) {
    case 'register': return generalRegister(spec.register!, bits, true)
    case 'G': return generalRegister(instruction.reg, bits, instruction.rex)
    case 'B': return generalRegister(instruction.vvvv, bits, true)
    case 'Z': case 'R': return generalRegister(instruction.rm, bits, instruction.rex)
    case 'E': return isMemory ? formatMemory(instruction, bits) : generalRegister(instruction.rm, bits, instruction.rex)
    case 'M': case 'O': return formatMemory(instruction, bits)
    case 'X': return `${pointer(bits)}${SEGMENTS[instruction.segment]}:[${generalRegister(6, instruction.addressSize, true)}]`
    case 'Y': return `${pointer(bits)}es:[${generalRegister(7, instruction.addressSize, true)}]`
    case 'V': return vectorRegister(instruction.reg, bits)
    case 'U': return vectorRegister(instruction.rm, bits)
    case 'L': return vectorRegister(immediateRegister(instruction), bits)
    case 'H': return vectorRegister(instruction.vvvv, bits)
    case 'W': return isMemory ? formatMemory(instruction, bits) : vectorRegister(instruction.rm, bits)
    case 'P': return `mm${instruction.reg}`
    case 'N': return `mm${instruction.rm}`
    case 'Q': return isMemory ? formatMemory(instruction, bits) : `mm${instruction.rm}`
    case 'S': return SEGMENTS[spec.register ?? instruction.reg]
    case 'C': return `cr${instruction.reg}`
    case 'D': return `dr${instruction.reg}`
    case 'ST': return `st(${spec.register ?? instruction.rm})`
    case 'J': return formatTarget(instruction, rip)
    case 'A': return `${formatHex(BigInt(instruction.immediate2))}:${formatHex(BigInt(instruction.immediate >>> 0))}`
    case 'constant': return `${spec.constant}`
    case 'I': return formatImmediate(spec, instruction)
  }
}

/** A general register's name. Without REX the byte registers 4 to 7 are the high ones. */
function generalRegister(register: number, bits: number, rex: boolean): string {
  if (register >= 8) return `r${register}${{ 8: 'b', 16: 'w', 32: 'd' }[bits] ?? ''}`
  if (bits === 8) return !rex && register >= 4 ? HIGH_BYTES[register - 4] : LOW_BYTES[register]
  return ({ 32: 'e', 64: 'r' }[bits] ?? '') + LEGACY_REGISTERS[register]
}

function vectorRegister(register: number, bits: number): string {
  return `${bits === 256 ? 'y' : 'x'}mm${register}`
}

function pointer(bits: number): string {
  const name = { 8: 'byte', 16: 'word', 32: 'dword', 48: 'fword', 64: 'qword', 80: 'tbyte', 128: 'xmmword', 256: 'ymmword' }[bits]
  return name === undefined ? '' : `${name} ptr `
}

function formatMemory(instruction: Instruction, bits: number): string {
  const { base, index, scale, segment, addressSize, row } = instruction
  const terms: string[] = []
  if (base === RIP) terms.push(addressSize === 64 ? 'rip' : 'eip')
  else if (base >= 0) terms.push(generalRegister(base, addressSize, true))
  // Whether the index is of 128 or 256 bits does not show.
  const indexName = rows[row].attributes.gathers === true ? vectorRegister(index, 128) : generalRegister(index, addressSize, true)
  if (index >= 0) terms.push(indexName + (scale > 0 ? `*${1 << scale}` : ''))
  const shown = instruction.codeSize === 64 && segment < 4 ? '' : `${SEGMENTS[segment]}:`
  return `${pointer(bits)}${shown}[${terms.join('+')}${formatDisplacement(instruction, terms.length === 0)}]`
}

/** A lone displacement is an address; beside registers it is signed, and left out if it is zero. */
function formatDisplacement(instruction: Instruction, alone: boolean): string {
  const value = joinHalves(instruction.displacement, instruction.displacementHigh)
  if (alone) return formatHex(BigInt.asUintN(instruction.addressSize, value))
  if (value === 0n) return ''
  return value < 0n ? `-${formatHex(-value)}` : `+${formatHex(value)}`
}

function formatImmediate(spec: OperandSpec, instruction: Instruction): string {
  const second = rows[instruction.row].mnemonic === 'ENTER' && spec.type === 'b'
  if (second) return formatHex(BigInt(instruction.immediate2))
  const value = joinHalves(instruction.immediate, instruction.immediateHigh)
  return formatHex(BigInt.asUintN(spec.signExtended ? instruction.operandSize : 64, value))
}

function formatTarget(instruction: Instruction, rip?: bigint): string {
  const distance = joinHalves(instruction.immediate, instruction.immediateHigh) + BigInt(instruction.length)
  if (rip !== undefined) return formatHex(BigInt.asUintN(instruction.operandSize, rip + distance))
  return distance < 0n ? `$-${formatHex(-distance)}` : `$+${formatHex(distance)}`
}

function joinHalves(low: number, high: number): bigint {
  return BigInt(high) << 32n | BigInt(low >>> 0)
}

function formatHex(value: bigint): string {
  return value < 10n ? `${value}` : `0x${value.toString(16)}`
}
