/** Where and what the interpreter's back end emits: a place in a function, a sample of a form, the functions it may call. */
import type { Instruction } from '../decode/instruction.ts'
import type { OperandSpec } from '../isa/operands.ts'
import type { Row } from '../isa/row.ts'
import type { Definition } from '../semantics/define.ts'
import type { FunctionBody } from '../wasm/assembler.ts'
import type { Shape } from './form.ts'

/** Function indices of what outlined handlers call. */
export interface EngineFunctions {
  readonly materialise: number
  /** (address low, high, size in bytes | AccessKind << ACCESS_KIND_SHIFT, record) -> pool address, or 0 with an exception recorded. */
  readonly access: number
  readonly commitSlowStores: number
  /** (helper number) -> HelperOutcome. */
  readonly helper: number
  /** (target low, high) -> record, or 0 with the reason recorded; sets RIP_PAGE and the jump cache. */
  readonly lookup: number
  /** (segment, offset, size in bytes | AccessKind << ACCESS_KIND_SHIFT) -> 1, or 0 with an exception recorded. */
  readonly checkSegment: number
  readonly helperNumber: (name: string) => number
}

export const ACCESS_KIND_SHIFT = 8

/** Where a form is emitted. */
export interface Site {
  readonly f: FunctionBody
  readonly kind: 'inline' | 'outlined'
  /** Locals. */
  readonly cpu: number
  readonly record: number
  readonly context: number
  /** Inline: the lazy flags' locals. */
  readonly flags?: { readonly kind: number; readonly a: number; readonly b: number; readonly override: number }
  /** Inline: block depths to branch to. */
  readonly slow?: number
  /** Inline: goes to the record `count` further on; to the record in the local, counting `count` instructions. */
  readonly next?: (count: number) => void
  readonly jump?: (target: number, count: number) => void
}

/** An instruction that a form stands for: a sample whose operand values do not matter. */
export interface FormSample {
  readonly instruction: Instruction
  readonly row: Row
  readonly operands: readonly OperandSpec[]
  readonly definition: Definition
  readonly shape: Shape
  /** A branch whose target is in another page. */
  readonly crossesPage: boolean
}

/** Thrown when a form needs a call and so cannot be inline. */
export class NotInlinable extends Error {}
