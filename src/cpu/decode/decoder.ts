/**
 * The instruction decoder: bytes in, numbers out (SDM Vol. 2A chapter 2). It allocates nothing and uses no BigInt, because a boot
 * decodes half a million instructions.
 *
 * Where Intel's and AMD's processors differ it follows Intel's: near branches in 64-bit mode ignore 66, REX.W widens far branches
 * and LSS, LFS and LGS, and UD0 has a ModRM byte. EVEX and XOP encodings are invalid.
 */
import { rows } from '../isa/rows.ts'
import type { Instruction, CodeSize, OperandSize } from './instruction.ts'
import { DecodeFailure } from './instruction.ts'
import type { OpcodeTable } from './opcode-table.ts'
import { Column, compileOpcodeTables, GROUP_CELLS, INVALID_ROW, vexBlock } from './opcode-table.ts'
import { operandSizes } from './operand-size.ts'
import { IMMEDIATE_SHIFT, ImmediateKind, RowFlag, SIZE_SHIFT } from './row-flags.ts'

const MAXIMUM_LENGTH = 15

/** What each first byte is, with 0 for an opcode. */
const Prefix = { NONE: 0, REX: 1, OPERAND_SIZE: 2, ADDRESS_SIZE: 3, LOCK: 4, REPEAT: 5, SEGMENT: 6, IGNORED: 7 } as const

/** Columns by VEX.pp: no prefix, 66, F3, F2. */
const VEX_COLUMNS = [Column.NONE, Column.OPERAND_SIZE, Column.F3, Column.F2]

const SEGMENT_PREFIXES = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]
const DS = 3
const SS = 2
const ES = 0
const RIP = 16

/** Base and index of the 16-bit addressing forms by ModRM.rm (SDM Vol. 2A table 2-1); without index the high half is -1. */
const BASE16 = Int8Array.of(3, 3, 5, 5, 6, 7, 5, 3)
const INDEX16 = Int8Array.of(6, 7, 6, 7, -1, -1, -1, -1)

/** CR0, CR2, CR3, CR4 and CR8; the others are #UD. */
const CONTROL_REGISTERS = 0x11d

type OpcodeTables = Readonly<Record<'long' | 'legacy', OpcodeTable>>

/** Tables take a tenth of a second to compile, and every machine needs some. */
const compiled = new WeakMap<ReadonlySet<string>, OpcodeTables>()

function tablesFor(features: ReadonlySet<string>): OpcodeTables {
  const tables = compiled.get(features) ?? compileOpcodeTables(rows, features)
  compiled.set(features, tables)
  return tables
}

export class Decoder {
  private readonly long: OpcodeTable
  private readonly legacy: OpcodeTable
  private readonly longPrefixes = prefixKinds(true)
  private readonly legacyPrefixes = prefixKinds(false)
  private readonly sizes = operandSizes()

  private bytes: Uint8Array = new Uint8Array(0)
  private position = 0
  private limit = 0
  /** A byte past `limit` was asked for. */
  private short = false

  private rex = 0
  private operandPrefix = 0
  private addressPrefix = false
  /** 0, 0xF3 or 0xF2. */
  private repeatPrefix = 0
  /** Segment, -1 for none. */
  private segmentPrefix = -1
  private opcode = 0
  private modrm = 0
  private sib = 0
  private vvvv = 0
  /** A VEX prefix that is not allowed here. Like a LOCK prefix it is found out after the whole instruction was read. */
  private illegalVex = false

  /** Only encodings of these features (see `features()` in isa/rows.ts) are valid. */
  constructor(features: ReadonlySet<string>) {
    const { long, legacy } = tablesFor(features)
    this.long = long
    this.legacy = legacy
  }

  /**
   * Decodes the instruction at `bytes[at]` and fills in `into`; nothing from `end` on is looked at. Returns its length, 1 to 15,
   * or a DecodeFailure, after which `into` is unspecified.
   */
  decode(bytes: Uint8Array, at: number, end: number, codeSize: CodeSize, into: Instruction): number {
    const table = codeSize === 64 ? this.long : this.legacy
    this.begin(bytes, at, end)
    this.readPrefixes(codeSize, into)
    const row = this.startsVex(codeSize) ? this.findVexRow(table, codeSize, into) : this.findRow(table)
    if (this.short) return end - at >= MAXIMUM_LENGTH ? DecodeFailure.TOO_LONG : DecodeFailure.TRUNCATED
    if (row === INVALID_ROW) return DecodeFailure.INVALID
    const flags = table.flags[row]
    into.row = row
    this.setSizes(flags, codeSize, into)
    this.readOperands(flags, into)
    if (this.short) return end - at >= MAXIMUM_LENGTH ? DecodeFailure.TOO_LONG : DecodeFailure.TRUNCATED
    if (this.isIllegal(flags, into)) return DecodeFailure.INVALID
    into.length = this.position - at
    return into.length
  }

