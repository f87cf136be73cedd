import { backgroundData, CODE, DATA_SIZE } from './environment.ts'
import { Word } from './state.ts'
import type { CodeSize, State } from './state.ts'

/** Bytes that differ in the writable data pages. */
export interface Patch {
  /** From the start of the data, 0 to WRITABLE_SIZE - 1. */
  readonly offset: number
  readonly bytes: Uint8Array
}

export interface Exception {
  readonly vector: number
  /** 0 where the exception has none. */
  readonly errorCode: number
  /** The linear address of a page fault (CR2), otherwise 0. */
  readonly address: bigint
}

/** One instruction, the state before it and what a real processor made of it. */
export interface Vector {
  /** See rowKey. */
  readonly row: string
  /** Of its background state; also names the vector in messages. */
  readonly seed: number
  readonly mode: CodeSize
  /** The instruction's bytes, at CS:RIP. */
  readonly code: Uint8Array
  readonly initial: State
  /** What differs from the background before the instruction. */
  readonly patches: readonly Patch[]
  /** The state after it, or where it faulted: that which the exception's handler would find, CS:RIP being the return address. */
  readonly expected: State
  readonly exception: Exception | undefined
  /** What the instruction wrote. */
  readonly writes: readonly Patch[]
}

/** Names a row of src/cpu/isa in the files: `0F AF Gv,Ev`. */
export function rowKey(row: { readonly opcode: string; readonly operands: readonly string[] }): string {
  return `${row.opcode} ${row.operands.join(',')}`.trim()
}

/** The data pages before the instruction (DATA_SIZE bytes), written into `into`. */
export function dataBefore(vector: Vector, into = new Uint8Array(DATA_SIZE)): Uint8Array {
  into.set(backgroundData())
  for (const patch of vector.patches) into.set(patch.bytes, patch.offset)
  return into
}

/** The data pages after it. */
export function dataAfter(vector: Vector, into = new Uint8Array(DATA_SIZE)): Uint8Array {
  dataBefore(vector, into)
  for (const patch of vector.writes) into.set(patch.bytes, patch.offset)
  return into
}

/** Where the instruction's bytes begin in the code pages. */
export function codeOffset(vector: Pick<Vector, 'mode' | 'initial'>): number {
  const rip = Number(vector.initial[Word.RIP])
  return vector.mode === 16 ? rip : rip - CODE
}
