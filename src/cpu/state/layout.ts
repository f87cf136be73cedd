/**
 * A vCPU's state as plain memory at fixed offsets, seen alike by every engine, by TypeScript helpers and by a snapshot.
 *
 * It has two parts. The *slot* (1 KiB, in the first 64 KiB of the pool) holds what instructions touch directly: decoded records name
 * its registers by absolute 16-bit addresses. The *block* (page-aligned, anywhere) holds system registers, scratch space and the
 * translation contexts.
 */

/** Slots are at SLOT_SIZE * n, n from 1 (address 0 stays invalid) to MAX_VCPUS_PER_POOL. */
export const SLOT_SIZE = 1024
export const MAX_VCPUS_PER_POOL = 63

/** Offsets in the slot. */
export const Slot = {
  /** RAX RCX RDX RBX RSP RBP RSI RDI R8..R15, 8 bytes each. */
  GPR: 0,
  /** Always zero: the base or index of an address that has none. */
  ZERO: 128,
  /** RIP of the current code page's first byte (minus CS.base outside 64-bit mode): RIP = RIP_PAGE + record's page offset. */
  RIP_PAGE: 136,
  /** Bases of ES CS SS DS FS GS, 8 bytes each; the authoritative copy. */
  SEGMENT_BASE: 144,
  /** Lazy flags, see flags.ts: two operands (i64), kind word (i32), override word (i32). */
  FLAG_A: 192,
  FLAG_B: 200,
  FLAG_KIND: 208,
  FLAG_OVERRIDE: 212,
  /** Instruction pointer whenever no engine runs (EIP or IP, zero-extended, outside 64-bit mode). */
  RIP: 216,
  /** Why the engine returned (ExitCode), the record it stopped at, and the exception vector where there is one. */
  EXIT_CODE: 224,
  EXIT_RECORD: 228,
  EXIT_VECTOR: 232,
  EXIT_ERROR_CODE: 236,
  /** Instructions left of the engine's slice (i32). */
  BUDGET: 240,
  /** Address of the translation context in use (privilege and SMAP override). */
  CONTEXT: 244,
  /** RFLAGS without CF PF AF ZF SF OF: TF IF DF IOPL NT RF VM AC VIF VIP ID and the fixed bit 1 (u32). */
  SYSTEM_FLAGS: 248,
  /** Address of the vCPU's block. */
  BLOCK: 252,
  /** YMM0..YMM15, 32 bytes each; XMMn is the low half. */
  YMM: 256,
  /** Physical x87 registers R0..R7, 16 bytes each: significand u64, sign and exponent u16. MMXn is Rn's significand. */
  X87: 768,
  /** x87 control, status (TOP included) and abridged tag words (u16 each; tag bit 1 = valid), last opcode (u16). */
  FCW: 896,
  FSW: 898,
  FTW: 900,
  FOP: 902,
  /** Last x87 instruction and data pointers (u64) and selectors (u16). */
  FIP: 904,
  FDP: 912,
  FCS: 920,
  FDS: 922,
  MXCSR: 924,
  /** Retired instructions (u64), up to date whenever no engine runs. */
  RETIRED: 928,
  /** Asynchronous events for the vCPU (i32, accessed with Atomics): see system/events.ts. */
  PENDING: 936,
  /** Interrupts are inhibited for one instruction: 1 after STI, 2 after a load of SS (debug traps and NMIs too), else 0. */
  INTERRUPT_SHADOW: 940,
  /** Linear address of the last page fault (becomes CR2 on delivery). */
  FAULT_ADDRESS: 944,
  /** Slow stores waiting for the instruction's commit (count). */
  SLOW_STORES: 952,
  /** Bit n is set if an access through segment n needs its limit or type checked outside 64-bit mode: see segments.ts (u32). */
  SEGMENT_CHECKS: 956,
  /** Outside 64-bit mode: 0xffff or 0xffffffff by SS.B (u64). */
  STACK_MASK: 960,
  /** Data selectors' part of the state that decoded records depend on: see interpreter/code-context.ts (u32). */
  CODE_CONTEXT: 968,
  /** An interrupt waits for RFLAGS.IF: what sets IF must then set PendingEvent.INTERRUPT, see system/events.ts (u32: 0 or 1). */
  MASKED_INTERRUPT: 972,
  /** Always zero: the segment base of stack accesses in 64-bit mode, whose faults are #SS instead of #GP (u64). */
  STACK_ZERO: 976,
  /** Since the engine was entered, executions of repeated string instructions that were not the last of theirs (u32). */
  REPEATS: 984,
  /** The last execution of a repeated string instruction, since the engine was entered, was not the last of its (u32: 0 or 1). */
  REPEATING: 988,
  /** Instruction pointer at which INTERRUPT_SHADOW counts (u64). */
  SHADOW_RIP: 992,
  /** Change whenever the mapping of translated code may have changed: of any, and of any in global pages (u32). */
  CODE_GENERATION: 1000,
  GLOBAL_CODE_GENERATION: 1004,
} as const

