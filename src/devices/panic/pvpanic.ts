import { ByteDevice } from '../bus/byte-device.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'

/**
 * pvpanic: the guest's kernel says that it has panicked. Source: QEMU's specification "PVPANIC DEVICE" (docs/specs/pvpanic), the ISA
 * device, which ACPI knows as QEMU0001.
 *
 *   0  read: the events that the device knows   write: an event that has happened: bit 0 panicked, 1 panicked and a crash kernel takes over
 *
 * Left out on purpose: the event of an orderly shutdown (ACPI says that), the PCI and memory-mapped kinds of the device.
 */
export const PanicEvent = { PANICKED: 1, CRASH_LOADED: 2 } as const
const KNOWN = PanicEvent.PANICKED | PanicEvent.CRASH_LOADED

/** What a guest's kernel says as it gives up: whether it has another that takes over and saves what is left. */
export type GuestPanic = 'panicked' | 'crash-kernel'

export class PvPanic extends ByteDevice implements Stateful<{ readonly events: number }> {
  readonly schema = 'pvpanic'
  readonly version = 1
  private readonly panicked: (panic: GuestPanic) => void
  /** Events that were reported since the reset. */
  private events = 0

  /** `panicked` is called during a port write, once for each kind of event until a reset. */
  constructor(panicked: (panic: GuestPanic) => void) {
    super()
    this.panicked = panicked
  }

  readByte(offset: number): number { return offset === 0 ? KNOWN : 0 }

  writeByte(offset: number, value: number): void {
    if (offset !== 0) return
    const added = value & KNOWN & ~this.events
    this.events |= added
    if ((added & PanicEvent.CRASH_LOADED) !== 0) this.panicked('crash-kernel')
    if ((added & PanicEvent.PANICKED) !== 0) this.panicked('panicked')
  }

  reset(): void { this.events = 0 }

  save(): { readonly events: number } { return { events: this.events } }

  restore(saved: PlainData): void { this.events = new StateReader(this.schema, saved).u8('events') & KNOWN }
}
