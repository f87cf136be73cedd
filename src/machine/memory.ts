import type { GuestPhysical } from '../base/addresses.ts'

/**
 * Guest-physical memory as devices and loaders see it. Addresses outside RAM read as all ones and ignore writes; nothing throws.
 * Accesses need no alignment and may cross pages. Writes are seen by code caches and dirty logging.
 */
export interface GuestMemory {
  /** Bytes of RAM below the PCI hole, starting at 0, then of RAM from 4 GiB. */
  readonly lowSize: number
  readonly highSize: number
  read(address: GuestPhysical, into: Uint8Array): void
  write(address: GuestPhysical, from: Uint8Array): void
  readU8(address: GuestPhysical): number
  readU16(address: GuestPhysical): number
  readU32(address: GuestPhysical): number
  readU64(address: GuestPhysical): bigint
  writeU8(address: GuestPhysical, value: number): void
  writeU16(address: GuestPhysical, value: number): void
  writeU32(address: GuestPhysical, value: number): void
  writeU64(address: GuestPhysical, value: bigint): void
}
