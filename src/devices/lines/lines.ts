import type { InterruptLine } from '../../machine/interrupts.ts'

/**
 * Wiring between devices and interrupt controllers. Wires have no state of their own in a snapshot: each device drives its lines
 * when it is restored.
 */

/** One output that leads to several inputs: an ISA interrupt reaches the PIC pair and the I/O APIC. */
export function fanOut(...inputs: readonly InterruptLine[]): InterruptLine {
  return {
    setLevel(asserted: boolean): void {
      for (const input of inputs) input.setLevel(asserted)
    },
  }
}

/** A level-triggered line shared by several devices: asserted while any of them asserts it. */
export class SharedLine {
  private readonly output: InterruptLine
  private asserting = 0

  constructor(output: InterruptLine) { this.output = output }

  /** A new input, deasserted. */
  input(): InterruptLine {
    let level = false
    return {
      setLevel: (asserted: boolean): void => {
        if (asserted === level) return
        level = asserted
        this.change(asserted ? 1 : -1)
      },
    }
  }

  private change(by: number): void {
    const before = this.asserting > 0
    this.asserting += by
    const after = this.asserting > 0
    if (before !== after) this.output.setLevel(after)
  }
}
