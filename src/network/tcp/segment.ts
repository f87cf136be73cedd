/**
 * A TCP segment: RFC 9293, section 3.1; options of RFC 7323 (window scale, timestamps) and RFC 2018 (SACK).
 *
 *   0  source port         2  destination port    4  sequence number     8  acknowledgment number
 *   12 data offset (in words, upper 4 bits)       13 control bits        14 window
 *   16 checksum            18 urgent pointer      20 options, padded to words
 *
 *   option   kind  length
 *   end      0     -         maximum segment size  2  4     window scale  3  3
 *   nothing  1     -         SACK permitted        4  2     SACK          5  2 + 8n     timestamps  8  10
 *
 * Left out: the urgent pointer (RFC 6093 advises against it, so urgent data are data like any other), TCP-AO, Fast Open and ECN. Options
 * that are not in the table are skipped.
 */
export const HEADER_SIZE = 20
/** Bytes that a header can have at most: 15 words. */
export const HEADER_SIZE_MAXIMUM = 60

export const Control = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16, URG: 32 } as const

const Option = { END: 0, NO_OPERATION: 1, MAXIMUM_SEGMENT_SIZE: 2, WINDOW_SCALE: 3, SACK_PERMITTED: 4, SACK: 5, TIMESTAMPS: 8 } as const

/** Blocks that fit beside timestamps are 3; without, 4. RFC 2018, section 3. */
export const SACK_BLOCKS_MAXIMUM = 4
/** RFC 7323, section 2.3: a larger shift counts as 14. */
export const WINDOW_SCALE_MAXIMUM = 14

/**
 * A segment that came in. One object serves all segments: `parse` fills it from bytes that stay where they are.
 * Sequence numbers and timestamps are signed, see sequence.ts.
 */
export class Segment {
  sourcePort = 0
  destinationPort = 0
  sequence = 0
  acknowledgment = 0
  control = 0
  /** As in the header, not scaled. */
  window = 0
  /** 0: the option is missing. */
  maximumSegmentSize = 0
  /** -1: the option is missing. */
  windowScale = -1
  sackPermitted = false
  hasTimestamps = false
  timestamp = 0
  timestampEcho = 0
  /** Pairs of first sequence number and the one after the last. */
  readonly sackBlocks = new Int32Array(2 * SACK_BLOCKS_MAXIMUM)
  sackCount = 0
  bytes: Uint8Array = new Uint8Array(0)
  payloadStart = 0
  payloadLength = 0

  /** What the segment takes of the sequence space: its payload, SYN and FIN. */
  get span(): number {
    return this.payloadLength + (this.control & Control.SYN ? 1 : 0) + (this.control & Control.FIN ? 1 : 0)
  }

  has(control: number): boolean { return (this.control & control) !== 0 }

  /** False if the bytes are no segment. The checksum is not looked at. An option that is cut off ends the options. */
  parse(bytes: Uint8Array, start: number, length: number): boolean {
    if (length < HEADER_SIZE) return false
    const headerSize = (bytes[start + 12] >>> 4) * 4
    if (headerSize < HEADER_SIZE || headerSize > length) return false
    this.sourcePort = read16(bytes, start)
    this.destinationPort = read16(bytes, start + 2)
    this.sequence = read32(bytes, start + 4)
    this.acknowledgment = read32(bytes, start + 8)
    this.control = bytes[start + 13]
    this.window = read16(bytes, start + 14)
    this.bytes = bytes
    this.payloadStart = start + headerSize
    this.payloadLength = length - headerSize
    this.clearOptions()
    if (headerSize > HEADER_SIZE) this.parseOptions(start + HEADER_SIZE, start + headerSize)
    return true
  }

  private clearOptions(): void {
    this.maximumSegmentSize = 0
    this.windowScale = -1
    this.sackPermitted = false
    this.hasTimestamps = false
    this.sackCount = 0
  }

  private parseOptions(start: number, end: number): void {
    const { bytes } = this
    let at = start
    while (at < end && bytes[at] !== Option.END) {
      if (bytes[at] === Option.NO_OPERATION) {
        at++
        continue
      }
      const length = at + 1 < end ? bytes[at + 1] : 0
      if (length < 2 || at + length > end) return
      this.parseOption(bytes[at], at + 2, length - 2)
      at += length
    }
  }

