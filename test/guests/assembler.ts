/**
 * A small assembler for test guests: 16, 32 and 64-bit code, data and labels at absolute addresses.
 *
 * It knows the instructions that set a scene (moves, arithmetic, branches, the stack, system registers); what a test is about may
 * be written as bytes. Prefixes follow from the registers' sizes and the mode (`use`).
 */

export type CodeBits = 16 | 32 | 64
/** An address that is known when everything is assembled. */
export interface Address { readonly label: string, readonly plus: number, readonly mask?: number }
export type Immediate = number | bigint | Address

export interface MemoryOperand {
  readonly base?: string
  readonly displacement: number | Address
  readonly segment?: string
}
export type Operand = string | Immediate | MemoryOperand

const GENERAL = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di']
const BYTES = ['al', 'cl', 'dl', 'bl', 'ah', 'ch', 'dh', 'bh']
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs']
const SEGMENT_PREFIXES = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]
const CONDITIONS = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g']
const ARITHMETIC = ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp'] as const
const BASES16: Record<string, number> = { si: 4, di: 5, bp: 6, bx: 7 }

interface RegisterName { readonly number: number, readonly bits: 8 | 16 | 32 | 64 }

function register(name: string): RegisterName | undefined {
  const byte = BYTES.indexOf(name)
  if (byte >= 0) return { number: byte, bits: 8 }
  const numbered = /^r(\d+)([bwd]?)$/.exec(name)
  if (numbered !== null) return { number: Number(numbered[1]), bits: ({ b: 8, w: 16, d: 32, '': 64 } as const)[numbered[2] as ''] }
  const wide = name.length === 3 ? GENERAL.indexOf(name.slice(1)) : GENERAL.indexOf(name)
  if (wide < 0) return undefined
  return { number: wide, bits: name.length === 2 ? 16 : name[0] === 'r' ? 64 : 32 }
}

function registerOf(operand: Operand): RegisterName {
  const found = typeof operand === 'string' ? register(operand) : undefined
  if (found === undefined) throw new Error(`no register: ${String(operand)}`)
  return found
}

const isMemory = (operand: Operand): operand is MemoryOperand => typeof operand === 'object' && 'displacement' in operand
const isAddress = (operand: Operand | undefined): operand is Address => typeof operand === 'object' && 'label' in operand

/** The address of a label. */
export const at = (label: string, plus = 0): Address => ({ label, plus })
/** Memory at an absolute address or a label: `mem(0x500)`, `mem('counter')`, `mem('rbx', 8)`, `mem(at('table', 8))`. */
export function mem(where: number | string | Address, displacement = 0, segment?: string): MemoryOperand {
  if (typeof where === 'number') return { displacement: where + displacement, segment }
  if (typeof where !== 'string') return { displacement: { label: where.label, plus: where.plus + displacement }, segment }
  if (register(where) === undefined) return { displacement: { label: where, plus: displacement }, segment }
  return { base: where, displacement, segment }
}

interface Fixup {
  readonly section: Section, readonly offset: number, readonly size: number, readonly to: Address, readonly relativeTo?: number,
}
interface Section { readonly origin: number, readonly bytes: number[] }

export class Assembler {
  readonly sections: Section[] = []
  private readonly labels = new Map<string, number>()
  private readonly fixups: Fixup[] = []
  private section: Section
  private bits: CodeBits
  private unique = 0

  constructor(origin: number, bits: CodeBits) {
    this.section = this.open(origin)
    this.bits = bits
  }

  // Places.

  get here(): number { return this.section.origin + this.section.bytes.length }
  /** Start of the section in use. */
  get origin(): number { return this.section.origin }
  get mode(): CodeBits { return this.bits }
  use(bits: CodeBits): void { this.bits = bits }
  /** Goes on at another address: at the end of the section that was opened there before, or in a new one. */
  org(origin: number): void {
    this.section = this.sections.find((section) => section.origin === origin) ?? this.open(origin)
  }
  label(name: string): void {
    if (this.labels.has(name)) throw new Error(`label ${name} is there twice`)
    this.labels.set(name, this.here)
  }
  /** A label that nobody else has. */
  fresh(prefix = 'L'): string { return `${prefix}.${this.unique++}` }
  align(to: number): void { while (this.here % to !== 0) this.section.bytes.push(0x90) }
  addressOf(name: string): number {
    const address = this.labels.get(name)
    if (address === undefined) throw new Error(`no label ${name}`)
    return address
  }

  resolve({ label, plus, mask }: Address): number {
    const address = this.addressOf(label) + plus
    return mask === undefined ? address : address & mask
  }

  // Data.

