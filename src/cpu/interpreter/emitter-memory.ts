/** Operands, addresses and memory: the TLB's fast path in code, everything else by call (outlined) or by the slow path (inline). */
import { unreachable } from '../../base/errors.ts'
import { AccessKind } from '../mmu/mmu.ts'
import type { OperandSize } from '../decode/instruction.ts'
import { operandBits } from '../isa/operands.ts'
import { requiresAlignment } from '../isa/row.ts'
import { carrier } from '../semantics/ops.ts'
import type { Place, Size, Value } from '../semantics/ops.ts'
import { Block, Context, Segment, Slot } from '../state/layout.ts'
import type { FunctionBody } from '../wasm/assembler.ts'
import { ValueType, W } from '../wasm/opcodes.ts'
import { EmitterBase, LOADS, STORES } from './emitter-base.ts'
import type { TranslatedPlace } from './emitter-base.ts'
import { AddressClass } from './form.ts'
import { Record } from './record.ts'
import { ACCESS_KIND_SHIFT, NotInlinable } from './site.ts'

const { I32, I64, V128 } = ValueType

const KINDS = { read: AccessKind.READ, write: AccessKind.WRITE, modify: AccessKind.MODIFY } as const
const STACK_ACCESS = AccessKind.STACK << ACCESS_KIND_SHIFT
const accessWord = (size: Size, access: keyof typeof KINDS): number => size / 8 | (KINDS[access] << ACCESS_KIND_SHIFT)

export abstract class MemoryEmitter extends EmitterBase {
  // Operands.

  isMemory(n: number): boolean {
    const { method } = this.operands[n]
    if (method === 'M' || method === 'O') return true
    return (method === 'E' || method === 'W' || method === 'Q') && this.sample.instruction.mod !== 3
  }

  operandSize(n: number): Size {
    const spec = this.operands[n]
    return (spec.signExtended === true ? this.size : operandBits(spec, this.sample.instruction)) as Size
  }

  rd(n: number, size: Size = this.defaultSize(n)): Value {
    const spec = this.operands[n]
    if (this.isMemory(n)) return this.ldPlace(this.operandPlace(n, size))
    if (spec.method === 'constant') return this.k(spec.constant ?? 0, carrier(size))
    if (spec.method === 'I' || spec.method === 'A') return this.recordField(Record.IMMEDIATE, LOADS[size], carrier(size))
    const register = this.registerPlace(n)
    return this.loadAt(register.address, size, register.offset)
  }

  wr(n: number, value: Value, size: Size = this.defaultSize(n)): void {
    if (this.isMemory(n)) {
      this.stPlace(this.operandPlace(n, size), value)
      return
    }
    const { address, offset } = this.registerPlace(n)
    if (!this.isVector(n)) return this.stageGeneral(address, offset, size, value)
    this.stageStore(address, size, value.type === V128 ? value : this.fit(value, carrier(size)), offset)
    // Sign and exponent of the x87 register that holds an MMX register become all ones (SDM Vol. 1 §9.5.1).
    if (this.isMmx(n)) this.stageStore(address, 16, this.i32(0xffff), offset + 8)
  }

  rdHigh(n: number): Value {
    if (!this.isMemory(n)) return this.loadAt(this.registerPlace(n).address, 128, 16)
    return this.let(this.loadAt(this.operandPlace(n, 256).address, 128, 16))
  }

  wrHigh(n: number, value: Value): void {
    if (!this.isMemory(n)) return this.stageStore(this.registerPlace(n).address, 128, value, 16)
    this.storesMemory = true
    this.stageStore(this.operandPlace(n, 256).address, 128, value, 16)
  }

  touch(n: number): void { if (this.isMemory(n)) this.operandPlace(n, this.defaultSize(n)) }

  protected defaultSize(n: number): Size { return this.isMmx(n) ? 64 : this.operandSize(n) }
  protected isMmx(n: number): boolean { return 'PQN'.includes(this.operands[n].method) && !this.isMemory(n) }
  protected isVector(n: number): boolean { return 'VWUHLPQN'.includes(this.operands[n].method) }

