import type { State } from './state.ts'
import type { Exception, Vector } from './vector.ts'

/** What an engine made of a vector. */
export interface Outcome {
  /** RIP after the instruction (or where it branched to); the faulting instruction's for a fault. TF and RF are not compared. */
  readonly state: State
  readonly exception: Exception | undefined
  /** The data pages (environment.ts: DATA_SIZE bytes from DATA). */
  readonly data: Uint8Array
}

/**
 * An engine under test. To run a vector it
 *   1. builds the address space and the descriptor tables of environment.ts (once) and puts `vector.code` at CS:RIP;
 *   2. loads `vector.initial` and the data pages (`dataBefore`), at CPL 3;
 *   3. executes exactly one instruction: a repeated one until it ends or faults;
 *   4. returns the state, stopping before the delivery of an exception.
 * Around the instruction the code pages hold INT3, so that an engine that cannot stop after one instruction may run into one. Such an
 * engine must tell that INT3 from the vector's own, and a fault in fetching the next instruction from one in executing this.
 */
export interface VectorTarget {
  readonly name: string
  /** The outcome may be reused by the next call. */
  run(vector: Vector): Outcome
}
