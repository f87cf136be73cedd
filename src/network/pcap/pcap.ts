/**
 * Captures of frames as files. Source: draft-ietf-opsawg-pcap, "PCAP Capture File Format".
 *
 *   file header   magic 0xa1b23c4d (times in ns)   version 2.4   two zeros   longest frame (4)   link type 1 (Ethernet)
 *   each frame    seconds (4)   nanoseconds (4)   length here (4)   length of the frame (4)   the frame
 *
 * Numbers are little-endian. Checksums that are still missing are completed in the copy, so that readers find none wrong; a frame that is
 * to be cut is written whole, as a card would show it to its own host.
 */
import { LARGEST_FRAME, plainFrame } from '../../machine/frame.ts'
import type { Frame } from '../../machine/frame.ts'
import { completeChecksum } from '../../machine/frame-offload.ts'

const MAGIC = 0xa1b23c4d
const FILE_HEADER = 24
const RECORD_HEADER = 16
const ETHERNET = 1
const SNAP_LENGTH = 262_144

export class PcapWriter {
  readonly #write: (bytes: Uint8Array) => void
  readonly #now: () => number
  readonly #bytes = new Uint8Array(RECORD_HEADER + LARGEST_FRAME + 4)
  readonly #view = new DataView(this.#bytes.buffer)
  readonly #copy = plainFrame(this.#bytes, RECORD_HEADER)

  /** `write` gets pieces of the file, which it must have used when it returns; `now` gives milliseconds since 1970. */
  constructor(write: (bytes: Uint8Array) => void, now: () => number) {
    this.#write = write
    this.#now = now
    const header = new DataView(new ArrayBuffer(FILE_HEADER))
    header.setUint32(0, MAGIC, true)
    header.setUint16(4, 2, true)
    header.setUint16(6, 4, true)
    header.setUint32(16, SNAP_LENGTH, true)
    header.setUint32(20, ETHERNET, true)
    write(new Uint8Array(header.buffer))
  }

  readonly add = (frame: Frame): void => {
    const copy = this.#copy
    const milliseconds = this.#now()
    copy.length = frame.length
    copy.checksumStart = frame.checksumStart
    copy.checksumOffset = frame.checksumOffset
    this.#bytes.set(frame.bytes.subarray(frame.start, frame.start + frame.length), RECORD_HEADER)
    completeChecksum(copy)
    this.#view.setUint32(0, Math.floor(milliseconds / 1000), true)
    this.#view.setUint32(4, Math.floor(milliseconds % 1000 * 1e6), true)
    this.#view.setUint32(8, frame.length, true)
    this.#view.setUint32(12, frame.length, true)
    this.#write(this.#bytes.subarray(0, RECORD_HEADER + frame.length))
  }
}
