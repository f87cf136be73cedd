/** A level-triggered or edge-triggered interrupt input, as its device sees it: a wire. */
export interface InterruptLine {
  /** Drives the wire. Setting the level that it has already has no effect. */
  setLevel(asserted: boolean): void
}

/** Message-signalled interrupts: a write of `data` to `address` in the local APICs' window (SDM Vol. 3A §11.11). */
export interface MessageSink {
  sendMessage(address: number, data: number): void
}

/** What a vCPU asks of its interrupt controllers between instructions. */
export interface InterruptController {
  /** True if a maskable interrupt waits for the processor (RFLAGS.IF is the processor's own affair). */
  hasPending(): boolean
  /** The vector to deliver now; acknowledges it. -1 if the interrupt went away. */
  acknowledge(): number
}
