import { recordFault, Vector } from '../mmu/faults.ts'
import type { LinearMemory } from '../mmu/linear-memory.ts'
import { Block, Slot } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import { Cr0, isReal } from '../system/mode.ts'
import { HelperOutcome } from '../system/outcome.ts'
import { fldenv, fnsave, fnstenv, frstor, environmentSize, saveSize } from './environment.ts'
import type { EnvironmentLayout } from './environment.ts'
import { followError, waitsForError } from './error-pin.ts'
import type { ErrorReporter } from './error-pin.ts'
import { x87MemoryRow, x87RegisterRow } from './forms.ts'
import { X87 } from './registers.ts'

/**
 * The x87 instructions as the engine's helpers. Which one it is comes as its opcode: the first byte less D8, times 256, plus ModRM
 * (with mod and rm zero where the operand is memory). Slot.RIP is the instruction's address.
 *
 * The selectors of the last instruction and its operand are not kept: they read as zero, as CPUID leaf 7 announces (EBX bit 13).
 */

interface HelperContext extends ErrorReporter {
  readonly memory: LinearMemory
}
type X87Helper = (cpu: HelperContext) => number

let current: X87 | undefined

/** It holds nothing between instructions, so one is enough until another vCPU comes. */
function x87Of(state: VcpuState): X87 {
  if (current?.state !== state) current = new X87(state)
  return current
}

/** Arguments as 32-bit words. */
const argument = (state: VcpuState, n: number): number => state.blockU32(Block.ARGUMENTS + 16 * n)
const argument64 = (state: VcpuState, n: number): bigint => state.blockU64(Block.ARGUMENTS + 16 * n)

/** A pending exception stops a waiting instruction: with #MF, or with CR0.NE clear by an interrupt from outside. */
function stops(cpu: HelperContext, x87: X87): boolean {
  if (!x87.pending) return false
  if ((cpu.state.cr0 & Cr0.NE) === 0) return waitsForError(cpu)
  recordFault(cpu.state, Vector.MF, 0)
  return true
}

const checkMathFault: X87Helper = (cpu) => (stops(cpu, x87Of(cpu.state)) ? HelperOutcome.FAULT : HelperOutcome.OK)

function recordInstruction(state: VcpuState, opcode: number): void {
  const { u32, slot } = state
  u32[(slot + Slot.FIP) >> 2] = u32[(slot + Slot.RIP) >> 2]
  u32[(slot + Slot.FIP + 4) >> 2] = u32[(slot + Slot.RIP + 4) >> 2]
  state.setSlotU16(Slot.FOP, opcode & 0x7ff)
}

/** Control instructions leave the last instruction's pointers alone: FNOP's neighbours FNENI, FNDISI, FNCLEX, FNINIT, FNSETPM. */
const isControl = (opcode: number): boolean => (opcode & 0x7f8) === 0x3e0

/** A register form: the opcode, and whether FCMOVcc's condition holds. The result is FCOMI's flags. */
const x87Register: X87Helper = (cpu) => {
  const { state } = cpu
  const x87 = x87Of(state)
  const opcode = argument(state, 0)
  const row = x87RegisterRow(opcode >> 8, opcode & 0xff)!
  if (row.waits && stops(cpu, x87)) return HelperOutcome.FAULT
  if (!isControl(opcode)) recordInstruction(state, opcode)
  const flags = row.run(x87, opcode & 7, argument(state, 1) !== 0)
  followError(cpu)
  if (typeof flags === 'number') state.setBlockU32(Block.RESULT, flags)
  return HelperOutcome.OK
}

const FLDCW = 0x128

/**
 * A memory form, after `checkMathFault`: the operand, the opcode, and the operand's offset. A store's result is what to store, and in its last four bytes
 * whether to.
 */
const x87Memory: X87Helper = (cpu) => {
  const { state } = cpu
  const x87 = x87Of(state)
  const opcode = argument(state, 1)
  const row = x87MemoryRow(opcode >> 8, opcode >> 3 & 7)!
  if (opcode !== FLDCW) {
    recordInstruction(state, opcode)
    state.setSlotU64(Slot.FDP, argument64(state, 2))
  }
  const stored = row.run(x87) === true
  followError(cpu)
  if (row.store) state.setBlockU32(Block.RESULT + 12, Number(stored))
  return HelperOutcome.OK
}

// The environment and the whole state: the linear address, and the operand size.

function layoutOf(state: VcpuState): EnvironmentLayout {
  const wide = argument(state, 1) !== 16
  if (isReal(state)) return wide ? 'real32' : 'real16'
  return wide ? 'protected32' : 'protected16'
}

const image = new DataView(new ArrayBuffer(saveSize('protected32')))

type ImageWork = (x87: X87, view: DataView, at: number, layout: EnvironmentLayout) => void
type ImageSize = (layout: EnvironmentLayout) => number
type Probe = (address: bigint, size: number) => boolean

/** Whether both ends of an image can be accessed: it has at most two pages. A fault names the last byte, not the second page's first. */
const reaches = (probe: Probe, address: bigint, size: number): boolean => probe(address, 1) && probe(address + BigInt(size - 1), 1)

/** Memory is checked before the x87 changes. FNSTENV and FNSAVE do not wait. */
const storing = (work: ImageWork, size: ImageSize, wholeProbe: boolean): X87Helper => (cpu) => {
  const { state, memory } = cpu
  const layout = layoutOf(state)
  const address = argument64(state, 0)
  const probe: Probe = (at, count) => memory.probeWrite(at, count)
  if (!(wholeProbe ? probe(address, size(layout)) : reaches(probe, address, size(layout)))) return HelperOutcome.FAULT
  work(x87Of(state), image, 0, layout)
  followError(cpu)
  return memory.writeBytes(address, new Uint8Array(image.buffer, 0, size(layout))) ? HelperOutcome.OK : HelperOutcome.FAULT
}

const loading = (work: ImageWork, size: ImageSize): X87Helper => (cpu) => {
  const { state, memory } = cpu
  const x87 = x87Of(state)
  if (stops(cpu, x87)) return HelperOutcome.FAULT
  const layout = layoutOf(state)
  const address = argument64(state, 0)
  if (!reaches((at, count) => memory.probeRead(at, count), address, size(layout))) return HelperOutcome.FAULT
  if (!memory.readBytes(address, new Uint8Array(image.buffer, 0, size(layout)))) return HelperOutcome.FAULT
  work(x87, image, 0, layout)
  followError(cpu)
  return HelperOutcome.OK
}

export const x87Helpers: Readonly<Record<string, X87Helper>> = {
  checkMathFault,
  x87Register,
  x87Memory,
  FNSTENV: storing(fnstenv, environmentSize, true),
  FNSAVE: storing(fnsave, saveSize, false),
  FLDENV: loading(fldenv, environmentSize),
  FRSTOR: loading(frstor, saveSize),
}
