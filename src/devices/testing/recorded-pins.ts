import type { ProcessorPins } from '../../machine/interrupts.ts'

/** A processor that remembers what its local APIC told it. */
export class RecordedPins implements ProcessorPins {
  intr = false
  readonly events: string[] = []

  interrupt(pending: boolean): void { this.intr = pending }
  nonMaskableInterrupt(): void { this.events.push('NMI') }
  initialize(): void { this.events.push('INIT') }
  startUp(vector: number): void { this.events.push(`SIPI ${vector}`) }
}
