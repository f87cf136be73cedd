import type { InterruptLine } from '../../machine/interrupts.ts'
import type { MmioDevice, PortSize } from '../../machine/io.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'
import type { ApicBus } from './apic-bus.ts'
import { DeliveryMode } from './registers.ts'

/**
 * I/O APIC. Source: Intel 82093AA data sheet (290566-001), §3.0; version 0x20 and the EOI register: Intel ICH9 data sheet, §13.5.
 *
 *   0x00  IOREGSEL   0x10  IOWIN   0x40  EOI (write-only: the vector)
 *
 *   IOREGSEL 0x00  ID, bits 27:24            0x01  version 0x20, last entry in 23:16     0x02  arbitration ID
 *            0x10 + 2n, 0x11 + 2n  redirection entry n: vector 7:0, delivery mode 10:8, logical 11, delivery status 12 (always 0),
 *            polarity 13, remote IRR 14 (read-only), level 15, mask 16, destination 63:56
 *
 * Left out on purpose: polarity is stored and has no effect (a line is asserted or not); edges while masked are lost, as in the
 * 82093AA; SMI.
 */
export const IO_APIC_PINS = 24
const VERSION = 0x20 | IO_APIC_PINS - 1 << 16
const LOW_WRITABLE = 0x1afff
const Entry = { LOGICAL: 0x800, REMOTE_IRR: 0x4000, LEVEL: 0x8000, MASKED: 0x10000 } as const

export type IoApicState = {
  readonly select: number, readonly ID: number
  /** Low and high words of the redirection entries. */
  readonly low: readonly number[], readonly high: readonly number[]
  /** Levels of the pins, one bit each. */
  readonly pins: number
}

export class IoApic implements MmioDevice, Stateful<IoApicState> {
  readonly schema = 'io-apic'
  readonly version = 1
  private readonly bus: ApicBus
  private readonly initialId: number
  private select = 0
  private id: number
  private readonly low = new Uint32Array(IO_APIC_PINS).fill(Entry.MASKED)
  private readonly high = new Uint32Array(IO_APIC_PINS)
  private pins = 0

  /** `id` is 0 to 15. */
  constructor(bus: ApicBus, id: number) {
    this.bus = bus
    this.initialId = this.id = id
    bus.onEoi((vector) => this.endOfInterrupt(vector))
  }

  /** The input wire of a pin, 0 to 23. */
  pin(number: number): InterruptLine {
    return { setLevel: (asserted) => this.setPin(number, asserted) }
  }

  readMmio(offset: number, size: PortSize): number {
    if (size !== 4) return 0
    if (offset === 0x00) return this.select
    return offset === 0x10 ? this.readRegister(this.select) : 0
  }

  /** Registers take 32-bit writes only; the select register takes bytes too. */
  writeMmio(offset: number, size: PortSize, value: number): void {
    if (offset === 0x00) this.select = value & 0xff
    else if (size === 4 && offset === 0x10) this.writeRegister(this.select, value)
    else if (size === 4 && offset === 0x40) this.endOfInterrupt(value & 0xff)
  }

  reset(): void {
    this.select = 0
    this.id = this.initialId
    this.low.fill(Entry.MASKED)
    this.high.fill(0)
  }

  save(): IoApicState {
    return { select: this.select, ID: this.id, low: Array.from(this.low), high: Array.from(this.high), pins: this.pins }
  }

  restore(saved: PlainData): void {
    const state = new StateReader(this.schema, saved)
    this.select = state.u8('select')
    this.id = state.integer('ID', 0, 15)
    this.low.set(state.integers('low', IO_APIC_PINS, 0, 0xffffffff).map((word) => word & (LOW_WRITABLE | Entry.REMOTE_IRR)))
    this.high.set(state.integers('high', IO_APIC_PINS, 0, 0xffffffff).map((word) => word & 0xff000000))
    this.pins = state.integer('pins', 0, 2 ** IO_APIC_PINS - 1)
  }

  private readRegister(register: number): number {
    const entry = register - 0x10 >> 1
    if (register >= 0x10 && entry < IO_APIC_PINS) return register & 1 ? this.high[entry] : this.low[entry]
    switch (register) {
      case 0: case 2: return this.id << 24
      case 1: return VERSION
      default: return 0
    }
  }

  private writeRegister(register: number, value: number): void {
    const entry = register - 0x10 >> 1
    if (register === 0) this.id = value >>> 24 & 15
    else if (register < 0x10 || entry >= IO_APIC_PINS) return
    else if (register & 1) this.high[entry] = value & 0xff000000
    else this.writeLow(entry, value)
  }

  /** Remote IRR has a meaning for level-triggered entries only: an entry made edge-triggered loses it. */
  private writeLow(entry: number, value: number): void {
    const remoteIrr = value & Entry.LEVEL ? this.low[entry] & Entry.REMOTE_IRR : 0
    this.low[entry] = value & LOW_WRITABLE | remoteIrr
    this.deliverLevel(entry)
  }

  private setPin(pin: number, asserted: boolean): void {
    const bit = 1 << pin
    if (((this.pins & bit) !== 0) === asserted) return
    this.pins ^= bit
    if (!asserted) return
    if (this.low[pin] & Entry.LEVEL) this.deliverLevel(pin)
    else if ((this.low[pin] & Entry.MASKED) === 0) this.deliver(pin, false)
  }

  /** Delivers a level that is asserted, unless it is masked or waits for its EOI. */
  private deliverLevel(pin: number): void {
    const low = this.low[pin]
    if ((this.pins & 1 << pin) === 0 || (low & (Entry.LEVEL | Entry.MASKED | Entry.REMOTE_IRR)) !== Entry.LEVEL) return
    const mode = low >> 8 & 7
    const waits = mode === DeliveryMode.FIXED || mode === DeliveryMode.LOWEST_PRIORITY
    if (waits) this.low[pin] |= Entry.REMOTE_IRR
    if (!this.deliver(pin, waits)) this.low[pin] &= ~Entry.REMOTE_IRR
  }

  private deliver(pin: number, levelTriggered: boolean): boolean {
    const low = this.low[pin]
    return this.bus.deliverNarrow(this.high[pin] >>> 24, (low & Entry.LOGICAL) !== 0, low >> 8 & 7, low & 0xff, levelTriggered)
  }

  private endOfInterrupt(vector: number): void {
    for (let pin = 0; pin < IO_APIC_PINS; pin++) {
      const low = this.low[pin]
      if ((low & 0xff) !== vector || (low & Entry.REMOTE_IRR) === 0) continue
      this.low[pin] &= ~Entry.REMOTE_IRR
      this.deliverLevel(pin)
    }
  }
}
