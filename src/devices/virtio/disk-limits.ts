/** What a request to a disk may ask for: it bounds what a hostile guest can make us hold. */
export const DISK_LIMITS = {
  /** Bytes of a data buffer, data buffers, and bytes of a request. */
  SEGMENT: 16 << 10,
  SEGMENTS: 254,
  TRANSFER: 254 * (16 << 10),
  /** Bytes of a range to discard, and ranges. */
  DISCARD: 2 ** 30,
  DISCARD_SEGMENTS: 16,
  /** Bytes in which guests should think: a page. */
  GOOD_TRANSFER: 4096,
} as const
