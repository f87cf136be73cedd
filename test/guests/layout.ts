/** Where things are in a guest's memory, its selectors, and descriptors by their bits (SDM Vol. 3A §3.4.5, §5.8, §7.2). */

/** Guest-physical addresses. Everything below 64 KiB can be reached from real mode with segments of 0. */
export const Place = {
  REAL_STACK: 0x7000,
  VARIABLES: 0x7c00,
  ENTRY: 0x8000,
  /** Free for a guest's 16-bit code. */
  CODE16: 0xa000,
  GDT: 0x10000,
  IDT: 0x11000,
  TSS: 0x12000,
  LDT: 0x15000,
  /** Free for a guest's tables and data. */
  DATA: 0x20000,
  REAL_RESULTS: 0x40000,
  CODE: 0x100000,
  STACK0: 0x380000,
  /** Stack of the monitor when the privilege level changes, and the interrupt stack of 64-bit mode. */
  INNER_STACK: 0x390000,
  RESULTS: 0x400000,
  TABLES: 0x800000,
  /** Page tables of a guest's own. */
  MORE_TABLES: 0x810000,
  /** From here to 16 MiB pages belong to user programs. */
  USER_CODE: 0xc00000,
  USER_DATA: 0xf00000,
  USER_STACK: 0xff0000,
  /** 16 MiB without identity mapping. */
  TEST_MEMORY: 0x1000000,
  MEMORY_END: 0x2000000,
} as const

export const Variable = {
  PROBE: Place.VARIABLES, DUMP: Place.VARIABLES + 4, RESUME: Place.VARIABLES + 8, RESULT: Place.VARIABLES + 16,
  RAX: Place.VARIABLES + 24, RDI: Place.VARIABLES + 32, DS: Place.VARIABLES + 40,
} as const

/** Selectors; those of level 3 have their RPL. SYSCALL, SYSRET, SYSENTER and SYSEXIT need the order. */
export const Selector = {
  CODE32: 0x08, DATA: 0x10, CODE64: 0x18, DATA_B: 0x20, USER_CODE32: 0x2b, USER_DATA: 0x33, USER_CODE64: 0x3b, USER_DATA_B: 0x43,
  FAST_CODE32: 0x48, CODE16: 0x68, DATA16: 0x70, TSS: 0x80, LDT: 0x90,
  /** Free for a guest from here. */
  FREE: 0xa0,
} as const

export const Access = { CODE: 0x9b, DATA: 0x93, LDT: 0x82, TSS32: 0x89, TSS16: 0x81 } as const
export const Flags = { BIG: 4, LONG: 2, PAGES: 8 } as const

/** A segment descriptor: base, limit in bytes or pages, access byte, and the flags G, D/B and L (bits 7 to 5 of byte 6). */
export function segment(base: number, limit: number, access: number, flags = 0): bigint {
  const low = BigInt((limit & 0xffff) | ((base & 0xffff) << 16)) & 0xffffffffn
  const high = ((base >>> 16) & 0xff) | (access << 8) | (limit & 0xf0000) | (flags << 20) | (base & 0xff000000)
  return low | (BigInt(high >>> 0) << 32n)
}

export const Gate = { CALL16: 4, TASK: 5, INTERRUPT16: 6, TRAP16: 7, CALL32: 12, INTERRUPT32: 14, TRAP32: 15 } as const

/** The low 8 bytes of a gate; `count` is a call gate's parameters or an interrupt gate's stack. */
export function gate(type: number, dpl: number, selector: number, offset: number, count = 0, present = true): bigint {
  const access = (present ? 0x80 : 0) | (dpl << 5) | type
  const high = (offset & 0xffff0000) | (access << 8) | count
  return (BigInt((selector << 16) | (offset & 0xffff)) & 0xffffffffn) | (BigInt(high >>> 0) << 32n)
}

/** Page-table entry bits. */
export const P = 1n, RW = 2n, US = 4n, ACCESSED = 0x20n, DIRTY = 0x40n, PS = 0x80n, GLOBAL = 0x100n, NX = 1n << 63n

export const Flag = { CF: 1, PF: 4, ZF: 0x40, TF: 0x100, IF: 0x200, DF: 0x400, NT: 0x4000, RF: 0x10000, VM: 0x20000, AC: 0x40000,
  VIF: 0x80000, VIP: 0x100000, ID: 0x200000 } as const
