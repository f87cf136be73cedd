/** WebAssembly of our own making as text, an instruction a line, in the manner of the text format (W3C WebAssembly Core 2.0, §6). */
import { BLOCK_VOID, ValueType, W } from './opcodes.ts'

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(W).map(([name, opcode]) => [opcode, textName(name)]))
const TYPES: ReadonlyMap<number, string> = new Map(Object.entries(ValueType).map(([name, code]) => [code, name.toLowerCase()]))
const PREFIXES = [0xfc, 0xfd, 0xfe]
const CODE_SECTION = 10
/** Opcodes by their immediates; loads and stores are told by their names. */
const LOCALS: readonly number[] = [W.local_get, W.local_set, W.local_tee, W.call]
const BRANCHES: readonly number[] = [W.br, W.br_if]
const OPENING: readonly number[] = [W.block, W.loop, W.if]

/** `i32_load8_u` is `i32.load8_u`, `local_get` is `local.get`; `br_if` and its like stay. */
function textName(name: string): string {
  return /^(br_|call_|return_)/.test(name) ? name : name.replace('_', '.')
}

/** The text of function `index` (among those with a body) of a module. */
export function disassembleFunction(module: Uint8Array, index: number): string[] {
  return new Disassembler(module).function(index)
}

class Disassembler {
  private readonly bytes: Uint8Array
  private at = 8
  private depth = 1

  constructor(bytes: Uint8Array) { this.bytes = bytes }

  function(index: number): string[] {
    while (this.byte() !== CODE_SECTION) this.skip()
    this.unsigned()
    this.unsigned()
    for (let n = 0; n < index; n++) this.skip()
    const size = this.unsigned()
    const end = this.at + size
    const lines = [`(local${this.locals()})`]
    while (this.at < end) lines.push(this.instruction())
    return lines
  }

  /** Past something that begins with its size. */
  private skip(): void {
    const size = this.unsigned()
    this.at += size
  }

  private locals(): string {
    let text = ''
    for (let runs = this.unsigned(); runs > 0; runs--) {
      const count = this.unsigned()
      const type = TYPES.get(this.byte()) ?? '?'
      text += ` ${count} × ${type}`
    }
    return text
  }

  private instruction(): string {
    const first = this.byte()
    const opcode = PREFIXES.includes(first) ? first * 65536 + this.unsigned() : first
    const name = NAMES.get(opcode) ?? `0x${opcode.toString(16)}`
    const closes = opcode === W.end || opcode === W.else
    if (closes) this.depth--
    const line = `${'  '.repeat(Math.max(this.depth, 0))}${name}${this.immediates(opcode, name)}`
    if (OPENING.includes(opcode) || opcode === W.else) this.depth++
    return line
  }

  private immediates(opcode: number, name: string): string {
    if (LOCALS.includes(opcode)) return ` ${this.unsigned()}`
    if (BRANCHES.includes(opcode)) return ` ${this.unsigned()}`
    if (OPENING.includes(opcode)) return this.blockType()
    switch (opcode) {
      case W.i32_const: case W.i64_const: return ` ${this.signed()}`
      case W.br_table: return ` ${Array.from({ length: this.unsigned() + 1 }, () => this.unsigned()).join(' ')}`
      case W.call_indirect: return ` type ${this.unsigned()} table ${this.unsigned()}`
      case W.v128_const: case W.i8x16_shuffle: return ` ${this.hex(16)}`
      case W.memory_copy: return ` ${this.hex(2)}`
      case W.memory_fill: return ` ${this.hex(1)}`
      default: return this.memoryOrLane(name)
    }
  }

  private memoryOrLane(name: string): string {
    let text = ''
    if (/(load|store|atomic\.?_?rmw|rmw)/.test(name)) {
      this.unsigned()
      const offset = this.unsigned()
      text = offset === 0 ? '' : ` offset=${offset}`
    }
    return /_lane(_[su])?$/.test(name) ? `${text} ${this.byte()}` : text
  }

  private blockType(): string {
    const type = this.byte()
    return type === BLOCK_VOID ? '' : ` (result ${TYPES.get(type) ?? '?'})`
  }

  private hex(count: number): string {
    const bytes = this.bytes.subarray(this.at, this.at + count)
    this.at += count
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
  }

  private byte(): number { return this.bytes[this.at++] }

  private unsigned(): number {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte()
      value += (byte & 0x7f) * 2 ** shift
      if ((byte & 0x80) === 0) return value
    }
  }

  private signed(): bigint {
    let value = 0n
    let shift = 0n
    for (;;) {
      const byte = this.byte()
      value |= BigInt(byte & 0x7f) << shift
      shift += 7n
      if ((byte & 0x80) === 0) return BigInt.asIntN(Number(shift), value)
    }
  }
}