  private begin(bytes: Uint8Array, at: number, end: number): void {
    this.bytes = bytes
    this.position = at
    this.limit = end - at > MAXIMUM_LENGTH ? at + MAXIMUM_LENGTH : end
    this.short = false
    this.rex = 0
    this.operandPrefix = 0
    this.addressPrefix = false
    this.repeatPrefix = 0
    this.segmentPrefix = -1
    this.vvvv = 0
    this.illegalVex = false
  }

  /** Reads the prefixes and the first opcode byte. Of a group the last one counts; REX counts only right before the opcode. */
  private readPrefixes(codeSize: CodeSize, into: Instruction): void {
    const kinds = codeSize === 64 ? this.longPrefixes : this.legacyPrefixes
    into.lock = false
    let byte = this.u8()
    let kind = kinds[byte]
    while (kind !== Prefix.NONE) {
      this.rex = 0
      switch (kind) {
        case Prefix.REX: this.rex = byte; break
        case Prefix.OPERAND_SIZE: this.operandPrefix = 1; break
        case Prefix.ADDRESS_SIZE: this.addressPrefix = true; break
        case Prefix.LOCK: into.lock = true; break
        case Prefix.REPEAT: this.repeatPrefix = byte; break
        case Prefix.SEGMENT: this.segmentPrefix = SEGMENT_PREFIXES.indexOf(byte); break
      }
      byte = this.u8()
      kind = kinds[byte]
    }
    this.opcode = byte
    into.rex = this.rex !== 0
  }

  /** Reads the rest of the opcode, and ModRM where the row depends on it or has one. */
  private findRow(table: OpcodeTable): number {
    let slot = this.column() * 256
    if (this.opcode === 0x0f) slot += this.readEscape()
    return this.rowAt(table, slot + this.opcode)
  }

  private rowAt(table: OpcodeTable, slot: number): number {
    let row = table.opcodes[slot]
    if (row === INVALID_ROW) return INVALID_ROW
    if (row < INVALID_ROW) {
      this.modrm = this.u8()
      const cell = this.modrm >= 0xc0 ? 8 + (this.modrm & 63) : this.modrm >> 3 & 7
      row = table.groups[(-2 - row) * GROUP_CELLS + cell]
      return row === INVALID_ROW ? row : this.alternate(table, row)
    }
    if ((table.flags[row] & RowFlag.MODRM) !== 0) this.modrm = this.u8()
    return this.alternate(table, row)
  }

  /** C4 and C5 are LES and LDS outside 64-bit mode, if what would be their ModRM addresses memory (SDM Vol. 2A §2.3.5). */
  private startsVex(codeSize: CodeSize): boolean {
    if (this.opcode !== 0xc4 && this.opcode !== 0xc5) return false
    return codeSize === 64 || (this.position < this.limit && this.bytes[this.position] >= 0xc0)
  }

  /** Reads the VEX prefix and the opcode. Outside 64-bit mode its register bits have no effect, and W none on operand sizes. */
  private findVexRow(table: OpcodeTable, codeSize: CodeSize, into: Instruction): number {
    this.illegalVex = this.rex !== 0 || this.operandPrefix !== 0 || this.repeatPrefix !== 0 || into.lock
    const three = this.opcode === 0xc4
    const first = this.u8()
    const last = three ? this.u8() : first & 0x7f
    const map = three ? first & 31 : 1
    if (this.short || map === 0 || map > 3) return INVALID_ROW
    const long = codeSize === 64
    this.rex = 0
    this.operandPrefix = 0
    this.repeatPrefix = 0
    if (long) this.rex = last >> 4 & 8 | ~first >> 5 & (three ? 7 : 4)
    this.vvvv = ~last >> 3 & (long ? 15 : 7)
    this.opcode = this.u8()
    const column = VEX_COLUMNS[last & 3]
    const row = this.rowAt(table, vexBlock(last >> 2 & 1, last >> 7) * 4096 + map * 1024 + column * 256 + this.opcode)
    if (row !== INVALID_ROW && (table.flags[row] & RowFlag.VVVV) === 0 && (last & 0x78) !== 0x78) this.illegalVex = true
    return row
  }