  /** Where a register operand is: fixed registers are at constant offsets of the slot, others where the record says. */
  protected registerPlace(n: number): { address: Value; offset: number } {
    const spec = this.operands[n]
    switch (spec.method) {
      case 'register': return { address: this.cpuValue, offset: Slot.GPR + (spec.register ?? 0) * 8 }
      case 'G': case 'V': case 'P': return { address: this.recordField(Record.REG, W.i32_load16_u), offset: 0 }
      case 'H': case 'B': return { address: this.recordField(Record.VVVV, W.i32_load16_u), offset: 0 }
      case 'L': return { address: this.recordField(Record.IMMEDIATE_REGISTER, W.i32_load16_u), offset: 0 }
      case 'E': case 'R': case 'Z': case 'W': case 'U': case 'Q': case 'N':
        return { address: this.recordField(Record.RM, W.i32_load16_u), offset: 0 }
      default: return unreachable(`${this.sample.row.mnemonic}: operand ${n} is no register`)
    }
  }

  registerNumber(n: number): Value {
    const spec = this.operands[n]
    if (spec.register !== undefined) return this.i32(spec.register)
    const field = 'GVPSCD'.includes(spec.method) ? Record.REG : 'HB'.includes(spec.method) ? Record.VVVV : Record.RM
    const raw = this.recordField(field, W.i32_load16_u)
    if ('SCD'.includes(spec.method) || spec.method === 'ST') return raw
    const [first, shift] = 'VWUH'.includes(spec.method) ? [Slot.YMM, 5] : 'PQN'.includes(spec.method) ? [Slot.X87, 4] : [Slot.GPR, 3]
    return this.shr(this.sub(this.sub(raw, this.cpuValue), this.i32(first)), this.i32(shift))
  }

  /** The record has the address of the segment's base, or of a zero that stands for it. */
  memorySegment(): Value {
    const offset = this.let(this.sub(this.recordField(Record.SEGMENT, W.i32_load16_u), this.cpuValue))
    const number = this.shr(this.sub(offset, this.i32(Slot.SEGMENT_BASE)), this.i32(3))
    if (this.mode !== 64) return number
    const isBase = this.compare('lt_u', this.sub(offset, this.i32(Slot.SEGMENT_BASE)), this.i32(48))
    const zero = this.select(this.eq(offset, this.i32(Slot.STACK_ZERO)), this.i32(Segment.SS), this.i32(Segment.DS))
    return this.select(isBase, number, zero)
  }
  vectorIndex(): Value { return this.recordField(Record.IMMEDIATE, W.i32_load) }
  immediate2(): Value { return this.recordField(Record.LINK, W.i32_load) }

  // Addresses.

  offset(_n: number): Value {
    if (this.operands[_n].method === 'O') return this.recordField(Record.IMMEDIATE, W.i64_load, I64)
    const base = this.loadAt(this.recordField(Record.BASE, W.i32_load16_u), 64)
    const displaced = this.add(base, this.recordField(Record.DISPLACEMENT, W.i64_load32_s, I64))
    if (this.sample.shape.address === AddressClass.BASE) return displaced
    const index = this.loadAt(this.recordField(Record.INDEX, W.i32_load16_u), 64)
    return this.wrapAddress(this.add(displaced, this.shl(index, this.recordField(Record.SCALE, W.i64_load8_u, I64))))
  }

  linear(n: number): Value {
    const { address } = this.sample.shape
    if (address === AddressClass.BASE || address === AddressClass.INDEX) return this.offset(n)
    const access = this.writes(n) ? 'write' : 'read'
    const size = this.operandSize(n)
    return this.segmentedData(this.let(this.offset(n)), size <= 256 && size > 0 ? size : 8, access)
  }

  protected writes(n: number): boolean {
    const access = this.sample.definition.access[n]
    return access === 'w' || access === 'rw'
  }

  wrapAddress(value: Value): Value {
    if (this.address64) return value
    if (this.mode === 64) return this.zx(value, 32)
    // Bit 7 of the scale says that addresses have 16 bits.
    const narrow = this.shr(this.and(this.recordField(Record.SCALE, W.i32_load8_u), this.i32(0x80)), this.i32(3))
    return this.and(value, this.extend(this.shr(this.i32(-1), narrow), false))
  }

  addressReg(register: number): Value { return this.wrapAddress(this.reg(register, 64)) }

