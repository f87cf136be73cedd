import { Slot } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import type { X87 } from './registers.ts'

/**
 * The 512-byte legacy region of FXSAVE, FXRSTOR and the XSAVE family (SDM Vol. 1 §10.5.1, table 10-2), in its two parts: XSAVE's
 * component 0 (x87) and component 1 (SSE).
 */
export const LegacyRegion = {
  FCW: 0, FSW: 2, FTW: 4, FOP: 6, FIP: 8, FCS: 12, FDP: 16, FDS: 20, MXCSR: 24, MXCSR_MASK: 28, REGISTERS: 32, XMM: 160, SIZE: 512,
} as const

/** The bits of MXCSR that exist; setting another is #GP. */
export const MXCSR_MASK = 0xffff

/** Writes the x87 part. `wide` (REX.W) stores 64-bit pointers instead of 32-bit ones with selectors. */
export function storeX87Region(x87: X87, view: DataView, at: number, wide: boolean): void {
  const { state } = x87
  view.setUint16(at + LegacyRegion.FCW, x87.controlWord, true)
  view.setUint16(at + LegacyRegion.FSW, x87.statusWord, true)
  view.setUint16(at + LegacyRegion.FTW, x87.tags & 0xff, true)
  view.setUint16(at + LegacyRegion.FOP, state.slotU16(Slot.FOP) & 0x7ff, true)
  view.setBigUint64(at + LegacyRegion.FIP, pointer(state, Slot.FIP, Slot.FCS, wide), true)
  view.setBigUint64(at + LegacyRegion.FDP, pointer(state, Slot.FDP, Slot.FDS, wide), true)
  for (let i = 0; i < 8; i++) {
    const word = x87.at(i)
    for (let part = 0; part < 4; part++) {
      view.setUint32(at + LegacyRegion.REGISTERS + i * 16 + part * 4, part === 3 ? 0 : x87.words[word + part], true)
    }
  }
}

function pointer(state: VcpuState, offset: number, selector: number, wide: boolean): bigint {
  if (wide) return state.slotU64(offset)
  return BigInt(state.slotU32(offset)) | BigInt(state.slotU16(selector)) << 32n
}

/** Reads the x87 part. Exceptions left unmasked become pending. */
export function loadX87Region(x87: X87, view: DataView, at: number, wide: boolean): void {
  const { state, words } = x87
  x87.controlWord = view.getUint16(at + LegacyRegion.FCW, true)
  x87.statusWord = view.getUint16(at + LegacyRegion.FSW, true)
  x87.updateSummary()
  x87.tags = view.getUint8(at + LegacyRegion.FTW)
  state.setSlotU16(Slot.FOP, view.getUint16(at + LegacyRegion.FOP, true) & 0x7ff)
  setPointer(state, Slot.FIP, Slot.FCS, view.getBigUint64(at + LegacyRegion.FIP, true), wide)
  setPointer(state, Slot.FDP, Slot.FDS, view.getBigUint64(at + LegacyRegion.FDP, true), wide)
  for (let i = 0; i < 8; i++) {
    const word = x87.at(i)
    const from = at + LegacyRegion.REGISTERS + i * 16
    words[word] = view.getUint32(from, true)
    words[word + 1] = view.getUint32(from + 4, true)
    words[word + 2] = view.getUint16(from + 8, true)
  }
}

function setPointer(state: VcpuState, offset: number, selector: number, value: bigint, wide: boolean): void {
  state.setSlotU64(offset, wide ? value : value & 0xffffffffn)
  state.setSlotU16(selector, wide ? 0 : Number(value >> 32n & 0xffffn))
}

/** Writes MXCSR, its mask, and the first `count` XMM registers: 16 in 64-bit mode, else 8. */
export function storeSseRegion(state: VcpuState, view: DataView, at: number, count: 8 | 16): void {
  view.setUint32(at + LegacyRegion.MXCSR, state.slotU32(Slot.MXCSR), true)
  view.setUint32(at + LegacyRegion.MXCSR_MASK, MXCSR_MASK, true)
  for (let i = 0; i < count; i++) {
    const from = Slot.YMM + i * 32
    view.setBigUint64(at + LegacyRegion.XMM + i * 16, state.slotU64(from), true)
    view.setBigUint64(at + LegacyRegion.XMM + i * 16 + 8, state.slotU64(from + 8), true)
  }
}

/** Whether the image's MXCSR has only bits that exist; check before loading anything, and raise #GP(0) if not. */
export function isMxcsrValid(view: DataView, at: number): boolean {
  return (view.getUint32(at + LegacyRegion.MXCSR, true) & ~MXCSR_MASK) === 0
}

/** Reads MXCSR and the first `count` XMM registers. The high halves of YMM registers stay. */
export function loadSseRegion(state: VcpuState, view: DataView, at: number, count: 8 | 16): void {
  state.setSlotU32(Slot.MXCSR, view.getUint32(at + LegacyRegion.MXCSR, true))
  for (let i = 0; i < count; i++) {
    const to = Slot.YMM + i * 32
    state.setSlotU64(to, view.getBigUint64(at + LegacyRegion.XMM + i * 16, true))
    state.setSlotU64(to + 8, view.getBigUint64(at + LegacyRegion.XMM + i * 16 + 8, true))
  }
}