  private parseOption(kind: number, at: number, length: number): void {
    const { bytes } = this
    const isSyn = this.has(Control.SYN)
    if (kind === Option.TIMESTAMPS && length === 8) {
      this.hasTimestamps = true
      this.timestamp = read32(bytes, at)
      this.timestampEcho = read32(bytes, at + 4)
    } else if (kind === Option.SACK) this.parseSack(at, length)
    else if (kind === Option.MAXIMUM_SEGMENT_SIZE && length === 2 && isSyn) this.maximumSegmentSize = read16(bytes, at)
    else if (kind === Option.WINDOW_SCALE && length === 1 && isSyn) this.windowScale = Math.min(bytes[at], WINDOW_SCALE_MAXIMUM)
    else if (kind === Option.SACK_PERMITTED && length === 0 && isSyn) this.sackPermitted = true
  }

  private parseSack(at: number, length: number): void {
    if (length % 8 !== 0 || length > 8 * SACK_BLOCKS_MAXIMUM) return
    this.sackCount = length / 8
    for (let index = 0; index < length / 4; index++) this.sackBlocks[index] = read32(this.bytes, at + index * 4)
  }
}

/** Writes the 20 bytes of a header without options; `headerSize` counts those that will follow. The checksum is left 0. */
export function writeHeader(bytes: Uint8Array, at: number, sourcePort: number, destinationPort: number, sequence: number,
  acknowledgment: number, headerSize: number, control: number, window: number): void {
  write16(bytes, at, sourcePort)
  write16(bytes, at + 2, destinationPort)
  write32(bytes, at + 4, sequence)
  write32(bytes, at + 8, acknowledgment)
  bytes[at + 12] = (headerSize / 4) << 4
  bytes[at + 13] = control
  write16(bytes, at + 14, window)
  write32(bytes, at + 16, 0)
}

/** Each of these writes an option, padded to words, and returns the offset after it. */
export function writeMaximumSegmentSize(bytes: Uint8Array, at: number, size: number): number {
  bytes[at] = Option.MAXIMUM_SEGMENT_SIZE
  bytes[at + 1] = 4
  write16(bytes, at + 2, size)
  return at + 4
}

export function writeWindowScale(bytes: Uint8Array, at: number, shift: number): number {
  bytes[at] = Option.NO_OPERATION
  bytes[at + 1] = Option.WINDOW_SCALE
  bytes[at + 2] = 3
  bytes[at + 3] = shift
  return at + 4
}

export function writeSackPermitted(bytes: Uint8Array, at: number): number {
  bytes[at] = Option.NO_OPERATION
  bytes[at + 1] = Option.NO_OPERATION
  bytes[at + 2] = Option.SACK_PERMITTED
  bytes[at + 3] = 2
  return at + 4
}

export const TIMESTAMPS_SIZE = 12

export function writeTimestamps(bytes: Uint8Array, at: number, timestamp: number, echo: number): number {
  bytes[at] = Option.NO_OPERATION
  bytes[at + 1] = Option.NO_OPERATION
  bytes[at + 2] = Option.TIMESTAMPS
  bytes[at + 3] = 10
  write32(bytes, at + 4, timestamp)
  write32(bytes, at + 8, echo)
  return at + TIMESTAMPS_SIZE
}

/** `blocks` are pairs as in `Segment.sackBlocks`, `count` at least 1. */
export function writeSack(bytes: Uint8Array, at: number, blocks: Int32Array, count: number): number {
  bytes[at] = Option.NO_OPERATION
  bytes[at + 1] = Option.NO_OPERATION
  bytes[at + 2] = Option.SACK
  bytes[at + 3] = 2 + 8 * count
  for (let index = 0; index < 2 * count; index++) write32(bytes, at + 4 + index * 4, blocks[index])
  return at + 4 + 8 * count
}

function read16(bytes: Uint8Array, at: number): number { return bytes[at] << 8 | bytes[at + 1] }

function read32(bytes: Uint8Array, at: number): number {
  return bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]
}

function write16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}

function write32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}