/** Offsets in the block. Segment caches: ES CS SS DS FS GS LDTR TR, 16 bytes each: selector u16, attributes u16, limit u32, unused. */
export const Block = {
  CR0: 0,
  CR2: 8,
  CR3: 16,
  CR4: 24,
  CR8: 32,
  XCR0: 40,
  /** DR0..DR7, 8 bytes each. */
  DR: 48,
  EFER: 112,
  STAR: 120,
  LSTAR: 128,
  CSTAR: 136,
  FMASK: 144,
  KERNEL_GS_BASE: 152,
  SYSENTER_CS: 160,
  SYSENTER_ESP: 168,
  SYSENTER_EIP: 176,
  TSC_AUX: 184,
  TSC_ADJUST: 192,
  PAT: 200,
  APIC_BASE: 208,
  MISC_ENABLE: 216,
  /** GDTR and IDTR: base u64, limit u32. */
  GDTR: 224,
  IDTR: 240,
  /** Bases of LDTR and TR (those of ES..GS are in the slot). */
  LDTR_BASE: 256,
  TR_BASE: 264,
  /** MTRRs and other rarely used MSRs live in TypeScript, see system/msr.ts. */
  SEGMENTS: 288,
  /** Current privilege level, 0 to 3 (u32). */
  CPL: 416,
  /** Whether the processor runs, or why it does not: Activity in system/events.ts (u32). */
  HALTED: 420,
  /** NMI delivery is blocked until IRET (u32: 0 or 1). */
  NMI_BLOCKED: 424,
  /** Debug conditions met since the last #DB, at their places in DR6 (u32): see system/debug.ts. */
  PENDING_DEBUG: 428,
  /** Eight 16-byte helper arguments and a result of up to 32 bytes. */
  ARGUMENTS: 512,
  RESULT: 640,
  /** Counters of translated code: how often regions were entered, and instructions that they executed (u64 each). */
  REGION_ENTRIES: 704,
  REGION_INSTRUCTIONS: 712,
  /** Scratch for accesses that no TLB entry can serve: see mmu/slow-access.ts. */
  SCRATCH: 1024,
  SCRATCH_SIZE: 1024,
  CONTEXTS: 4096,
} as const

/** Segment registers in the processor's own order (the Sreg field of ModRM). */
export const Segment = { ES: 0, CS: 1, SS: 2, DS: 3, FS: 4, GS: 5, LDTR: 6, TR: 7 } as const
export type SegmentIndex = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7
export const SEGMENT_CACHE_SIZE = 16
export const SegmentCache = { SELECTOR: 0, ATTRIBUTES: 2, LIMIT: 4 } as const

/** GPR numbers. */
export const Gpr = {
  RAX: 0, RCX: 1, RDX: 2, RBX: 3, RSP: 4, RBP: 5, RSI: 6, RDI: 7,
  R8: 8, R9: 9, R10: 10, R11: 11, R12: 12, R13: 13, R14: 14, R15: 15,
} as const

/**
 * A translation context: what one privilege sees. Three direct-mapped tables of entries of 16 bytes: 4,096 in each TLB, 16,384 in the
 * jump cache. A TLB entry is a tag
 * (page-aligned GVA; all ones when invalid) and an addend (i32: pool address = low 32 bits of GVA + addend); mmu/tlb.ts keeps them. A
 * jump-cache entry is a tag (RIP) and the record's address (u32); interpreter/jump-cache.ts keeps them.
 */
export const TLB_ENTRIES = 4096
export const TLB_ENTRY_SIZE = 16
export const JUMP_CACHE_ENTRIES = 16384
export const JUMP_CACHE_ENTRY_SIZE = 16
export const Context = {
  READ_TLB: 0,
  WRITE_TLB: 0x10000,
  JUMP_CACHE: 0x20000,
  SIZE: 0x60000,
} as const
/** Contexts of a vCPU, in order: user, supervisor with RFLAGS.AC clear, supervisor with RFLAGS.AC set (SMAP suspended). */
export const ContextIndex = { USER: 0, SUPERVISOR: 1, SUPERVISOR_AC: 2 } as const
export const CONTEXT_COUNT = 3
export const BLOCK_SIZE = Block.CONTEXTS + CONTEXT_COUNT * Context.SIZE

/** Why an engine returned, in Slot.EXIT_CODE. */
export const ExitCode = {
  /** The budget is used up; RIP is that of the next instruction. */
  BUDGET: 1,
  /** A direct branch to a target that is not linked yet. */
  LINK: 2,
  /** An exception: vector and error code are in the slot; RIP is the faulting (or, for traps, the next) instruction's. */
  EXCEPTION: 3,
  /** A helper changed the instruction pointer, the mode or the event state: go on from Slot.RIP. */
  RESYNC: 4,
  /** The record is stale (its code was overwritten) or its page is no longer mapped: look RIP up again. */
  STALE: 5,
  /** HLT: wait for an interrupt. */
  HALT: 6,
  /** Shutdown: a triple fault. */
  SHUTDOWN: 7,
  /** A door has counted to zero; the record is the door. */
  HOT: 8,
} as const
