import type { InterruptLine } from '../../machine/interrupts.ts'

/** A wire that counts its edges. */
export class RecordedLine implements InterruptLine {
  asserted = false
  rises = 0
  falls = 0

  setLevel(asserted: boolean): void {
    if (asserted === this.asserted) return
    this.asserted = asserted
    if (asserted) this.rises++
    else this.falls++
  }
}
