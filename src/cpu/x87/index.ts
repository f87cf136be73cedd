/**
 * The x87 FPU in true 80 bits, as plain functions over the vCPU's slot.
 *
 * An instruction's semantics (1) raises #NM or #UD as CR0 and the row tell, (2) reads a memory operand to Block.ARGUMENTS or makes
 * sure that its destination can be written, (3) calls `executeRegisterForm` or `executeMemoryForm`, (4) raises #MF when that is
 * X87Outcome.MATH_FAULT, (5) writes Block.RESULT to memory unless it is NO_STORE, and (6) calls `recordPointers` unless it is a
 * control instruction. The environment instructions (environment.ts) and FNSTSW do not look at `pending` themselves: FLDENV and
 * FRSTOR wait, those with FN do not. Every call does its whole work: none is left half done.
 */
export { emms, enterMmx, fldcw, fnclex, fninit, recordPointers, writeMmxExponent } from './control.ts'
export { environmentSize, fldenv, fnsave, fnstenv, frstor, fullTagWord, saveSize } from './environment.ts'
export type { EnvironmentLayout } from './environment.ts'
export { executeMemoryForm, executeRegisterForm, x87MemoryRow, X87Outcome, x87RegisterRow } from './forms.ts'
export type { X87MemoryRow, X87RegisterRow } from './forms.ts'
export { isMxcsrValid, LegacyRegion, loadSseRegion, loadX87Region, MXCSR_MASK, storeSseRegion, storeX87Region } from './fxsave.ts'
export { StatusWord, X87 } from './registers.ts'
