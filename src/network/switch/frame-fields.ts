/**
 * What a switch reads of a frame. Source: IEEE 802.3 clause 3, IEEE 802.1Q clause 9.
 *
 *   0 destination (6)   6 source (6)   [12 0x8100, 14 priority and VLAN (2)]   type (2), payload
 *
 * Addresses as two numbers, their upper 16 and their lower 32 bits.
 */
import { ETHERNET_HEADER } from '../../machine/frame.ts'
import type { Frame } from '../../machine/frame.ts'
import { EtherType } from '../packet/ethernet.ts'
import { getU16, getU32 } from '../packet/bytes.ts'

export const TAG_LENGTH = 4
const VLAN_MASK = 0xfff

export class FrameFields {
  destinationHigh = 0
  destinationLow = 0
  sourceHigh = 0
  sourceLow = 0
  /** To several stations. */
  isGroup = false
  /** A frame from several stations: nobody sends that. */
  isGroupSource = false
  /** 4 if there is a tag. */
  tagLength = 0
  /** The tag's; 0 without one, and for a tag that gives a priority only. */
  vlan = 0
  /** What comes after the tag. */
  type = 0
  /** Where the payload begins, in the array that the frame is in, and where it ends. */
  payload = 0
  end = 0

  /** False: the frame is too short. */
  read({ bytes, start, length }: Frame): boolean {
    if (length < ETHERNET_HEADER) return false
    this.destinationHigh = getU16(bytes, start)
    this.destinationLow = getU32(bytes, start + 2)
    this.sourceHigh = getU16(bytes, start + 6)
    this.sourceLow = getU32(bytes, start + 8)
    this.isGroup = (bytes[start] & 1) !== 0
    this.isGroupSource = (bytes[start + 6] & 1) !== 0
    this.type = getU16(bytes, start + 12)
    this.tagLength = this.type === EtherType.VLAN ? TAG_LENGTH : 0
    this.vlan = 0
    if (this.tagLength !== 0) {
      if (length < ETHERNET_HEADER + TAG_LENGTH) return false
      this.vlan = getU16(bytes, start + 14) & VLAN_MASK
      this.type = getU16(bytes, start + 16)
    }
    this.payload = start + ETHERNET_HEADER + this.tagLength
    this.end = start + length
    return true
  }

  /** 01:80:C2:00:00:00 to 0F: for the next bridge only, never passed on. IEEE 802.1Q §8.6.3. */
  get isLinkLocalGroup(): boolean { return this.destinationHigh === 0x0180 && this.destinationLow >>> 4 === 0xc20_0000 }
}
