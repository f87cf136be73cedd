/**
 * Addresses and frame numbers, branded so that one is never passed for another.
 *
 * A guest-physical address fits a `number` exactly: MAXPHYADDR is below 53 bits. A guest-virtual address needs all 64 bits and is
 * carried as two 32-bit halves on hot paths, as a `bigint` elsewhere.
 */
declare const brand: unique symbol

/** Guest-physical address (GPA), bytes, 0 to 2^52 - 1. */
export type GuestPhysical = number & { readonly [brand]: 'GuestPhysical' }

/** Guest-virtual address (GVA) as an unsigned 64-bit bigint. */
export type GuestVirtual = bigint & { readonly [brand]: 'GuestVirtual' }

/** Number of a 4 KiB machine frame inside a pool. */
export type FrameNumber = number & { readonly [brand]: 'FrameNumber' }

export const gpa = (value: number): GuestPhysical => value as GuestPhysical
export const gva = (value: bigint): GuestVirtual => BigInt.asUintN(64, value) as GuestVirtual
export const frameNumber = (value: number): FrameNumber => value as FrameNumber

export const PAGE_SHIFT = 12
export const PAGE_SIZE = 4096
export const PAGE_MASK = 4095