  setAddressReg(register: number, value: Value): void {
    if (this.mode === 64) {
      this.setReg(register, 64, this.wrapAddress(value))
      return
    }
    // A 16-bit address register keeps its high half, a 32-bit one has none worth keeping.
    const mask = this.wrapAddress(this.i64(-1))
    this.setReg(register, 64, this.or(this.and(this.reg(register, 64), this.not(mask)), this.and(value, mask)))
  }

  segmented(segment: number, offset: Value, size: Size, access: 'read' | 'write'): Value {
    const base = this.slotValue(Slot.SEGMENT_BASE + segment * 8, 64)
    if (this.mode === 64) return segment >= Segment.FS ? this.add(offset, base) : offset
    return this.checkedLinear(this.i32(segment), base, this.let(offset), size, access)
  }

  segmentedData(offset: Value, size: Size, access: 'read' | 'write'): Value {
    const address = this.recordField(Record.SEGMENT, W.i32_load16_u)
    const base = this.loadAt(address, 64)
    if (this.mode === 64) return this.add(offset, base)
    const segment = this.shr(this.sub(this.sub(address, this.cpuValue), this.i32(Slot.SEGMENT_BASE)), this.i32(3))
    return this.checkedLinear(this.let(segment), base, this.let(offset), size, access)
  }

  protected checkedLinear(segment: Value, base: Value, offset: Value, size: Size, access: 'read' | 'write'): Value {
    const { f } = this
    this.and(this.shr(this.slotValue(Slot.SEGMENT_CHECKS, 32), segment), this.i32(1)).emit(f)
    this.callIf(() => {
      segment.emit(f)
      this.wrap(offset).emit(f)
      f.i32(accessWord(size, access)).call(this.functions.checkSegment)
      f.op(W.i32_eqz).if()
      this.leave()
      f.end()
    })
    return this.let(this.zx(this.add(base, offset), 32))
  }

  /** With a condition on the stack: runs code that calls (outlined), or goes to the slow path (inline). */
  protected callIf(body: () => void): void {
    const { f, site } = this
    if (site.slow !== undefined) {
      f.brIf(site.slow)
      return
    }
    f.if()
    body()
    f.end()
  }

  /** Leaves an outlined handler: the reason is in the slot. */
  protected leave(): void { this.f.i32(0).op(W.return) }

  // Memory.

  protected operandPlace(n: number, part: Size): TranslatedPlace {
    const known = this.places.get(n)
    if (known !== undefined) return known
    const size = this.operandSize(n) === 256 ? 256 : part
    const linear = this.let(this.linear(n))
    if (size >= 128 && this.isVector(n) && requiresAlignment(this.sample.row)) {
      this.raiseIf(this.ne(this.and(linear, this.i64(size / 8 - 1)), this.i64(0)), 13, 0)
    }
    const access = this.sample.definition.access[n]
    const place = this.place(linear, size, access === 'rw' ? 'modify' : access === 'w' ? 'write' : 'read')
    this.places.set(n, place)
    return place
  }

  place(linear: Value, size: Size, access: 'read' | 'write' | 'modify', stack = false): TranslatedPlace {
    const { f, site } = this
    const table = access === 'read' ? Context.READ_TLB : Context.WRITE_TLB
    if (access !== 'read') this.translated = true
    const address = this.let(linear)
    const low = this.wrap(address)
    const entry = this.temporary(I32)
    const found = this.temporary(I32)
    this.and(this.shr(low, this.i32(8)), this.i32(0xfff0)).emit(f)
    f.get(site.context).op(W.i32_add).tee(entry).memory(W.i32_load, table + 8)
    low.emit(f)
    f.op(W.i32_add).set(found)
    f.get(entry).memory(W.i64_load, table)
    this.and(this.add(address, this.i64(size / 8 - 1)), this.i64(-4096)).emit(f)
    f.op(W.i64_ne)
    this.callIf(() => {
      low.emit(f)
      this.wrap(this.shr(address, this.i64(32))).emit(f)
      f.i32(accessWord(size, access) | (stack ? STACK_ACCESS : 0)).get(site.record).call(this.functions.access)
      f.tee(found).op(W.i32_eqz).if()
      this.leave()
      f.end()
    })
    return { size, address: this.local(I32, found), local: found }
  }

