/** A small WebAssembly assembler: modules of functions over one imported memory (W3C WebAssembly Core 2.0, §5). */
import { BLOCK_VOID, ValueType, W } from './opcodes.ts'
import type { BlockType, ValueTypeCode } from './opcodes.ts'

/** Bytes under construction. */
export class ByteWriter {
  private buffer: Uint8Array
  length = 0

  constructor(capacity = 256) { this.buffer = new Uint8Array(capacity) }

  byte(value: number): void {
    if (this.length === this.buffer.length) this.reserve(1)
    this.buffer[this.length++] = value
  }

  bytes(values: ArrayLike<number>): void {
    this.reserve(values.length)
    this.buffer.set(values, this.length)
    this.length += values.length
  }

  /** Unsigned LEB128, up to 32 bits. */
  unsigned(value: number): void {
    let rest = value >>> 0
    while (rest >= 0x80) { this.byte((rest & 0x7f) | 0x80); rest >>>= 7 }
    this.byte(rest)
  }

  /** Signed LEB128 of a 32-bit value. */
  signed32(value: number): void {
    let rest = value | 0
    for (;;) {
      const low = rest & 0x7f
      rest >>= 7
      if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) { this.byte(low); return }
      this.byte(low | 0x80)
    }
  }

  /** Signed LEB128 of a 64-bit value. */
  signed64(value: bigint): void {
    let rest = BigInt.asIntN(64, value)
    if (rest >= -0x40000000n && rest < 0x40000000n) { this.signed32(Number(rest)); return }
    for (;;) {
      const low = Number(rest & 0x7fn)
      rest >>= 7n
      if ((rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)) { this.byte(low); return }
      this.byte(low | 0x80)
    }
  }

  text(value: string): void {
    this.unsigned(value.length)
    for (let i = 0; i < value.length; i++) this.byte(value.charCodeAt(i) & 0x7f)
  }

  /** What was written so far, as a view. */
  view(): Uint8Array { return this.buffer.subarray(0, this.length) }

  private reserve(count: number): void {
    if (this.length + count <= this.buffer.length) return
    const grown = new Uint8Array(Math.max(this.buffer.length * 2, this.length + count))
    grown.set(this.view())
    this.buffer = grown
  }
}

/** One function's body. Methods return `this`, so that short sequences read as one line. */
export class FunctionBody {
  readonly index: number
  readonly parameters: readonly ValueTypeCode[]
  readonly code = new ByteWriter()
  private readonly localTypes: ValueTypeCode[] = []
  private readonly insertions: { readonly at: number; readonly body: FunctionBody }[] = []
  /** Open blocks; branch targets are named by the depth at which they were opened. */
  depth = 0

  constructor(index: number, parameters: readonly ValueTypeCode[]) {
    this.index = index
    this.parameters = parameters
  }

  local(type: ValueTypeCode): number {
    this.localTypes.push(type)
    return this.parameters.length + this.localTypes.length - 1
  }

  op(opcode: number): this {
    if (opcode < 0x100) this.code.byte(opcode)
    else { this.code.byte(opcode >> 16); this.code.unsigned(opcode & 0xffff) }
    return this
  }

  /** An instruction with one immediate byte: a lane. */
  lane(opcode: number, lane: number): this { this.op(opcode); this.code.byte(lane); return this }
  bytes(opcode: number, immediate: ArrayLike<number>): this { this.op(opcode); this.code.bytes(immediate); return this }

  i32(value: number): this { this.code.byte(W.i32_const); this.code.signed32(value); return this }
  i64(value: bigint): this { this.code.byte(W.i64_const); this.code.signed64(value); return this }
  get(local: number): this { this.code.byte(W.local_get); this.code.unsigned(local); return this }
  set(local: number): this { this.code.byte(W.local_set); this.code.unsigned(local); return this }
  tee(local: number): this { this.code.byte(W.local_tee); this.code.unsigned(local); return this }

  /** A memory access with no alignment hint (none changes what V8 emits); atomics need their natural alignment, as log2. */
  memory(opcode: number, offset: number, align = 0): this {
    this.op(opcode)
    this.code.unsigned(align)
    this.code.unsigned(offset)
    return this
  }

  /** A memory access with a lane. */
  memoryLane(opcode: number, offset: number, lane: number): this { this.memory(opcode, offset); this.code.byte(lane); return this }

  block(type: BlockType = BLOCK_VOID): this { return this.open(W.block, type) }
  loop(type: BlockType = BLOCK_VOID): this { return this.open(W.loop, type) }
  if(type: BlockType = BLOCK_VOID): this { return this.open(W.if, type) }
  else(): this { this.code.byte(W.else); return this }
  end(): this { this.code.byte(W.end); this.depth--; return this }

  /** Branches to the block that was opened when `depth` became `target`. */
  br(target: number): this { this.code.byte(W.br); this.code.unsigned(this.depth - target); return this }
  brIf(target: number): this { this.code.byte(W.br_if); this.code.unsigned(this.depth - target); return this }
  brTable(targets: readonly number[], otherwise: number): this {
    this.code.byte(W.br_table)
    this.code.unsigned(targets.length)
    for (const target of targets) this.code.unsigned(this.depth - target)
    this.code.unsigned(this.depth - otherwise)
    return this
  }

  /** (destination, source, bytes) and (destination, byte, bytes), in memory 0. */
  memoryCopy(): this { return this.bytes(W.memory_copy, [0, 0]) }
  memoryFill(): this { return this.bytes(W.memory_fill, [0]) }

  call(functionIndex: number): this { this.code.byte(W.call); this.code.unsigned(functionIndex); return this }
  callIndirect(typeIndex: number, table = 0): this {
    this.code.byte(W.call_indirect)
    this.code.unsigned(typeIndex)
    this.code.unsigned(table)
    return this
  }