  private column(): number {
    if (this.repeatPrefix !== 0) return this.repeatPrefix === 0xf3 ? Column.F3 : Column.F2
    return this.operandPrefix === 0 ? Column.NONE : Column.OPERAND_SIZE
  }

  /** Reads the opcode bytes after 0F and returns the map's first slot. */
  private readEscape(): number {
    this.opcode = this.u8()
    if (this.opcode !== 0x38 && this.opcode !== 0x3a) return 1024
    const slot = this.opcode === 0x38 ? 2048 : 3072
    this.opcode = this.u8()
    return slot
  }

  private alternate(table: OpcodeTable, row: number): number {
    const flags = table.flags[row]
    if ((flags & (RowFlag.ALTERNATE_W | RowFlag.ALTERNATE_B)) === 0) return row
    const bit = (flags & RowFlag.ALTERNATE_W) !== 0 ? this.rex & 8 : this.rex & 1
    return bit === 0 ? row : table.alternates[row]
  }

  private setSizes(flags: number, codeSize: CodeSize, into: Instruction): void {
    const mode = codeSize === 64 ? 64 : codeSize === 32 ? 32 : 0
    into.codeSize = codeSize
    into.operandSize = this.sizes[mode | flags >> SIZE_SHIFT << 2 | this.rex >> 2 & 2 | this.operandPrefix] as OperandSize
    if (this.addressPrefix) into.addressSize = codeSize === 32 ? 16 : 32
    else into.addressSize = codeSize
    into.repeat = this.repeatPrefix === 0 ? 0 : repetition(flags, this.repeatPrefix)
    into.condition = (flags & RowFlag.CONDITION) !== 0 ? this.opcode & 15 : 0
    if (this.segmentPrefix >= 0) into.segment = this.segmentPrefix
    else into.segment = DS
    if ((flags & RowFlag.ES_ONLY) !== 0) into.segment = ES
  }

  private readOperands(flags: number, into: Instruction): void {
    into.mod = 3
    into.reg = 0
    into.vvvv = this.vvvv
    into.rm = (flags & RowFlag.OPCODE_REGISTER) !== 0 ? this.opcode & 7 | (this.rex & 1) << 3 : 0
    into.base = -1
    into.index = -1
    into.scale = 0
    this.setDisplacement(0, into)
    if ((flags & RowFlag.MODRM) !== 0) this.readModRM(flags, into)
    const kind = flags >> IMMEDIATE_SHIFT & 15
    into.immediate2 = 0
    if (kind === ImmediateKind.NONE) this.setImmediate(0, into)
    else this.readImmediate(kind, into)
  }

  private readModRM(flags: number, into: Instruction): void {
    const modrm = this.modrm
    into.reg = modrm >> 3 & 7
    into.rm = modrm & 7
    if ((flags & RowFlag.SHORT_REG) === 0) into.reg |= this.rex << 1 & 8
    if ((flags & RowFlag.SHORT_RM) === 0) into.rm |= this.rex << 3 & 8
    if (modrm >= 0xc0 || (flags & RowFlag.IGNORES_MOD) !== 0) return
    into.mod = modrm >> 6
    if (into.addressSize === 16) this.readAddress16(into)
    else this.readAddress(into)
    if ((flags & RowFlag.VSIB) !== 0) this.indexByVector(into)
    if (this.segmentPrefix < 0 && (into.base === 4 || into.base === 5)) into.segment = SS
  }

  private readAddress(into: Instruction): void {
    const rm = this.modrm & 7
    let absolute = false
    if (rm === 4) absolute = this.readSib(into)
    else if (rm === 5 && into.mod === 0) {
      absolute = true
      into.base = into.codeSize === 64 ? RIP : -1
    } else into.base = rm | (this.rex & 1) << 3
    if (into.mod === 1) this.setDisplacement(this.i8(), into)
    else if (into.mod === 2 || absolute) this.setDisplacement(this.i32(), into)
  }

  /** VSIB (SDM Vol. 2A §2.3.12): SIB is needed, and names another register than ModRM and VEX.vvvv do. */
  private indexByVector(into: Instruction): void {
    if ((this.modrm & 7) !== 4 || into.addressSize === 16) {
      this.illegalVex = true
      return
    }
    into.index = this.sib >> 3 & 7 | (this.rex & 2) << 2
    into.scale = this.sib >> 6
    if (into.index === into.reg || into.index === into.vvvv || into.reg === into.vvvv) this.illegalVex = true
  }

