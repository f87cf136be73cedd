/** A vector's state to a vCPU's and back. */
import { readFlags, writeFlags } from '../../../src/cpu/state/flags.ts'
import { Block, Slot } from '../../../src/cpu/state/layout.ts'
import type { SegmentIndex } from '../../../src/cpu/state/layout.ts'
import type { VcpuState } from '../../../src/cpu/state/vcpu-state.ts'
import { baseOf, descriptorOf } from '../environment.ts'
import { selector, Word } from '../state.ts'
import type { CodeSize, State } from '../state.ts'

interface SegmentContent { readonly base: bigint; readonly limit: number; readonly attributes: number }
const contents = new Map<number, SegmentContent>()

/** What loading a selector puts into a segment register. */
function contentOf(selectorValue: number): SegmentContent {
  const known = contents.get(selectorValue)
  if (known !== undefined) return known
  const descriptor = descriptorOf(selectorValue)
  const limit = Number(descriptor & 0xffffn | descriptor >> 32n & 0xf0000n)
  const granular = (descriptor >> 55n & 1n) !== 0n
  const content = {
    base: baseOf(descriptor), limit: granular ? limit * 4096 + 4095 : limit, attributes: Number(descriptor >> 40n & 0xf0ffn),
  }
  contents.set(selectorValue, content)
  return content
}

/** Puts a vector's state into the vCPU, at CPL 3. The caller tells the MMU. */
export function loadState(vcpu: VcpuState, state: State, mode: CodeSize): void {
  for (let n = 0; n < 16; n++) vcpu.setGpr(n, state[Word.GPR + n])
  vcpu.rip = state[Word.RIP]
  vcpu.setBlockU32(Block.CPL, 3)
  writeFlags(vcpu, Number(state[Word.RFLAGS]))
  loadSegments(vcpu, state, mode)
  loadFloatingPoint(vcpu, state)
  vcpu.setSlotU32(Slot.PENDING, 0)
  vcpu.setSlotU32(Slot.INTERRUPT_SHADOW, 0)
}

function loadSegments(vcpu: VcpuState, state: State, mode: CodeSize): void {
  for (let n = 0; n < 6; n++) {
    const index = n as SegmentIndex
    const value = selector(state, n)
    const { base, limit, attributes } = contentOf(value)
    vcpu.setSegmentSelector(index, value)
    vcpu.setSegmentBase(index, base)
    vcpu.setSegmentLimit(index, limit)
    vcpu.setSegmentAttributes(index, attributes)
  }
  if (mode !== 64) return
  vcpu.setSegmentBase(4, state[Word.FS_BASE])
  vcpu.setSegmentBase(5, state[Word.GS_BASE])
}

function loadFloatingPoint(vcpu: VcpuState, state: State): void {
  vcpu.setSlotU64(Slot.FCW, state[Word.X87] & 0xff_ffff_ffffn)
  vcpu.setSlotU64(Slot.FIP, 0n)
  vcpu.setSlotU64(Slot.FDP, 0n)
  vcpu.setSlotU32(Slot.FCS, 0)
  vcpu.setSlotU32(Slot.MXCSR, Number(state[Word.MXCSR]))
  for (let n = 0; n < 16; n++) {
    vcpu.setSlotU64(Slot.X87 + n * 8, state[Word.STACK + n])
    vcpu.setSlotU64(Slot.YMM + n * 32, state[Word.XMM + n * 2])
    vcpu.setSlotU64(Slot.YMM + n * 32 + 8, state[Word.XMM + n * 2 + 1])
    vcpu.setSlotU64(Slot.YMM + n * 32 + 16, state[Word.YMM_HIGH + n * 2])
    vcpu.setSlotU64(Slot.YMM + n * 32 + 24, state[Word.YMM_HIGH + n * 2 + 1])
  }
}

/** The vCPU's state as a vector has it, written into `state`. */
export function storeState(vcpu: VcpuState, state: State): void {
  for (let n = 0; n < 16; n++) state[Word.GPR + n] = vcpu.gpr(n)
  state[Word.RIP] = vcpu.rip
  state[Word.RFLAGS] = BigInt(readFlags(vcpu))
  state[Word.SELECTORS] = selectors(vcpu, [0, 1, 2, 3])
  state[Word.SELECTORS_FS_GS] = selectors(vcpu, [4, 5])
  state[Word.FS_BASE] = vcpu.segmentBase(4)
  state[Word.GS_BASE] = vcpu.segmentBase(5)
  state[Word.X87] = vcpu.slotU64(Slot.FCW) & 0xff_ffff_ffffn
  state[Word.MXCSR] = BigInt(vcpu.slotU32(Slot.MXCSR))
  for (let n = 0; n < 16; n++) {
    state[Word.STACK + n] = (n & 1) === 0 ? vcpu.slotU64(Slot.X87 + n * 8) : BigInt(vcpu.slotU16(Slot.X87 + n * 8))
    state[Word.XMM + n * 2] = vcpu.slotU64(Slot.YMM + n * 32)
    state[Word.XMM + n * 2 + 1] = vcpu.slotU64(Slot.YMM + n * 32 + 8)
    state[Word.YMM_HIGH + n * 2] = vcpu.slotU64(Slot.YMM + n * 32 + 16)
    state[Word.YMM_HIGH + n * 2 + 1] = vcpu.slotU64(Slot.YMM + n * 32 + 24)
  }
}

function selectors(vcpu: VcpuState, segments: readonly SegmentIndex[]): bigint {
  return segments.reduce((word, segment, n) => word | BigInt(vcpu.segmentSelector(segment)) << BigInt(16 * n), 0n)
}
