/**
 * State as plain data: numbers, strings, booleans, bigints, null, Uint8Arrays, arrays and plain objects of these.
 * What a snapshot holds is what the device *is*, never how it is implemented.
 */
export type PlainData =
  | number | string | boolean | bigint | null | Uint8Array
  | readonly PlainData[]
  | { readonly [key: string]: PlainData }

/** One part of a snapshot. `schema` names the part's shape (`uart-16550`), `version` its revision, from 1. */
export interface SnapshotPart<State extends PlainData = PlainData> {
  readonly schema: string
  readonly version: number
  readonly state: State
}

/**
 * A part of a machine that can be reset, saved and restored.
 *
 * `restore` is called on a freshly built part with the same configuration, before the first instruction; it re-arms its own timers
 * from its own state and drives its own interrupt lines. It validates what it reads (a snapshot is hostile) and throws a TenonError
 * with code SNAPSHOT_INVALID; it must not keep references into the state it was given.
 */
export interface Stateful<State extends PlainData = PlainData> {
  readonly schema: string
  readonly version: number
  save(): State
  restore(state: State): void
  /** Power-on or hard reset. */
  reset(): void
  /**
   * All parts of the machine and its memory are restored: the part takes up again what was under way, such as a disk's requests. Not
   * for anything else: what it causes (interrupts, changed memory) is activity, not state.
   */
  resume?(): void
}
