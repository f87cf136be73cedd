import type { GuestPhysical } from '../base/addresses.ts'
import type { TransferLedger } from './transfers.ts'

/**
 * Guest-physical memory as devices and loaders see it. Addresses outside RAM read as all ones and ignore writes; nothing throws.
 * Accesses need no alignment and may cross pages. Writes are seen by code caches and dirty logging.
 */
export interface GuestMemory {
  /** Bytes of RAM below the PCI hole, starting at 0, then of RAM from 4 GiB. */
  readonly lowSize: number
  readonly highSize: number
  /**
   * Who carries out a transfer on `ranges` later than at once begins it here before, and ends it when it is done: memory that the
   * guest gives back is not another's until then.
   */
  readonly transfers: TransferLedger
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
  /**
   * Views of the memory itself, for a transfer that something else carries out: in order, together `length` bytes. With `forWriting`
   * the pages get frames of their own, and `written` must be called once the bytes are there. Null if any of the range is not RAM
   * (or, for writing, is ROM).
   */
  ranges(address: GuestPhysical, length: number, forWriting: boolean): Uint8Array[] | null
  /** A transfer into `ranges` has ended: code that was decoded from there is stale. */
  written(address: GuestPhysical, length: number): void
}

/** True if all of the range is RAM, ROM within it included. An empty range is, anywhere. */
export function isRam({ lowSize, highSize }: GuestMemory, address: number, length: number): boolean {
  const end = address + length
  return length === 0 || end <= lowSize || address >= HIGH_MEMORY && end <= HIGH_MEMORY + highSize
}

const HIGH_MEMORY = 2 ** 32
