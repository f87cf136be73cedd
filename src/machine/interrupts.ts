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

/** What a local APIC tells its processor. All are called on the vCPU's thread, or on the sender's where there are several vCPUs. */
export interface ProcessorPins {
  /** INTR: whether `InterruptController.hasPending` is true. Called on changes only. */
  interrupt(pending: boolean): void
  /** NMI: an edge. */
  nonMaskableInterrupt(): void
  /** INIT: reset the processor without its caches and FPU state, then wait for SIPI. The local APIC has reset itself already. */
  initialize(): void
  /** SIPI: start in real mode at `vector` * 4096 if waiting for it. */
  startUp(vector: number): void
}

/** FERR# and IGNNE# of a processor: its x87 errors as a PC/AT reports them (SDM Vol. 1 appendix D). */
export interface CoprocessorPins {
  /** FERR#, as it was driven last. */
  readonly error: boolean
  setError(asserted: boolean): void
  /** IGNNE#: the processor goes on although an error is pending. */
  readonly ignoresError: boolean
}

/** The MSRs a local APIC answers: IA32_APIC_BASE, IA32_TSC_DEADLINE and the x2APIC registers (0x800 to 0x8ff). */
export interface ApicMsrs {
  /** Null raises #GP(0). */
  readMsr(index: number): bigint | null
  /** False raises #GP(0). */
  writeMsr(index: number, value: bigint): boolean
}
