/**
 * The same frame with and without a VLAN tag, for ports that want it otherwise than it came in. Source: IEEE 802.1Q §6.9, §9.6.
 *
 *   0 addresses (12)   12 0x8100, priority and VLAN   16 type
 *
 * A frame is rewritten once, however many ports get it.
 */
import { LARGEST_FRAME, plainFrame } from '../../machine/frame.ts'
import type { Frame } from '../../machine/frame.ts'
import { EtherType } from '../packet/ethernet.ts'
import { setU16 } from '../packet/bytes.ts'
import { TAG_LENGTH } from './frame-fields.ts'
import type { FrameFields } from './frame-fields.ts'

const ADDRESSES = 12

export class VlanRewriter {
  readonly #tagged = plainFrame(new Uint8Array(LARGEST_FRAME + TAG_LENGTH))
  readonly #untagged = plainFrame(new Uint8Array(LARGEST_FRAME))
  #frame!: Frame
  #tagLength = 0
  #vlan = 0
  #hasVlan = false
  #hasTagged = false
  #hasUntagged = false

  /** The next frame, which belongs to a VLAN. */
  begin(frame: Frame, fields: FrameFields, vlan: number): void {
    this.#frame = frame
    this.#tagLength = fields.tagLength
    this.#hasVlan = fields.vlan !== 0
    this.#vlan = vlan
    this.#hasTagged = this.#hasUntagged = false
  }

  /** With a tag of its VLAN, or without one. */
  get(tagged: boolean): Frame { return tagged ? this.#withTag() : this.#withoutTag() }

  #withTag(): Frame {
    if (this.#hasVlan) return this.#frame
    if (!this.#hasTagged) {
      this.#rewrite(this.#tagged, TAG_LENGTH)
      setU16(this.#tagged.bytes, ADDRESSES, EtherType.VLAN)
      setU16(this.#tagged.bytes, ADDRESSES + 2, this.#vlan)
      this.#hasTagged = true
    }
    return this.#tagged
  }

  #withoutTag(): Frame {
    if (this.#tagLength === 0) return this.#frame
    if (!this.#hasUntagged) this.#rewrite(this.#untagged, 0)
    this.#hasUntagged = true
    return this.#untagged
  }

  /** Copies the frame, `room` bytes between its addresses and what comes after its own tag. */
  #rewrite(into: Frame, room: number): void {
    const { bytes, start, length, checksumStart } = this.#frame
    const from = start + ADDRESSES + this.#tagLength
    into.bytes.set(bytes.subarray(start, start + ADDRESSES))
    into.bytes.set(bytes.subarray(from, start + length), ADDRESSES + room)
    const moved = room - this.#tagLength
    into.length = length + moved
    into.checksumStart = checksumStart < 0 ? -1 : checksumStart + moved
    into.checksumOffset = this.#frame.checksumOffset
    into.checksumValid = this.#frame.checksumValid
    into.segmentation = this.#frame.segmentation
    into.segmentSize = this.#frame.segmentSize
  }
}
