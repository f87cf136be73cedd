import { StateReader } from '../../machine/state-reader.ts'
import { VectorSet } from './vector-set.ts'

export type InterruptRequestsState = {
  readonly TPR: number
  readonly IRR: readonly number[], readonly ISR: readonly number[], readonly TMR: readonly number[]
}

/** The local APIC's queue of fixed interrupts: IRR, ISR, TMR and the priorities. Source: SDM Vol. 3A §11.8. */
export class InterruptRequests {
  readonly irr = new VectorSet()
  readonly isr = new VectorSet()
  readonly tmr = new VectorSet()
  /** Task priority, 0 to 255. */
  tpr = 0

  /** §11.8.3.1. */
  get ppr(): number {
    const inService = Math.max(0, this.isr.highest()) & 0xf0
    return (this.tpr & 0xf0) >= inService ? this.tpr : inService
  }

  /** The vector that the processor may take now, -1 if none. */
  deliverable(): number {
    const vector = this.irr.highest()
    return vector >= 0 && (vector & 0xf0) > (this.ppr & 0xf0) ? vector : -1
  }

  add(vector: number, levelTriggered: boolean): void {
    this.irr.add(vector)
    if (levelTriggered) this.tmr.add(vector)
    else this.tmr.delete(vector)
  }

  /** Moves the deliverable vector into service and returns it, -1 if there is none. */
  take(): number {
    const vector = this.deliverable()
    if (vector >= 0) {
      this.irr.delete(vector)
      this.isr.add(vector)
    }
    return vector
  }

  /** EOI: the vector whose service ends, -1 if none was in service. */
  end(): number {
    const vector = this.isr.highest()
    if (vector >= 0) this.isr.delete(vector)
    return vector
  }

  clear(): void {
    this.irr.clear()
    this.isr.clear()
    this.tmr.clear()
    this.tpr = 0
  }

  save(): InterruptRequestsState {
    return { TPR: this.tpr, IRR: this.irr.save(), ISR: this.isr.save(), TMR: this.tmr.save() }
  }

  restore(state: StateReader): void {
    this.tpr = state.u8('TPR')
    this.irr.restore(state.integers('IRR', 8, 0, 0xffffffff))
    this.isr.restore(state.integers('ISR', 8, 0, 0xffffffff))
    this.tmr.restore(state.integers('TMR', 8, 0, 0xffffffff))
  }
}
