/** The mode that instructions are decoded in: CS.D and long mode together. */
export type CodeSize = 16 | 32 | 64
export type OperandSize = 8 | 16 | 32 | 64

/**
 * A decoded instruction, as numbers, filled in by the decoder without allocation. One object is reused on the hot path; tests, the
 * region builder and `inspect` copy it.
 */
export class Instruction {
  /** Index into the rows of isa/. */
  row = 0
  /** Length in bytes, 1 to 15. */
  length = 0
  codeSize: CodeSize = 64
  /**
   * Effective size of `v`, `z` and `y` operands and of what the instruction does implicitly; 8 when its operands are bytes; 32
   * when it depends on no operand size (OperandSizeRule in isa/operands.ts).
   */
  operandSize: OperandSize = 32
  addressSize: 16 | 32 | 64 = 64
  /**
   * Effective segment of the memory operand (Segment.*), overrides and BP/SP defaults applied. In 64-bit mode only FS and GS
   * count, and only they override; SS still says that the base is RSP or RBP. ES when the only memory operand is a string's
   * destination.
   */
  segment = 3
  lock = false
  /** 0 none, 1 REP or REPE (F3), 2 REPNE (F2); only where the row says that they repeat. */
  repeat: 0 | 1 | 2 = 0
  /** A REX prefix was present: byte registers 4 to 7 are SPL..DIL instead of AH..BH. */
  rex = false
  /**
   * ModRM fields; `mod` is 3 for a register operand or none, and not 3 exactly when `base`, `index` and `displacement` describe a
   * memory operand. `reg` and `rm` are extended by REX, but stay 0 to 7 for segment, MMX and x87 registers. Without ModRM, `rm`
   * is the register in the opcode.
   */
  mod = 3
  reg = 0
  rm = 0
  /** The register in VEX.vvvv. */
  vvvv = 0
  /** Low four bits of the opcode where the row has +cc. */
  condition = 0
  /**
   * Memory operand: base and index as GPR numbers, 16 for RIP (base only), -1 for none; scale is a shift count 0 to 3. Where the row
   * gathers, the index is a vector register.
   */
  base = -1
  index = -1
  scale = 0
  /** Displacement, sign-extended to 64 bits, as two halves (i32). A moffs address is unsigned, 16 to 64 bits. */
  displacement = 0
  displacementHigh = 0
  /**
   * Immediate, relative offset or constant as two halves (i32): sign-extended to 64 bits for `sIb`, `sIz`, `Jb` and `Jz`
   * (whatever the operand size: use its low bits), zero-extended otherwise.
   */
  immediate = 0
  immediateHigh = 0
  /** Second immediate: ENTER's nesting level, a far pointer's selector. */
  immediate2 = 0
}

/** The vector register that bits 4 to 7 of the immediate name (operand method `L`). */
export function immediateRegister({ immediate, codeSize }: Instruction): number {
  return immediate >> 4 & (codeSize === 64 ? 15 : 7)
}

/** What the decoder returns instead of a length. */
export const DecodeFailure = {
  /** More bytes are needed than were given. */
  TRUNCATED: 0,
  /** No such encoding (in this mode, with these prefixes): #UD. */
  INVALID: -1,
  /** Longer than 15 bytes: #GP(0). */
  TOO_LONG: -2,
} as const
