import { Vector } from '../mmu/faults.ts'
import { OPERAND } from '../mmu/linear-memory.ts'
import { Segment } from '../state/layout.ts'
import { Gpr } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import { attributesOf, baseOf, isBig, limitOf } from './descriptors.ts'
import type { Descriptor } from './descriptors.ts'
import { canonical, is64Bit, stackBits } from './mode.ts'
import type { Processor } from './processor.ts'
import { insideLimit } from './segmentation.ts'

/** What a stack pointer moves in: the segment of SS, or 64-bit mode's flat space. */
interface StackSegment {
  readonly base: bigint
  readonly limit: number
  readonly attributes: number
  /** Width of the pointer. */
  readonly bits: 16 | 32 | 64
  /** Error code of #SS when the stack does not suffice: 0, or the selector of a stack that is being switched to. */
  readonly error: number
}

/**
 * A stack that a transfer pushes to or pops from. The pointer moves here alone; `commit` puts it into RSP once nothing can fault
 * any more. Memory below the pointer may have been written when a push faults, as on the processor.
 */
export class Stack {
  pointer: bigint
  private readonly cpu: Processor
  private readonly segment: StackSegment
  private readonly context: number

  private constructor(cpu: Processor, segment: StackSegment, pointer: bigint, context: number) {
    this.cpu = cpu
    this.segment = segment
    this.pointer = BigInt.asUintN(segment.bits, pointer)
    this.context = context
  }

  /** The stack in use, as the current privilege level. */
  static current(cpu: Processor): Stack {
    const { state } = cpu
    const segment = {
      base: is64Bit(state) ? 0n : state.segmentBase(Segment.SS), limit: state.segmentLimit(Segment.SS),
      attributes: state.segmentAttributes(Segment.SS), bits: stackBits(state), error: 0,
    }
    return new Stack(cpu, segment, state.rsp, OPERAND)
  }

  /** The stack of a privilege level that is being entered, 16 or 32 bits wide by its descriptor. */
  static switched(cpu: Processor, descriptor: Descriptor, selector: number, pointer: bigint, cpl: number): Stack {
    const segment = {
      base: baseOf(descriptor), limit: limitOf(descriptor), attributes: attributesOf(descriptor),
      bits: isBig(descriptor) ? 32 as const : 16 as const, error: selector & 0xfffc,
    }
    return new Stack(cpu, segment, pointer, contextOf(cpu, cpl))
  }

  /** A stack in 64-bit mode, for the privilege level given. */
  static flat(cpu: Processor, pointer: bigint, cpl: number): Stack {
    return new Stack(cpu, { base: 0n, limit: 0, attributes: 0, bits: 64, error: 0 }, pointer, contextOf(cpu, cpl))
  }

  /** Pushes the low 16, 32 or 64 bits of a value. */
  push(bits: number, value: bigint): boolean {
    const pointer = BigInt.asUintN(this.segment.bits, this.pointer - BigInt(bits >> 3))
    if (!this.inside(pointer, bits) || !this.cpu.memory.write(this.linear(pointer), bits, value, this.context)) return false
    this.pointer = pointer
    return true
  }

  /** The value popped, or -1n with a fault recorded. */
  pop(bits: number): bigint {
    const value = this.peek(bits)
    if (value >= 0n) this.skip(bits >> 3)
    return value
  }

  /** The value at the pointer, or -1n with a fault recorded. */
  peek(bits: number): bigint {
    return this.inside(this.pointer, bits) ? this.cpu.memory.read(this.linear(this.pointer), bits, this.context) : -1n
  }

  /** True if a value could be written at the pointer; false with a fault recorded. */
  probe(bits: number): boolean {
    return this.inside(this.pointer, bits) && this.cpu.memory.probeWrite(this.linear(this.pointer), bits >> 3, this.context)
  }

  /** Moves past `bytes` without reading them. */
  skip(bytes: number): void {
    this.pointer = BigInt.asUintN(this.segment.bits, this.pointer + BigInt(bytes))
  }

  /** Writes the pointer to RSP: as many bits as the stack has, the rest stays (16) or is cleared (32). */
  commit(): void {
    setStackPointer(this.cpu.state, this.segment.bits, this.pointer)
  }

  private inside(pointer: bigint, bits: number): boolean {
    const { segment } = this
    if (segment.bits === 64) return this.isCanonical(pointer, bits) || this.cpu.fault(Vector.SS, segment.error)
    return insideLimit(segment.attributes, segment.limit, Number(pointer), bits >> 3) || this.cpu.fault(Vector.SS, segment.error)
  }

  private isCanonical(pointer: bigint, bits: number): boolean {
    return canonical(pointer) && canonical(BigInt.asUintN(64, pointer + BigInt((bits >> 3) - 1)))
  }

  private linear(pointer: bigint): bigint {
    return this.segment.bits === 64 ? pointer : BigInt.asUintN(32, this.segment.base + pointer)
  }
}

export function setStackPointer(state: VcpuState, bits: 16 | 32 | 64, pointer: bigint): void {
  if (bits === 64) state.rsp = pointer
  else if (bits === 32) state.setGpr32(Gpr.RSP, Number(BigInt.asUintN(32, pointer)))
  else state.setGpr16(Gpr.RSP, Number(BigInt.asUintN(16, pointer)))
}

function contextOf(cpu: Processor, cpl: number): number {
  return cpl === 3 ? cpu.mmu.userContext : cpu.state.cpl === 3 ? cpu.mmu.supervisorContext : cpu.memory.context
}
