/**
 * One row per encoding, typed from the opcode maps of the SDM (Vol. 2D appendix A) with its operand codes.
 *
 * `opcode`: optional mandatory prefix (`NP`, `66`, `F3`, `F2`), escape bytes, opcode byte, then optionally `+r` (register in the low
 * three bits), `+cc` (condition in the low four), `/n` (ModRM.reg), `mem` or `reg` (ModRM.mod is not 3, or is), `rm=n` (ModRM.rm).
 * Examples: `00`, `50+r`, `70+cc`, `80 /0`, `0F B6`, `66 0F 6F`, `0F C7 /1 mem`, `0F 01 /0 reg rm=1`, `D8 /0 mem`, `F3 0F 10`.
 * An encoding with no mandatory prefix accepts all of 66, F2 and F3 unless a sibling row claims that prefix.
 *
 * `operands`: SDM codes separated by commas: an addressing method and an operand type (`Ev,Gv`, `Vx,Wx`, `Gv,Ew`, `Jz`, `Ap`, `Ob`),
 * `Zv` for a register in the opcode, `sIb`/`sIz` for an immediate that is sign-extended to the operand size, a register's name
 * (`AL`, `rAX`, `CL`, `DX`, `ST0`), `STi`, or a constant (`1`, `3`).
 */
export interface Row {
  readonly opcode: string
  readonly mnemonic: string
  readonly operands: readonly string[]
  readonly attributes: RowAttributes
}

export interface RowAttributes {
  /** LOCK is allowed when the destination is memory. */
  readonly lock?: boolean
  /** F3 and F2 are repeat prefixes here: `rep` (F3 and F2 alike), or `repe` (F3 while equal, F2 while not equal). */
  readonly repeat?: 'rep' | 'repe'
  /** #UD in 64-bit mode, or outside it. */
  readonly invalid64?: boolean
  readonly only64?: boolean
  /** In 64-bit mode the operand size defaults to 64 bits (`d64`) or is always 64 bits (`f64`). */
  readonly d64?: boolean
  readonly f64?: boolean
  /** #UD in real and virtual-8086 mode. */
  readonly protectedOnly?: boolean
  /** The CPUID feature that must be present (`SSE4_1`); absent features make the encoding #UD. */
  readonly feature?: string
  /** Ends a trace: control does not go on to the next instruction by itself, or decoding must not run ahead (mode or mapping may change). */
  readonly ends?: boolean
}