  db(...values: number[]): void { for (const value of values) this.section.bytes.push(value & 0xff) }
  dw(...values: Immediate[]): void { for (const value of values) this.value(value, 2) }
  dd(...values: Immediate[]): void { for (const value of values) this.value(value, 4) }
  dq(...values: Immediate[]): void { for (const value of values) this.value(value, 8) }
  space(count: number): void { for (let n = 0; n < count; n++) this.section.bytes.push(0) }

  // Moves.

  mov(to: Operand, from: Operand): void {
    if (typeof to === 'string' && SEGMENTS.includes(to)) return this.modRm([0x8e], SEGMENTS.indexOf(to), from, 16, true)
    if (typeof from === 'string' && SEGMENTS.includes(from)) return this.modRm([0x8c], SEGMENTS.indexOf(from), to, 16, true)
    if (typeof to === 'string' && /^[cd]r\d+$/.test(to)) return this.special(to, from, 2)
    if (typeof from === 'string' && /^[cd]r\d+$/.test(from)) return this.special(from, to, 0)
    if (isMemory(to)) {
      const source = registerOf(from)
      return this.modRm([source.bits === 8 ? 0x88 : 0x89], source.number, to, source.bits)
    }
    const target = registerOf(to)
    if (isMemory(from)) return this.modRm([target.bits === 8 ? 0x8a : 0x8b], target.number, from, target.bits)
    if (typeof from === 'string') return this.modRm([target.bits === 8 ? 0x88 : 0x89], registerOf(from).number, to, target.bits)
    this.moveImmediate(target, from)
  }
  /** MOV of an immediate to memory, `bits` wide (64: sign-extended from 32). */
  store(to: MemoryOperand, value: Immediate, bits: 8 | 16 | 32 | 64): void {
    this.modRm([bits === 8 ? 0xc6 : 0xc7], 0, to, bits)
    this.value(value, Math.min(bits / 8, 4))
  }
  lea(to: string, from: MemoryOperand): void {
    const target = registerOf(to)
    this.modRm([0x8d], target.number, from, target.bits)
  }
  xchg(to: Operand, from: string): void {
    const source = registerOf(from)
    this.modRm([source.bits === 8 ? 0x86 : 0x87], source.number, to, source.bits)
  }

  // Arithmetic.

  add(to: Operand, from: Operand): void { this.arithmetic('add', to, from) }
  or(to: Operand, from: Operand): void { this.arithmetic('or', to, from) }
  and(to: Operand, from: Operand): void { this.arithmetic('and', to, from) }
  sub(to: Operand, from: Operand): void { this.arithmetic('sub', to, from) }
  xor(to: Operand, from: Operand): void { this.arithmetic('xor', to, from) }
  cmp(to: Operand, from: Operand): void { this.arithmetic('cmp', to, from) }
  /** TEST of a register and an immediate. */
  test(to: string, value: number): void {
    const { bits } = registerOf(to)
    this.modRm([bits === 8 ? 0xf6 : 0xf7], 0, to, bits)
    this.value(value, Math.min(bits / 8, 4))
  }
  arithmetic(name: typeof ARITHMETIC[number], to: Operand, from: Operand): void {
    const code = ARITHMETIC.indexOf(name)
    if (typeof from === 'string' && (isMemory(to) || typeof to === 'string')) {
      const source = registerOf(from)
      return this.modRm([code * 8 + (source.bits === 8 ? 0 : 1)], source.number, to, source.bits)
    }
    const target = registerOf(to)
    if (isMemory(from)) return this.modRm([code * 8 + (target.bits === 8 ? 2 : 3)], target.number, from, target.bits)
    this.modRm([target.bits === 8 ? 0x80 : 0x81], code, to, target.bits)
    this.value(from as Immediate, Math.min(target.bits / 8, 4))
  }

  // The stack and branches.

