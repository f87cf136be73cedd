/** A line's end on the machine's thread, as the run loop sees it. */
export interface MachineLine {
  /** The main thread has put bytes for the guest into the input ring. */
  inputReady(): void
  /** The main thread has made room in the output ring. */
  release(): void
  /** Between slices: holds the guest back if its bytes pile up. Returns whether there is news for the main thread. */
  settle(): boolean
}
