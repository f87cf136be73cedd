/**
 * What a device gives to the buses: register accesses by offset. A device never knows where in an address space it stands.
 *
 * Values are unsigned numbers of the access size. A read of an unimplemented register returns 0; hostile offsets and sizes never throw.
 */
export type PortSize = 1 | 2 | 4

export interface PortDevice {
  /** `offset` is relative to the start of the device's port range. */
  readPort(offset: number, size: PortSize): number
  writePort(offset: number, size: PortSize, value: number): void
}

/** The memory bus splits accesses that are wider than 4 bytes or unaligned, low half first. */
export interface MmioDevice {
  readMmio(offset: number, size: PortSize): number
  writeMmio(offset: number, size: PortSize, value: number): void
}