  /** Puts code, which declares no locals of its own, where `code.length` was `at`: each time further on. */
  insert(at: number, body: FunctionBody): void { this.insertions.push({ at, body }) }

  /** The body as it stands in the code section: locals, then code, then `end`. */
  encode(): Uint8Array {
    const out = new ByteWriter(this.code.length + 512)
    this.writeLocals(out)
    const code = this.code.view()
    let done = 0
    for (const { at, body } of this.insertions) {
      out.bytes(code.subarray(done, at))
      out.bytes(body.code.view())
      done = at
    }
    out.bytes(code.subarray(done))
    out.byte(W.end)
    return out.view()
  }

  private writeLocals(out: ByteWriter): void {
    const runs: [number, ValueTypeCode][] = []
    for (const type of this.localTypes) {
      const last = runs.at(-1)
      if (last !== undefined && last[1] === type) last[0]++
      else runs.push([1, type])
    }
    out.unsigned(runs.length)
    for (const [count, type] of runs) { out.unsigned(count); out.byte(type) }
  }

  private open(opcode: number, type: BlockType): this {
    this.code.byte(opcode)
    this.code.byte(type)
    this.depth++
    return this
  }
}

interface Import { module: string; name: string; kind: number; descriptor: number[] }

/** A module: imports first, then functions, tables, exports. */
export class ModuleBuilder {
  private readonly types: string[] = []
  private readonly typeBytes: number[][] = []
  private readonly imports: Import[] = []
  private importedFunctions = 0
  private readonly functions: { body: FunctionBody; type: number }[] = []
  private readonly exports: { name: string; kind: number; index: number }[] = []
  private readonly tables: number[] = []
  private readonly customSections: { name: string; content: Uint8Array }[] = []
  private readonly elements: { offset: number; functions: readonly number[] }[] = []

  type(parameters: readonly ValueTypeCode[], results: readonly ValueTypeCode[]): number {
    const key = `${parameters.join()}>${results.join()}`
    const known = this.types.indexOf(key)
    if (known >= 0) return known
    this.typeBytes.push([0x60, parameters.length, ...parameters, results.length, ...results])
    return this.types.push(key) - 1
  }

  /** Imports must all come before the first function. */
  importFunction(module: string, name: string, parameters: readonly ValueTypeCode[], results: readonly ValueTypeCode[]): number {
    this.imports.push({ module, name, kind: 0, descriptor: leb(this.type(parameters, results)) })
    return this.importedFunctions++
  }

  importSharedMemory(module: string, name: string, maximumPages: number): void {
    this.imports.push({ module, name, kind: 2, descriptor: [3, ...leb(1), ...leb(maximumPages)] })
  }

  function(parameters: readonly ValueTypeCode[], results: readonly ValueTypeCode[], exportAs?: string): FunctionBody {
    const body = new FunctionBody(this.importedFunctions + this.functions.length, parameters)
    this.functions.push({ body, type: this.type(parameters, results) })
    if (exportAs !== undefined) this.exports.push({ name: exportAs, kind: 0, index: body.index })
    return body
  }

  /** A table of functions; returns its index. Elements are for the first. */
  table(size: number, exportAs?: string): number {
    const index = this.tables.push(size) - 1
    if (exportAs !== undefined) this.exports.push({ name: exportAs, kind: 1, index })
    return index
  }
  customSection(name: string, content: Uint8Array): void { this.customSections.push({ name, content }) }
  element(offset: number, functions: readonly number[]): void { this.elements.push({ offset, functions }) }

  encode(): Uint8Array {
    const out = new ByteWriter(65536)
    out.bytes([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])
    section(out, 1, this.typeBytes.length, (w) => { for (const bytes of this.typeBytes) w.bytes(bytes) })
    section(out, 2, this.imports.length, (w) => {
      for (const { module, name, kind, descriptor } of this.imports) { w.text(module); w.text(name); w.byte(kind); w.bytes(descriptor) }
    })
    section(out, 3, this.functions.length, (w) => { for (const { type } of this.functions) w.unsigned(type) })
    section(out, 4, this.tables.length, (w) => { for (const size of this.tables) { w.byte(0x70); w.byte(0); w.unsigned(size) } })
    section(out, 7, this.exports.length, (w) => {
      for (const { name, kind, index } of this.exports) { w.text(name); w.byte(kind); w.unsigned(index) }
    })
    section(out, 9, this.elements.length, (w) => {
      for (const { offset, functions } of this.elements) {
        w.byte(0)
        w.byte(W.i32_const)
        w.signed32(offset)
        w.byte(W.end)
        w.unsigned(functions.length)
        for (const index of functions) w.unsigned(index)
      }
    })
    section(out, 10, this.functions.length, (w) => {
      for (const { body } of this.functions) {
        const bytes = body.encode()
        w.unsigned(bytes.length)
        w.bytes(bytes)
      }
    })
    for (const { name, content } of this.customSections) customSection(out, name, content)
    return out.view()
  }
}

function customSection(out: ByteWriter, name: string, content: Uint8Array): void {
  const body = new ByteWriter(content.length + 64)
  body.text(name)
  body.bytes(content)
  out.byte(0)
  out.unsigned(body.length)
  out.bytes(body.view())
}

function section(out: ByteWriter, id: number, count: number, write: (content: ByteWriter) => void): void {
  if (count === 0) return
  const content = new ByteWriter(1024)
  content.unsigned(count)
  write(content)
  out.byte(id)
  out.unsigned(content.length)
  out.bytes(content.view())
}

function leb(value: number): number[] {
  const writer = new ByteWriter(8)
  writer.unsigned(value)
  return [...writer.view()]
}

export { ValueType }
