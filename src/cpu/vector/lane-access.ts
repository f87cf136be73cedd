import { Vector } from '../mmu/faults.ts'
import type { LinearMemory } from '../mmu/linear-memory.ts'
import { Segment, Slot } from '../state/layout.ts'
import type { SegmentIndex } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import { is64Bit } from '../system/mode.ts'

/** Memory for instructions that access it lane by lane, with segments checked for each lane. */

/** What helpers need of a processor. */
export interface MemoryContext {
  readonly state: VcpuState
  readonly memory: LinearMemory
  checkSegment(segment: number, offset: number, size: number, write: boolean): boolean
}

/** A segment, and an offset in it. */
export interface LaneAddress { readonly segment: SegmentIndex; readonly offset: bigint }

/** The linear address, or undefined with a fault recorded. */
function linearOf(cpu: MemoryContext, { segment, offset }: LaneAddress, size: number, write: boolean): bigint | undefined {
  const { state } = cpu
  if (is64Bit(state)) return BigInt.asUintN(64, segment >= Segment.FS ? offset + state.segmentBase(segment) : offset)
  if (!cpu.checkSegment(segment, Number(offset), size, write)) return undefined
  return BigInt.asUintN(32, offset + state.segmentBase(segment))
}

/** Runs `access` on a lane's linear address; false means that a fault is recorded. */
function accessLane(
  cpu: MemoryContext, lane: LaneAddress, size: number, write: boolean, access: (linear: bigint) => boolean,
): boolean {
  const linear = linearOf(cpu, lane, size, write)
  if (linear === undefined) return false
  if (access(linear)) return true
  // What is not canonical is the stack's fault where the stack segment is addressed (SDM Vol. 3A §6.15, #SS).
  const { state } = cpu
  if (is64Bit(state) && lane.segment === Segment.SS && state.slotU32(Slot.EXIT_VECTOR) === Vector.GP) state.setSlotU32(Slot.EXIT_VECTOR, Vector.SS)
  return false
}

export const loadLane = (cpu: MemoryContext, lane: LaneAddress, into: Uint8Array): boolean =>
  accessLane(cpu, lane, into.length, false, (linear) => cpu.memory.readBytes(linear, into))
export const probeLane = (cpu: MemoryContext, lane: LaneAddress, size: number): boolean =>
  accessLane(cpu, lane, size, true, (linear) => cpu.memory.probeWrite(linear, size))
export const storeLane = (cpu: MemoryContext, lane: LaneAddress, from: Uint8Array): boolean =>
  accessLane(cpu, lane, from.length, true, (linear) => cpu.memory.writeBytes(linear, from))
