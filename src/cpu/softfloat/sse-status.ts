import { Exception, FloatStatus, PRE_COMPUTATION } from './status.ts'

/** Bits of MXCSR beside the exception flags (SDM Vol. 1 §10.2.3). */
export const Mxcsr = { DAZ: 0x40, MASKS: 0x1f80, MASKS_SHIFT: 7, ROUNDING_SHIFT: 13, FTZ: 0x8000 } as const

/**
 * The environment and the outcome of one SSE instruction. `endLane` collects what each lane raised: when an exception
 * found before the computation is unmasked in any lane, the others' overflow, underflow and precision are not reported.
 */
export class SseStatus extends FloatStatus {
  private earlier = 0
  private before = 0
  private after = 0

  /** Starts an instruction. */
  load(mxcsr: number): void {
    this.flags = 0
    this.earlier = 0
    this.before = 0
    this.after = 0
    this.roundingMode = (mxcsr >> Mxcsr.ROUNDING_SHIFT) & 3
    this.masks = (mxcsr >> Mxcsr.MASKS_SHIFT) & Exception.ALL
    this.denormalsAreZero = (mxcsr & Mxcsr.DAZ) !== 0
    this.flushToZero = (mxcsr & Mxcsr.FTZ) !== 0
  }

  /** Moves the flags of the lane just computed aside. */
  endLane(): void {
    this.before |= this.flags & PRE_COMPUTATION
    this.after |= this.flags & ~PRE_COMPUTATION
    this.flags = 0
  }

  /** Ends a step of an instruction with several; returns whether the next may happen. */
  endStep(): boolean {
    this.earlier = this.raised
    this.before = 0
    this.after = 0
    return !this.faults
  }

  /** The exceptions that the instruction raises, after its last lane. */
  get raised(): number {
    const suppressed = (this.before & ~this.masks) !== 0
    return this.earlier | this.before | (suppressed ? 0 : this.after)
  }

  /** An unmasked exception was raised: the destination stays, MXCSR takes `raised`, and the vector is #XM (19). */
  get faults(): boolean { return (this.raised & ~this.masks) !== 0 }
}