  ldPlace(place: TranslatedPlace): Value {
    const value = this.let(this.loadAt(place.address, place.size))
    place.loaded = value
    return value
  }

  stPlace(place: TranslatedPlace, value: Value): void {
    this.storesMemory = true
    const fitted = value.type === V128 ? value : this.fit(value, carrier(place.size))
    if (this.locked && this.site.kind === 'inline') throw new NotInlinable()
    if (this.locked && place.loaded !== undefined && place.size !== 128) this.locking.push({ place, value: this.let(fitted) })
    else this.stageStore(place.address, place.size, fitted)
  }

  ld(linear: Value, size: Size, stack = false): Value { return this.ldPlace(this.place(linear, size, 'read', stack)) }
  st(linear: Value, size: Size, value: Value, stack = false): void { this.stPlace(this.place(linear, size, 'write', stack), value) }

  copyRun(source: Value, destination: Value, count: Value, size: OperandSize): Value {
    const from = this.let(source)
    const to = this.let(destination)
    const read = this.place(from, size, 'read')
    const write = this.place(to, size, 'write')
    // A destination less than a run behind the source would be read back by a byte-wise copy.
    const overlaps = this.compare('lt_u', this.sub(write.address, read.address), this.i32(4096))
    const single = this.or(this.or(this.isScratch(read), this.isScratch(write)), overlaps)
    const done = this.runLength([from, to], count, size, single)
    this.stageBulk(done, size, write, this.loadAt(read.address, size), (f, bytes) => {
      f.get(write.local).get(read.local)
      bytes.emit(f)
      f.memoryCopy()
    })
    return done
  }

  fillRun(destination: Value, value: Value, count: Value, size: OperandSize): Value {
    const to = this.let(destination)
    const write = this.place(to, size, 'write')
    // Only a value whose bytes are all the same can be filled in one go.
    const byte = this.and(value, this.k(255, value.type))
    const splat = this.mul(byte, this.k(0x0101010101010101n & ((1n << BigInt(size)) - 1n), value.type))
    const single = this.or(this.isScratch(write), size === 8 ? this.i32(0) : this.ne(splat, value))
    const done = this.runLength([to], count, size, single)
    this.stageBulk(done, size, write, value, (f, bytes) => {
      f.get(write.local)
      this.wrap(byte).emit(f)
      bytes.emit(f)
      f.memoryFill()
    })
    return done
  }

  protected isScratch(place: Place): Value {
    const start = this.add(this.slotValue(Slot.BLOCK, 32), this.i32(Block.SCRATCH))
    const scratch = this.compare('lt_u', this.sub(place.address, start), this.i32(Block.SCRATCH_SIZE))
    // A watched page is written in place, but only as many bytes as were announced.
    return this.or(scratch, this.ne(this.slotValue(Slot.SLOW_STORES, 32), this.i32(0)))
  }

  /** Elements (I64) from the first of `addresses` up to the end of a page or `count`; one where `single`, or the direction is down. */
  protected runLength(addresses: Value[], count: Value, size: OperandSize, single: Value): Value {
    const bytes = size / 8
    const down = this.and(this.field('SYSTEM_FLAGS'), this.i32(0x400))
    let elements = count
    for (const address of addresses) {
      const room = this.let(this.shr(this.sub(this.i64(4096), this.and(address, this.i64(4095))), this.i64(Math.log2(bytes))))
      elements = this.let(this.select(this.compare('lt_u', room, elements), room, elements))
    }
    // An element that crosses a page leaves no room for a whole one: it is in scratch, and done alone.
    return this.let(this.select(this.or(this.or(single, down), this.eqz(elements)), this.i64(1), elements))
  }

  /** One element as a plain store, more of them by `bulk`. */
  protected stageBulk(done: Value, size: OperandSize, to: TranslatedPlace, one: Value, bulk: (f: FunctionBody, bytes: Value) => void): void {
    this.storesMemory = true
    const bytes = this.let(this.mul(this.wrap(done), this.i32(size / 8)))
    this.staged.push({
      before: () => {},
      after: (f) => {
        this.ne(bytes, this.i32(size / 8)).emit(f)
        f.if()
        bulk(f, bytes)
        f.else().get(to.local)
        one.emit(f)
        f.memory(STORES[size], 0).end()
      },
    })
  }
}
