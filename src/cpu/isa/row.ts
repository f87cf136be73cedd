/**
 * One row per encoding, typed from the opcode maps of the SDM (Vol. 2D appendix A) with its operand codes.
 *
 * `opcode`: optional mandatory prefix, escape bytes, opcode byte, then any of these constraints:
 *   - `+r` after the byte: register in its low three bits; `+cc`: condition in its low four;
 *   - `/n`: ModRM.reg is n (several `/n`: any of them); `mem` or `reg`: ModRM.mod is not 3, or is; `rm=n`: ModRM.rm is n;
 *   - `w1`: REX.W must be set; `b0`: REX.B must be clear. The other half of the encoding is a sibling row's.
 * Examples: `00`, `50+r`, `70+cc`, `80 /0`, `0F B6`, `66 0F 6F`, `0F C7 /1 mem`, `0F 01 /0 reg rm=1`, `D8 /0 mem`, `F3 0F 10`.
 *
 * Mandatory prefixes: `66`, `F3` and `F2` name themselves; `NP` accepts none of the three; `NFx` accepts 66 (as the operand-size
 * prefix) but neither F3 nor F2. A row without any accepts all three unless a sibling row claims that prefix. Rows may not
 * overlap otherwise.
 *
 * AVX: `VEX.256.66.0F38.W0 B8` names the vector length (128, 256, or LIG: ignored), the prefix (NP, 66, F3, F2), the map, VEX.W (W0, W1,
 * or WIG: ignored), and the opcode byte, before constraints as above. In such a row `x`, `ps` and `pd` are operands of the vector
 * length, and memory operands need not be aligned unless `aligned` says so.
 *
 * `operands`: SDM codes separated by commas: an addressing method and an operand type (`Ev,Gv`, `Vx,Wx`, `Gv,Ew`, `Jz`, `Ap`,
 * `Ob`), `Zv` for a register in the opcode, `sIb`/`sIz` for an immediate that is sign-extended to the operand size, a register's
 * name (`AL`, `rAX`, `CL`, `DX`, `ST0`), `STi`, or a constant (`1`, `3`). See operands.ts for the methods and types.
 *
 * `mnemonic`: the key to one semantics function, usually the SDM's mnemonic. Where one mnemonic of the SDM stands for different
 * semantics, a number of operands (`IMUL2`) or a suffix after an underscore (`MOVSD_XMM`, `CALL_FAR`) tells them apart.
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
  /** The operand size that the instruction uses implicitly, where its operands do not say: see OperandSizeRule. */
  readonly size?: 'b' | 'v' | 'z' | 'y'
  /** #UD in real and virtual-8086 mode. The decoder knows no modes: the engine checks this. */
  readonly protectedOnly?: boolean
  /** The CPUID feature that must be present (`SSE4_1`); absent features make the encoding #UD. */
  readonly feature?: string
  /** A 16-byte memory operand of this SSE instruction need not be aligned (the others raise #GP). */
  readonly unaligned?: boolean
  /** The index of the memory operand is a vector register (VSIB), which must be another one than the other two. */
  readonly gathers?: boolean
  /** A memory operand of this AVX instruction must be aligned to its size (those of the others need not). */
  readonly aligned?: boolean
  /**
   * Ends a trace: control does not go on to the next instruction by itself, or decoding must not run ahead (mode or mapping may
   * change).
   */
  readonly ends?: boolean
}

/** Makes a row; `operands` is a comma-separated list. */
export function row(opcode: string, mnemonic: string, operands = '', attributes: RowAttributes = {}): Row {
  return { opcode, mnemonic, operands: operands === '' ? [] : operands.split(','), attributes }
}

/** Whether the row's encoding has a VEX prefix. */
export const isVex = (row: Row): boolean => row.opcode.startsWith('VEX.')

/** Whether a vector operand in memory must be aligned to its size. */
export function requiresAlignment(row: Row): boolean {
  return isVex(row) ? row.attributes.aligned === true : row.attributes.unaligned !== true
}

/** Two upper-case hexadecimal digits, as in the opcode maps. */
export function hex(byte: number): string {
  return byte.toString(16).toUpperCase().padStart(2, '0')
}
