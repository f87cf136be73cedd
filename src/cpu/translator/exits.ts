/**
 * The tables behind a region, in the pool: a header, and one entry for each place where the region can be left. They are written by the
 * translator and read by the dispatcher (dispatcher.ts), which is WebAssembly.
 */

export const TARGETS_SEEN = 32
/** Bits of a target that choose its place: functions are aligned to 16 bytes, most other targets are not. */
export const TARGET_SHIFT = 4

/** Offsets in the header. */
export const RegionHeader = {
  /** What the word at GENERATION_ADDRESS was when the mapping was last checked (u32). */
  GENERATION: 0,
  GENERATION_ADDRESS: 4,
  /** Linear address of the anchor for which it was checked (u64). */
  BASE: 8,
  /** Bit n is set if page n of the region is mapped as it was when the region was made (u32). */
  VALID: 16,
  /** 1 if it was checked for user mode, 0 for supervisor mode (u32). */
  USER: 20,
  /** Position of the region in the function table (u32). */
  POSITION: 24,
  /** Until the region is worth a better one (i32): RECORD_SIZE times the instructions that it may execute, and something an entry. */
  COUNTDOWN: 28,
  /** Address of the exits (u32). */
  EXITS: 32,
  /** How often it was entered (u32). */
  ENTRIES: 36,
  /**
   * Where its computed jumps went: TARGETS_SEEN pairs of an INDIRECT exit's address and the target's low half (u32), each in a
   * place that the target's address chooses. A newer one takes an older one's place.
   */
  TARGETS: 64,
  SIZE: 64 + 8 * TARGETS_SEEN,
} as const

/** Words of an exit. */
export const RegionExit = {
  /** The instruction pointer, relative to the anchor (i32). Unused where the region stores it. */
  AT: 0,
  /** Lazy flags: their kind word, or FLAGS_DYNAMIC where the region stored it (u32). */
  FLAGS: 1,
  /** Kind in the low three bits; RECORD_SIZE times the instructions of the block that were not executed above them (u32). */
  KIND: 2,
  /** Address of the record to go on from, 0 while it is not known; unused for INDIRECT (u32). */
  RECORD: 3,
} as const
export const EXIT_WORDS = 4
export const EXIT_SIZE = EXIT_WORDS * 4

/** The flag words in the slot are as the rest of the engine expects them. */
export const FLAGS_DYNAMIC = -1

export const ExitKind = {
  /** The interpreter is to do the instruction at AT: a TLB miss, an exception, a rare case, an instruction that is not translated. */
  HERE: 0,
  /** Goes on at AT, in a page of the region that is known to be mapped. */
  DOOR: 1,
  /** Goes on at AT, in a page of the region that was not mapped when that was last checked. */
  UNMAPPED: 2,
  /** Goes on at Slot.RIP: the exit's number has SETTLED_EXIT. The header's TARGETS say where it went. */
  INDIRECT: 3,
} as const
export type ExitKindCode = (typeof ExitKind)[keyof typeof ExitKind]
export const EXIT_KIND_MASK = 7

/**
 * Set in the number of an exit whose entry need not be read: the region has stored Slot.RIP and the flags as the slot has them, and all
 * instructions that it counted were executed.
 */
export const SETTLED_EXIT = 0x80000000
