/**
 * What the boot processor's registers hold before its first instruction: plain values, which the vmm applies to whichever engine
 * runs the vCPU. Registers that are not named hold their values after reset (SDM Vol. 3A §9.1.1), general registers zero.
 */
export interface InitialState {
  /** `protected`: 32-bit, without paging. `long`: 64-bit, with paging. CR0, EFER and CS agree with it. */
  readonly mode: 'protected' | 'long'
  readonly rip: bigint
  readonly rflags: number
  readonly registers: Readonly<Partial<Record<GeneralRegister, bigint>>>
  readonly cr0: number
  /** Guest-physical address of the top page table; 0 without paging. */
  readonly cr3: number
  readonly cr4: number
  readonly efer: number
  readonly segments: Readonly<Record<SegmentName, SegmentState>>
  readonly gdtr: DescriptorTable
  readonly idtr: DescriptorTable
  /** Model-specific registers that firmware sets on every vCPU, not on the boot processor alone. */
  readonly msrs: readonly ModelSpecificRegister[]
}

export type GeneralRegister = 'rax' | 'rcx' | 'rdx' | 'rbx' | 'rsp' | 'rbp' | 'rsi' | 'rdi'
export type SegmentName = 'es' | 'cs' | 'ss' | 'ds' | 'fs' | 'gs' | 'ldtr' | 'tr'

export interface SegmentState {
  readonly selector: number
  readonly base: bigint
  /** In bytes, granularity applied: 0 to 0xffffffff. */
  readonly limit: number
  /** Bits 8 to 23 of the descriptor's high dword: type 0-3, S 4, DPL 5-6, P 7, AVL 12, L 13, D/B 14, G 15. */
  readonly attributes: number
}

export interface DescriptorTable { readonly base: bigint, readonly limit: number }

/** Bit 1 is always set (SDM Vol. 1 §3.4.3); interrupts are off. */
export const RFLAGS_AT_ENTRY = 0x2

export interface ModelSpecificRegister { readonly index: number, readonly value: bigint }

/**
 * IA32_MTRR_DEF_TYPE (SDM Vol. 3A §11.11.2.1): enabled, all memory write-back. Linux turns PAT off where MTRRs are off, and makes
 * device memory uncacheable by PAT.
 */
export const FIRMWARE_MSRS: readonly ModelSpecificRegister[] = [{ index: 0x2ff, value: 0x806n }]
