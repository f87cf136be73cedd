import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { ByteDevice } from '../bus/byte-device.ts'

/**
 * Reset control register (port 0xcf9), which is also the FADT's RESET_REG. Source: Intel ICH9 data sheet, §13.7.5; ACPI
 * Specification 6.5, §4.8.3.6.
 *
 *   0  bit 1 system reset, 2 reset processor (0 to 1 resets), 3 full reset
 *
 * Left out on purpose: the difference between the kinds of reset; each is a hard reset of the machine.
 */
export type ResetControlState = { readonly value: number }
const RESET_PROCESSOR = 4
const WRITABLE = 0x0e

/** The FADT's RESET_VALUE. */
export const RESET_VALUE = 0x06

export class ResetControl extends ByteDevice implements Stateful<ResetControlState> {
  readonly schema = 'reset-control'
  readonly version = 1
  private readonly resetMachine: () => void
  private value = 0

  /** `resetMachine` is called during a port write. */
  constructor(resetMachine: () => void) {
    super()
    this.resetMachine = resetMachine
  }

  readByte(offset: number): number { return offset === 0 ? this.value : 0 }

  writeByte(offset: number, value: number): void {
    if (offset !== 0) return
    const rises = value & ~this.value & RESET_PROCESSOR
    this.value = value & WRITABLE
    if (rises) this.resetMachine()
  }

  reset(): void { this.value = 0 }

  save(): ResetControlState { return { value: this.value } }

  restore(saved: PlainData): void { this.value = new StateReader(this.schema, saved).u8('value') & WRITABLE }
}