  /** Base, index and scale; true if a 32-bit displacement takes the base's place. */
  private readSib(into: Instruction): boolean {
    const sib = this.sib = this.u8()
    const index = sib >> 3 & 7 | (this.rex & 2) << 2
    if (index !== 4) {
      into.index = index
      into.scale = sib >> 6
    }
    if ((sib & 7) === 5 && into.mod === 0) return true
    into.base = sib & 7 | (this.rex & 1) << 3
    return false
  }

  private readAddress16(into: Instruction): void {
    const rm = this.modrm & 7
    const absolute = rm === 6 && into.mod === 0
    if (!absolute) {
      into.base = BASE16[rm]
      into.index = INDEX16[rm]
    }
    if (into.mod === 1) this.setDisplacement(this.i8(), into)
    else if (into.mod === 2 || absolute) this.setDisplacement(this.u16() << 16 >> 16, into)
  }

  private readImmediate(kind: number, into: Instruction): void {
    switch (kind) {
      case ImmediateKind.UNSIGNED_8: return this.setImmediate(this.u8(), into)
      case ImmediateKind.SIGNED_8: return this.setImmediate(this.i8(), into)
      case ImmediateKind.SIGNED_Z: return this.setImmediate(into.operandSize === 16 ? this.u16() << 16 >> 16 : this.i32(), into)
      case ImmediateKind.UNSIGNED_16: return this.setImmediate(this.u16(), into)
      case ImmediateKind.ONE: return this.setImmediate(1, into)
      case ImmediateKind.FULL: return this.readFullImmediate(into)
      case ImmediateKind.OFFSET: return this.readOffset(into)
    }
    if (kind === ImmediateKind.FAR) this.readFullImmediate(into)
    else this.setImmediate(this.u16(), into)
    into.immediate2 = kind === ImmediateKind.FAR ? this.u16() : this.u8()
  }

  /** An immediate of the operand's size, zero-extended. */
  private readFullImmediate(into: Instruction): void {
    into.immediate = into.operandSize === 16 ? this.u16() : this.i32()
    into.immediateHigh = into.operandSize === 64 ? this.i32() : 0
  }

  /** The address of a moffs operand. */
  private readOffset(into: Instruction): void {
    into.mod = 0
    into.displacement = into.addressSize === 16 ? this.u16() : this.i32()
    into.displacementHigh = into.addressSize === 64 ? this.i32() : 0
    this.setImmediate(0, into)
  }

  /** #UD that depends on more than the opcode: prefixes that do not go together, LOCK without a memory destination, unknown registers. */
  private isIllegal(flags: number, into: Instruction): boolean {
    if (this.illegalVex) return true
    if (into.lock && ((flags & RowFlag.LOCK) === 0 || into.mod === 3)) return true
    if ((flags & (RowFlag.CONTROL_REGISTER | RowFlag.DEBUG_REGISTER)) === 0) return false
    return (flags & RowFlag.DEBUG_REGISTER) !== 0 ? into.reg > 7 : (CONTROL_REGISTERS >> into.reg & 1) === 0
  }

  private setImmediate(value: number, into: Instruction): void {
    into.immediate = value
    into.immediateHigh = value >> 31
  }

  private setDisplacement(value: number, into: Instruction): void {
    into.displacement = value
    into.displacementHigh = value >> 31
  }

  private u8(): number {
    if (this.position < this.limit) return this.bytes[this.position++]
    this.short = true
    return 0
  }

  private i8(): number {
    return this.u8() << 24 >> 24
  }

  private u16(): number {
    const low = this.u8()
    return low | this.u8() << 8
  }

  private i32(): number {
    const low = this.u16()
    return low | this.u16() << 16
  }
}

function repetition(flags: number, prefix: number): 0 | 1 | 2 {
  if ((flags & (RowFlag.REP | RowFlag.REPE)) === 0) return 0
  return prefix === 0xf2 && (flags & RowFlag.REPE) !== 0 ? 2 : 1
}

/** In 64-bit mode the overrides of ES, CS, SS and DS are ignored (SDM Vol. 2A §2.1.1): they do not even cancel FS and GS. */
function prefixKinds(mode64: boolean): Uint8Array {
  const kinds = new Uint8Array(256)
  SEGMENT_PREFIXES.forEach((byte, segment) => { kinds[byte] = mode64 && segment < 4 ? Prefix.IGNORED : Prefix.SEGMENT })
  if (mode64) kinds.fill(Prefix.REX, 0x40, 0x50)
  kinds[0x66] = Prefix.OPERAND_SIZE
  kinds[0x67] = Prefix.ADDRESS_SIZE
  kinds[0xf0] = Prefix.LOCK
  kinds[0xf2] = Prefix.REPEAT
  kinds[0xf3] = Prefix.REPEAT
  return kinds
}
