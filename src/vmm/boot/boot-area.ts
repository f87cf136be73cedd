/**
 * Conventional memory as the loader uses it: one fixed place for each structure, below the EBDA. The guest may use all of it again
 * once it has read what it needs.
 */
export const BootArea = {
  GDT: 0x1000,
  /** Top page table, then the next level, then four pages of 2 MiB entries. */
  PAGE_TABLES: 0x2000,
  /** Linux's boot_params, one page. */
  ZERO_PAGE: 0x8000,
  /** PVH's start info with its module list and memory map, one page. */
  START_INFO: 0x9000,
  COMMAND_LINE: 0x10000,
  /** The first byte above the entry stack. */
  STACK_TOP: 0x80000,
} as const

/** Kernels are loaded from here up. */
export const KERNEL_AREA = 0x100000
