import type { CoprocessorPins, InterruptLine } from '../../machine/interrupts.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { ByteDevice } from '../bus/byte-device.ts'

/**
 * Coprocessor error logic (port 0xf0). Source: Intel ICH9 data sheet, "Processor Interface", FERR# and IGNNE#, and the register
 * COPROC_ERR; SDM Vol. 1 appendix D.2.
 *
 *   0  write: releases IRQ 13, and asserts IGNNE# for as long as FERR# is asserted
 *
 * IRQ 13 is a latch, set when FERR# becomes asserted. Left out on purpose: the PC/AT's port 0xf1, which reset an 80287.
 */
export type CoprocessorErrorState = { readonly error: boolean, readonly ignoresError: boolean, readonly interrupt: boolean }

export class CoprocessorError extends ByteDevice implements CoprocessorPins, Stateful<CoprocessorErrorState> {
  readonly schema = 'coprocessor-error'
  readonly version = 1
  error = false
  ignoresError = false
  private readonly irq: InterruptLine
  private interrupt = false

  constructor(irq: InterruptLine) {
    super()
    this.irq = irq
  }

  setError(asserted: boolean): void {
    if (asserted && !this.error) this.drive(true)
    if (!asserted) this.ignoresError = false
    this.error = asserted
  }

  readByte(): number { return 0xff }

  writeByte(offset: number): void {
    if (offset !== 0) return
    this.drive(false)
    this.ignoresError = this.error
  }

  reset(): void {
    this.error = this.ignoresError = false
    this.drive(false)
  }

  save(): CoprocessorErrorState { return { error: this.error, ignoresError: this.ignoresError, interrupt: this.interrupt } }

  restore(saved: PlainData): void {
    const state = new StateReader(this.schema, saved)
    this.error = state.boolean('error')
    this.ignoresError = state.boolean('ignoresError')
    this.drive(state.boolean('interrupt'))
  }

  private drive(interrupt: boolean): void {
    this.interrupt = interrupt
    this.irq.setLevel(interrupt)
  }
}