  push(operand: Operand, bits: CodeBits = this.bits): void {
    if (typeof operand === 'string' && SEGMENTS.includes(operand)) return this.pushSegment(operand, bits)
    if (typeof operand === 'string' || isMemory(operand)) {
      const wide = typeof operand === 'string' ? registerOf(operand).bits : bits
      return this.modRm([0xff], 6, operand, wide as CodeBits, true)
    }
    this.operandPrefix(bits)
    this.db(0x68)
    this.value(operand, bits === 16 ? 2 : 4)
  }
  pop(operand: string): void {
    const { number, bits } = registerOf(operand)
    this.operandPrefix(bits as CodeBits)
    if (number >= 8) this.db(0x41)
    this.db(0x58 + (number & 7))
  }
  pushf(bits: CodeBits = this.bits): void { this.sized(0x9c, bits) }
  popf(bits: CodeBits = this.bits): void { this.sized(0x9d, bits) }
  jmp(label: string): void { this.relative([0xe9], label) }
  /** JMP with a displacement of 8 bits. */
  jmpShort(label: string): void {
    this.db(0xeb)
    this.fix(at(label), 1, this.here + 1)
  }
  jcc(condition: string, label: string): void { this.relative([0x0f, 0x80 + CONDITIONS.indexOf(condition)], label) }
  call(label: string): void { this.relative([0xe8], label) }
  jmpTo(operand: Operand): void { this.modRm([0xff], 4, operand, this.bits, true) }
  callTo(operand: Operand): void { this.modRm([0xff], 2, operand, this.bits, true) }
  ret(): void { this.db(0xc3) }
  int(vector: number): void { this.db(0xcd, vector) }
  iret(bits: CodeBits = this.bits): void {
    if (bits === 64) this.db(0x48, 0xcf)
    else this.sized(0xcf, bits)
  }
  /** Far JMP (or CALL) to an immediate far pointer; not in 64-bit mode. */
  farJump(selector: number, offset: Immediate, bits: CodeBits = this.bits, opcode = 0xea): void {
    this.sized(opcode, bits)
    this.value(offset, bits / 8)
    this.dw(selector)
  }
  farCall(selector: number, offset: Immediate, bits: CodeBits = this.bits): void { this.farJump(selector, offset, bits, 0x9a) }
  /** Far JMP (/5) or CALL (/3) through memory. */
  farIndirect(digit: 3 | 5, from: MemoryOperand, bits: CodeBits = this.bits): void { this.modRm([0xff], digit, from, bits) }
  farReturn(bits: CodeBits = this.bits, release = 0): void {
    if (bits === 64) this.db(0x48)
    else this.operandPrefix(bits)
    if (release === 0) return this.db(0xcb)
    this.db(0xca)
    this.dw(release)
  }

  // System instructions.

  cli(): void { this.db(0xfa) }
  sti(): void { this.db(0xfb) }
  hlt(): void { this.db(0xf4) }
  nop(): void { this.db(0x90) }
  lgdt(from: MemoryOperand): void { this.modRm([0x0f, 0x01], 2, from, this.bits, true) }
  lidt(from: MemoryOperand): void { this.modRm([0x0f, 0x01], 3, from, this.bits, true) }
  invlpg(from: MemoryOperand): void { this.modRm([0x0f, 0x01], 7, from, this.bits, true) }
  lldt(operand: Operand): void { this.modRm([0x0f, 0x00], 2, operand, 16, true) }
  ltr(operand: Operand): void { this.modRm([0x0f, 0x00], 3, operand, 16, true) }
  /** Any instruction with ModRM: opcode bytes, the reg field, and the register or memory operand; prefixes by `bits`. */
  raw(opcode: readonly number[], reg: number, operand: Operand, bits: 8 | CodeBits = this.bits): void {
    this.modRm(opcode, reg, operand, bits)
  }
  rdmsr(index: number): void {
    this.mov('ecx', index)
    this.db(0x0f, 0x32)
  }
  /** WRMSR; clobbers EAX, ECX and EDX. */
  wrmsr(index: number, value: bigint | Address): void {
    this.mov('ecx', index)
    this.mov('eax', isAddress(value) ? value : value & 0xffffffffn)
    this.mov('edx', isAddress(value) ? 0 : value >> 32n)
    this.db(0x0f, 0x30)
  }
  /** OUT of AL, AX or EAX to a port; clobbers DX. */
  out(port: number, bits: 8 | 16 | 32 = 8): void {
    this.mov('dx', port)
    if (bits === 8) return this.db(0xee)
    this.sized(0xef, bits)
  }
  in(port: number, bits: 8 | 16 | 32 = 8): void {
    this.mov('dx', port)
    if (bits === 8) return this.db(0xec)
    this.sized(0xed, bits)
  }

  /** Resolves all addresses. The assembler must not be used after. */
  finish(): readonly { readonly address: number, readonly bytes: Uint8Array }[] {
    for (const fixup of this.fixups) this.patch(fixup)
    return this.sections.filter((section) => section.bytes.length > 0)
      .map((section) => ({ address: section.origin, bytes: Uint8Array.from(section.bytes) }))
  }

  // Encoding.

  private open(origin: number): Section {
    const section = { origin, bytes: [] }
    this.sections.push(section)
    return section
  }

  private sized(opcode: number, bits: CodeBits): void {
    this.operandPrefix(bits)
    this.db(opcode)
  }

  private operandPrefix(bits: CodeBits): void {
    if ((bits === 16) !== (this.bits === 16) && bits !== 64) this.db(0x66)
  }

