/** What the main thread asks of a machine's thread by messages; the bell says that there is one. Each is answered by its number. */
export type ControlRequest =
  /** Lets the guest stand still, its disks answered and flushed. */
  | { readonly kind: 'pause' }
  | { readonly kind: 'resume' }
  /** Writes a snapshot; a machine that was not paused goes on afterwards. */
  | { readonly kind: 'save', readonly path: string }

export interface ControlOrder {
  readonly number: number
  readonly request: ControlRequest
}

/** A TenonError's code and message. */
export interface ControlProblem {
  readonly code: string
  readonly message: string
}
