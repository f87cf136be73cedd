import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { ByteDevice } from '../bus/byte-device.ts'

/**
 * System control port A (port 0x92). Source: IBM PS/2 Hardware Interface Technical Reference, "System Control Port A".
 *
 *   0  bit 0 fast reset (0 to 1 resets), 1 A20 gate; both read back
 *
 * Left out on purpose: the A20 gate's effect (address line 20 is always on), the security lock and the activity lights.
 */
export type Port92State = { readonly value: number }
const FAST_RESET = 1
const A20 = 2

export class Port92 extends ByteDevice implements Stateful<Port92State> {
  readonly schema = 'port-92'
  readonly version = 1
  private readonly resetMachine: () => void
  private value = A20

  /** `resetMachine` is called during a port write. */
  constructor(resetMachine: () => void) {
    super()
    this.resetMachine = resetMachine
  }

  readByte(offset: number): number { return offset === 0 ? this.value : 0 }

  writeByte(offset: number, value: number): void {
    if (offset !== 0) return
    const rises = value & ~this.value & FAST_RESET
    this.value = value & (FAST_RESET | A20)
    if (rises) this.resetMachine()
  }

  reset(): void { this.value = A20 }

  save(): Port92State { return { value: this.value } }

  restore(saved: PlainData): void { this.value = new StateReader(this.schema, saved).integer('value', 0, 3) }
}