  private pushSegment(name: string, bits: CodeBits): void {
    const index = SEGMENTS.indexOf(name)
    this.operandPrefix(bits)
    if (index < 4) this.db(0x06 + index * 8)
    else this.db(0x0f, index === 4 ? 0xa0 : 0xa8)
  }

  private moveImmediate({ number, bits }: RegisterName, value: Immediate): void {
    const isWide = bits === 64 && !isAddress(value) && (BigInt(value) > 0xffffffffn || BigInt(value) < 0n)
    if (bits === 16 || bits === 32) this.operandPrefix(bits)
    const rex = (isWide ? 8 : 0) | (number >= 8 ? 1 : 0)
    if (rex !== 0) this.db(0x40 | rex)
    this.db((bits === 8 ? 0xb0 : 0xb8) + (number & 7))
    this.value(value, bits === 8 ? 1 : bits === 16 ? 2 : isWide ? 8 : 4)
  }

  private special(name: string, general: Operand, toSpecial: 0 | 2): void {
    const number = Number(name.slice(2))
    if (number >= 8) this.db(0x44)
    this.db(0x0f, 0x20 + toSpecial + (name[0] === 'd' ? 1 : 0), 0xc0 | ((number & 7) << 3) | registerOf(general).number)
  }

  private modRm(opcode: readonly number[], reg: number, operand: Operand, bits: 8 | CodeBits, defaultsWide = false): void {
    const memory = isMemory(operand) ? operand : undefined
    const rm = memory === undefined ? registerOf(operand).number : memory.base === undefined ? 0 : registerOf(memory.base).number
    if (memory?.segment !== undefined) this.db(SEGMENT_PREFIXES[SEGMENTS.indexOf(memory.segment)])
    if (memory?.base !== undefined) this.addressPrefix(registerOf(memory.base).bits as CodeBits)
    if (bits !== 8 && !(defaultsWide && this.isPlainSize(opcode, bits))) this.operandPrefix(bits)
    const rex = (bits === 64 && !defaultsWide ? 8 : 0) | (reg >= 8 ? 4 : 0) | (rm >= 8 ? 1 : 0)
    if (rex !== 0) this.db(0x40 | rex)
    this.db(...opcode)
    if (memory === undefined) this.db(0xc0 | ((reg & 7) << 3) | (rm & 7))
    else this.memoryOperand(reg & 7, memory)
  }

  /** Instructions whose operand size is fixed take no prefix; PUSH (FF /6) and near branches take theirs. */
  private isPlainSize(opcode: readonly number[], bits: CodeBits): boolean {
    return opcode[0] !== 0xff || bits === this.bits
  }

  private addressPrefix(bits: CodeBits): void {
    if (bits !== this.bits) this.db(0x67)
  }

  private memoryOperand(reg: number, { base, displacement }: MemoryOperand): void {
    if (base === undefined) return this.absolute(reg, displacement)
    const { number, bits } = registerOf(base)
    if (bits === 16) {
      this.db(0x80 | (reg << 3) | BASES16[base])
      return this.value(displacement, 2)
    }
    this.db(0x80 | (reg << 3) | (number & 7))
    if ((number & 7) === 4) this.db(0x24)
    this.value(displacement, 4)
  }

  private absolute(reg: number, displacement: number | Address): void {
    if (this.bits === 16) {
      this.db((reg << 3) | 6)
      return this.value(displacement, 2)
    }
    if (this.bits === 32) this.db((reg << 3) | 5)
    else this.db((reg << 3) | 4, 0x25)
    this.value(displacement, 4)
  }

  private relative(opcode: readonly number[], label: string): void {
    const size = this.bits === 16 ? 2 : 4
    this.db(...opcode)
    this.fix(at(label), size, this.here + size)
  }

  private value(value: Immediate, size: number): void {
    if (isAddress(value)) return this.fix(value, size)
    for (let n = 0; n < size; n++) this.db(Number((BigInt(value) >> BigInt(8 * n)) & 0xffn))
  }

  private fix(to: Address, size: number, relativeTo?: number): void {
    this.fixups.push({ section: this.section, offset: this.section.bytes.length, size, to, relativeTo })
    this.space(size)
  }

  private patch({ section, offset, size, to, relativeTo }: Fixup): void {
    const value = BigInt(this.resolve(to) - (relativeTo ?? 0))
    const fits = relativeTo === undefined || BigInt.asIntN(8 * size, value) === value || size === 2
    if (!fits) throw new Error(`${to.label} is too far for ${size} bytes`)
    for (let n = 0; n < size; n++) section.bytes[offset + n] = Number((value >> BigInt(8 * n)) & 0xffn)
  }
}
