/**
 * A decoded instruction as the interpreter reads it: 32 bytes in the pool, in the order of execution.
 *
 * Registers are named by the address of their place in the vCPU's slot, so a record belongs to one vCPU.
 */
export const RECORD_SIZE = 32
export const RECORD_SHIFT = 5

export const Record = {
  /** Handler number (u16): inline handlers first, then outlined ones; see engine-builder.ts. */
  HANDLER: 0,
  /** Length of the instruction in bytes (u8). */
  LENGTH: 2,
  /** Shift count of the index register, 0 to 3 (u8). */
  SCALE: 3,
  /** Address of ModRM.reg's register; a plain number for segment, control and debug registers (u16). */
  REG: 4,
  /** Address of ModRM.rm's register, or of the one in the opcode; a plain number for x87 stack registers (u16). */
  RM: 6,
  /** Addresses of base and index; Slot.ZERO's for none, Slot.RIP_PAGE's for RIP-relative (u16). */
  BASE: 8,
  INDEX: 10,
  /** Displacement; relative to the code page's start where the base is RIP_PAGE (i32). A far pointer's selector. */
  DISPLACEMENT: 12,
  /** Immediate (i64). A gather: number of the index register | scale << 4. A branch: target minus RIP_PAGE. A moffs operand: the offset. */
  IMMEDIATE: 16,
  /** A branch inside its page: address of the target's record, or of a LINK record (u32). Else a second immediate. */
  LINK: 24,
  /** VEX.vvvv's register, of instructions that then have no other use for LINK (u16). */
  VVVV: 24,
  /** The register in the immediate's upper half (u16). */
  IMMEDIATE_REGISTER: 26,
  /** Where the instruction starts in its page (u16). */
  PAGE_OFFSET: 28,
  /** Address of the effective segment's base in the slot; if it is known to be zero Slot.ZERO's, or Slot.STACK_ZERO's for SS (u16). */
  SEGMENT: 30,
} as const

/** Numbers of the handlers that stand for no instruction. */
export const Pseudo = {
  /** The code was overwritten: leave, and look the instruction pointer up again. */
  STALE: 0,
  /** The target of a direct branch that has not been taken yet. LINK holds the branch's record. */
  LINK: 1,
  /** Goes on at LINK: the end of a trace that continues elsewhere in the page. */
  GOTO: 2,
  /** Goes on at RIP_PAGE + IMMEDIATE, in another page. */
  GOTO_PAGE: 3,
  /** The next record crosses into another page: checks that its second part is still what it was. */
  CHECK_CROSSING: 4,
  /** Raises the exception in IMMEDIATE (vector; error code in LINK, or NO_ERROR_CODE). */
  RAISE: 5,
  /** The end of a single step. */
  STOP: 6,
  /** A door: counts LINK down, and asks for a translation when it comes to zero. The next record is the instruction that it stands before. */
  COUNT: 7,
  /** A door into a translated region: see DoorRecord. */
  ENTER: 8,
} as const
export const PSEUDO_COUNT = 9

/** Fields of an ENTER record. */
export const DoorRecord = {
  /** Distance of the door's page from the region's anchor, in pages (i32). */
  DELTA: 12,
  /** Number of the entry (u32). */
  ENTRY: 16,
  /** Address of the region's header (u32): see translator/exits.ts. */
  HEADER: 20,
  /** Position of the region's function in the table (u32). */
  FUNCTION: 24,
} as const

export const NO_ERROR_CODE = 0xffffffff
