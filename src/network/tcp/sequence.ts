/**
 * Sequence numbers: RFC 9293, section 3.4.
 *
 * They count modulo 2^32, so "before" is a question about the difference, and holds for numbers less than 2^31 apart. Here they are
 * signed 32-bit integers: small integers to the engine, of which a connection can hold many without an allocation.
 */

/** Bytes from `from` to `to`, negative if `to` is before `from`. */
export function distance(from: number, to: number): number { return (to - from) | 0 }

export function advance(sequence: number, bytes: number): number { return (sequence + bytes) | 0 }

export function isBefore(one: number, other: number): boolean { return ((one - other) | 0) < 0 }

export function isAfter(one: number, other: number): boolean { return ((one - other) | 0) > 0 }

/** The later of the two. */
export function later(one: number, other: number): number { return isAfter(one, other) ? one : other }

/** The earlier of the two. */
export function earlier(one: number, other: number): number { return isBefore(one, other) ? one : other }
