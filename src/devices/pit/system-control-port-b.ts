import type { Clock } from '../../machine/clock.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { ByteDevice } from '../bus/byte-device.ts'
import type { GatedCounter } from './pit-8254.ts'

/**
 * System control port B (port 0x61), the NMI status and control register. Source: Intel ICH9 data sheet, §13.7.1.
 *
 *   0  bit 0 counter 2 GATE, 1 speaker data, 2 and 3 SERR# and IOCHK# disable (read/write);
 *      4 refresh toggle, 5 counter 2 OUT, 6 and 7 IOCHK# and SERR# status, always 0 (read-only)
 *
 * Left out on purpose: the speaker makes no sound; there are no sources for SERR# and IOCHK#.
 */
export type SystemControlState = { readonly control: number }

/** Half the period of the memory refresh request, which programs use as a delay of 15.085 us. */
const REFRESH_TOGGLE = 15_085

export class SystemControlPortB extends ByteDevice implements Stateful<SystemControlState> {
  readonly schema = 'system-control-port-b'
  readonly version = 1
  private readonly counter2: GatedCounter
  private readonly clock: Clock
  private control = 0

  constructor(counter2: GatedCounter, clock: Clock) {
    super()
    this.counter2 = counter2
    this.clock = clock
  }

  readByte(offset: number): number {
    if (offset !== 0) return 0
    const refresh = Math.floor(this.clock.now() / REFRESH_TOGGLE) % 2
    return this.control | refresh << 4 | (this.counter2.output() ? 0x20 : 0)
  }

  writeByte(offset: number, value: number): void {
    if (offset !== 0) return
    this.control = value & 0x0f
    this.counter2.setGate((value & 1) !== 0)
  }

  reset(): void { this.writeByte(0, 0) }

  save(): SystemControlState { return { control: this.control } }

  /** The gate's level is in the counter's own state. */
  restore(saved: PlainData): void { this.control = new StateReader(this.schema, saved).integer('control', 0, 0x0f) }
}
