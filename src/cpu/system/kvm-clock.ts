import { gpa } from '../../base/addresses.ts'
import { Block } from '../state/layout.ts'
import type { Processor } from './processor.ts'

/**
 * KVM's paravirtual clock (Linux Documentation/virt/kvm/x86/msr.rst): the guest gives the physical address of a structure, and
 * reads from it how to turn the time stamp counter into nanoseconds, and what time it was at the clock's zero.
 *
 * Our counter runs at 1 GHz and never changes its rate, so the structures are written once.
 */

const WALL_CLOCK = 0x4b564d00
const SYSTEM_TIME = 0x4b564d01
/** Enables the system time structure. */
const ENABLE = 1n
/** ns = ((tsc << shift) * multiplier) >> 32, with a shift of one: 1 GHz. */
const MULTIPLIER = 0x80000000
const SHIFT = 1
const STABLE = 1

/** MSR_KVM_WALL_CLOCK: writes { version, seconds, nanoseconds } of the wall clock at time zero. */
export function writeWallClock(cpu: Processor, value: bigint): boolean {
  cpu.msrs.set(WALL_CLOCK, value)
  const { memory, startTime } = cpu.environment
  const at = Number(value)
  if (value === 0n || value >> 40n !== 0n) return value === 0n
  memory.writeU32(gpa(at + 4), Math.floor(startTime / 1000))
  memory.writeU32(gpa(at + 8), Math.floor(startTime % 1000 * 1e6))
  memory.writeU32(gpa(at), 2)
  return true
}

/** MSR_KVM_SYSTEM_TIME: bit 0 enables the structure at the address. */
export function writeSystemTime(cpu: Processor, value: bigint): boolean {
  if (value >> 40n !== 0n) return false
  cpu.msrs.set(SYSTEM_TIME, value)
  refreshSystemTime(cpu)
  return true
}

/** Writes the system time structure anew: after the counter was adjusted or the machine restored. */
export function refreshSystemTime(cpu: Processor): void {
  const value = cpu.msrs.get(SYSTEM_TIME)
  if ((value & ENABLE) === 0n) return
  const { memory } = cpu.environment
  const stamp = cpu.timeStamp()
  const at = Number(value & ~ENABLE)
  const version = (memory.readU32(gpa(at)) | 1) >>> 0
  memory.writeU32(gpa(at), version)
  memory.writeU64(gpa(at + 8), stamp)
  memory.writeU64(gpa(at + 16), BigInt.asUintN(64, stamp - cpu.state.blockU64(Block.TSC_ADJUST)))
  memory.writeU32(gpa(at + 24), MULTIPLIER)
  memory.writeU8(gpa(at + 28), SHIFT)
  memory.writeU8(gpa(at + 29), STABLE)
  memory.writeU32(gpa(at), version + 1)
}
