/**
 * AVX instructions that are SSE's, 128 bits at a time: the definition of the SSE instruction is emitted once for each half, and sees the
 * operands of that half as if they were its own.
 */
import type { OperandSpec } from '../../isa/operands.ts'
import type { OperandSize } from '../../decode/instruction.ts'
import type { FlagKindName } from '../../state/flags.ts'
import type { ValueTypeCode } from '../../wasm/opcodes.ts'
import { unreachable } from '../../../base/errors.ts'
import { define, definitionOf } from '../define.ts'
import { Ops } from '../ops.ts'
import type { Condition, FieldName, HelperOptions, Place, Size, Value } from '../ops.ts'
import { writeParts } from './operands.ts'

/** Operand `n` of the SSE instruction is operand `positions[n]` of the AVX one; what is written to operand 0 is kept in `result`. */
class LaneView extends Ops {
  readonly mode: 64 | 32
  readonly size: OperandSize
  readonly address64: boolean
  readonly locked: boolean
  readonly repeat: 0 | 1 | 2
  readonly condition: Condition
  readonly operands: readonly OperandSpec[]
  result: Value | undefined
  private readonly o: Ops
  private readonly positions: readonly number[]
  private readonly half: number

  constructor(o: Ops, positions: readonly number[], half: number) {
    super()
    this.o = o
    this.positions = positions
    this.half = half
    this.mode = o.mode
    this.size = o.size
    this.address64 = o.address64
    this.locked = o.locked
    this.repeat = o.repeat
    this.condition = o.condition
    this.operands = positions.map((position) => o.operands[position])
  }

  rd(n: number, size?: Size): Value {
    const position = this.positions[n]
    if (this.o.operandSize(position) !== 256) return this.o.rd(position, size)
    return this.half === 0 ? this.o.rd(position, 128) : this.o.rdHigh(position)
  }
  wr(n: number, value: Value): void {
    if (n !== 0) unreachable('an instruction in lanes writes its first operand only')
    this.result = value
  }
  operandSize(n: number): Size {
    const size = this.o.operandSize(this.positions[n])
    return size === 256 ? 128 : size
  }

  isMemory(n: number): boolean { return this.o.isMemory(this.positions[n]) }
  rdHigh(n: number): Value { return this.o.rdHigh(this.positions[n]) }
  wrHigh(n: number, value: Value): void { this.o.wrHigh(this.positions[n], value) }
  touch(n: number): void { this.o.touch(this.positions[n]) }
  offset(n: number): Value { return this.o.offset(this.positions[n]) }
  linear(n: number): Value { return this.o.linear(this.positions[n]) }
  registerNumber(n: number): Value { return this.o.registerNumber(this.positions[n]) }
  memorySegment(): Value { return this.o.memorySegment() }
  vectorIndex(): Value { return this.o.vectorIndex() }
  immediate2(): Value { return this.o.immediate2() }
  reg(register: number, size: OperandSize): Value { return this.o.reg(register, size) }
  setReg(register: number, size: OperandSize, value: Value): void { this.o.setReg(register, size, value) }
  xmm(register: number): Value { return this.o.xmm(register) }
  setXmm(register: number, value: Value): void { this.o.setXmm(register, value) }
  setXmmHigh(register: number, value: Value): void { this.o.setXmmHigh(register, value) }
  field(name: FieldName): Value { return this.o.field(name) }
  setField(name: FieldName, value: Value): void { this.o.setField(name, value) }
  ld(linear: Value, size: Size, stack?: boolean): Value { return this.o.ld(linear, size, stack) }
  st(linear: Value, size: Size, value: Value, stack?: boolean): void { this.o.st(linear, size, value, stack) }
  place(linear: Value, size: Size, access: 'read' | 'write', stack?: boolean): Place { return this.o.place(linear, size, access, stack) }
  ldPlace(place: Place): Value { return this.o.ldPlace(place) }
  stPlace(place: Place, value: Value): void { this.o.stPlace(place, value) }
  copyRun(source: Value, destination: Value, count: Value, size: OperandSize): Value {
    return this.o.copyRun(source, destination, count, size)
  }
  fillRun(destination: Value, value: Value, count: Value, size: OperandSize): Value { return this.o.fillRun(destination, value, count, size) }
  segmented(segment: number, offset: Value, size: Size, access: 'read' | 'write'): Value {
    return this.o.segmented(segment, offset, size, access)
  }
  segmentedData(offset: Value, size: Size, access: 'read' | 'write'): Value { return this.o.segmentedData(offset, size, access) }
  addressReg(register: number): Value { return this.o.addressReg(register) }
  setAddressReg(register: number, value: Value): void { this.o.setAddressReg(register, value) }
  wrapAddress(value: Value): Value { return this.o.wrapAddress(value) }
  flags(kind: FlagKindName, size: OperandSize, a: Value, b: Value, count?: Value): void { this.o.flags(kind, size, a, b, count) }
  flagsCO(carry: Value, overflow: Value, adjust?: Value, when?: Value): void { this.o.flagsCO(carry, overflow, adjust, when) }
  setArithmeticFlags(value: Value): void { this.o.setArithmeticFlags(value) }
  arithmeticFlags(): Value { return this.o.arithmeticFlags() }
  cond(condition: Condition): Value { return this.o.cond(condition) }
  jump(n: number): void { this.o.jump(n) }
  jumpTo(target: Value): void { this.o.jumpTo(target) }
  jumpIf(condition: Value, n: number): void { this.o.jumpIf(condition, n) }
  nextIp(): Value { return this.o.nextIp() }
  raiseIf(condition: Value, vector: number, errorCode?: number): void { this.o.raiseIf(condition, vector, errorCode) }
  skipIf(condition: Value): void { this.o.skipIf(condition) }
  again(condition: Value): void { this.o.again(condition) }
  let(value: Value): Value { return this.o.let(value) }
  choose(condition: Value, type: ValueTypeCode, then: () => Value, otherwise: () => Value): Value {
    return this.o.choose(condition, type, then, otherwise)
  }
  chooseCommon(condition: Value, type: ValueTypeCode, common: () => Value, rare: () => Value): Value {
    return this.o.chooseCommon(condition, type, common, rare)
  }
  fold(count: Value, initial: Value, step: (n: Value, before: Value) => Value): Value { return this.o.fold(count, initial, step) }
  helper(name: string, args: readonly Value[], options?: HelperOptions): Value { return this.o.helper(name, args, options) }
}

/**
 * Defines `V` + `mnemonic` from the SSE instruction that is already defined. Where that reads its destination, AVX has an operand more:
 * the first source.
 */
export function defineInLanes(mnemonic: string): void {
  const { access, emit } = definitionOf(mnemonic) ?? unreachable(`${mnemonic} is not defined`)
  const reads = access[0] === 'rw'
  const positions = access.map((_, n) => (reads ? n + 1 : n))
  define(`V${mnemonic}`, ['w', ...access.slice(reads ? 0 : 1).map(() => 'r')].join(','), (o) => {
    const parts = o.operandSize(0) === 256 ? [0, 1] : [0]
    writeParts(o, 0, parts.map((half) => {
      const view = new LaneView(o, positions, half)
      emit(view)
      return o.let(view.result ?? unreachable(`${mnemonic} writes nothing`))
    }))
  })
}
