/** What the registers of a hot program are for, and where its memory is. */
import { DATA } from '../../vectors/environment.ts'

/** Operands of random instructions: RAX RCX RDX RBX RSI RDI. */
export const FREE: readonly number[] = [0, 1, 2, 3, 6, 7]
export const RSP = 4
/** Addresses in the data: RBP R12 R13. They never change. */
export const BASES: readonly number[] = [5, 12, 13]
/** R9: small, and changes. */
export const INDEX = 9
/** R10: walks through the data and out of it; the handler of faults brings it back. */
export const WALKING = 10
/** R11: where the handler of faults goes. */
export const RESUME = 11
/** R15 R14 R8: counters of loops, by depth. */
export const COUNTERS: readonly number[] = [15, 14, 8]

/** Two pages for the stack, with nothing around them. */
export const STACK = DATA + 0x8000
export const STACK_SIZE = 0x2000
