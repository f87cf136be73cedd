import type { PortSize } from './io.ts'

/** One PCI function as the configuration mechanisms see it. Offsets are 0 to 4095; an access stays inside one doubleword. */
export interface PciFunction {
  readConfig(offset: number, size: PortSize): number
  writeConfig(offset: number, size: PortSize, value: number): void
}

/**
 * A range of device registers that its device may move in an address space: what stands behind a PCI base address register.
 *
 * The address is the guest's choice, so any is accepted: where the space ends, or something with a fixed place already stands, the
 * window is simply not seen.
 */
export interface AddressWindow {
  /** Null takes the window out of the address space. */
  moveTo(address: number | null): void
}
