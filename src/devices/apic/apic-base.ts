import { ApicBase } from './registers.ts'

/** IA32_APIC_BASE and the APIC's modes. Source: SDM Vol. 3A §11.4.4, §11.12.1 and figure 11-27. */
export type ApicMode = 'disabled' | 'xapic' | 'x2apic'
export const MODES: readonly ApicMode[] = ['disabled', 'xapic', 'x2apic']
export const DEFAULT_BASE = 0xfee00000

export function apicBaseMsr(mode: ApicMode, base: number, bootProcessor: boolean): bigint {
  const enabled = mode === 'disabled' ? 0 : ApicBase.EN
  const extended = mode === 'x2apic' ? ApicBase.EXTD : 0
  return BigInt(base + enabled + extended + (bootProcessor ? ApicBase.BSP : 0))
}

/** The mode that a write selects, null if it is illegal: x2APIC is entered from xAPIC only, and left by disabling only. */
export function nextMode(current: ApicMode, value: bigint, physicalAddressBits: number): ApicMode | null {
  const valid = (1n << BigInt(physicalAddressBits)) - 4096n | BigInt(ApicBase.BSP | ApicBase.EXTD | ApicBase.EN)
  if (value & ~valid) return null
  const enabled = (value & BigInt(ApicBase.EN)) !== 0n
  const extended = (value & BigInt(ApicBase.EXTD)) !== 0n
  if (!enabled) return extended ? null : 'disabled'
  if (extended) return current === 'disabled' ? null : 'x2apic'
  return current === 'x2apic' ? null : 'xapic'
}
