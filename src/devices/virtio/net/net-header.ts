/**
 * The header in front of each frame. Source: VIRTIO 1.2, §5.1.6.
 *
 *   0 flags (1)   1 gso_type (1)   2 hdr_len (2)   4 gso_size (2)   6 csum_start (2)   8 csum_offset (2)   10 num_buffers (2)
 */
import { ETHERNET_HEADER } from '../../../machine/frame.ts'
import type { Frame, Segmentation } from '../../../machine/frame.ts'

export const NET_HEADER_SIZE = 12
/** Where the number of buffers stands in it. */
export const NUM_BUFFERS = 10

const Flag = { NEEDS_CSUM: 1, DATA_VALID: 2 } as const
const GsoType = { NONE: 0, TCPV4: 1, TCPV6: 4, UDP_L4: 5 } as const
const SEGMENTATIONS: Readonly<Record<number, Segmentation | undefined>> = {
  [GsoType.NONE]: 'none', [GsoType.TCPV4]: 'tcp4', [GsoType.TCPV6]: 'tcp6', [GsoType.UDP_L4]: 'udp',
}
const GSO_TYPES: Readonly<Record<Segmentation, number>> = {
  none: GsoType.NONE, tcp4: GsoType.TCPV4, tcp6: GsoType.TCPV6, udp: GsoType.UDP_L4,
}

export class NetHeader {
  readonly bytes = new Uint8Array(NET_HEADER_SIZE)
  private readonly view = new DataView(this.bytes.buffer)

  /** Says on a frame of `frame.length` bytes what is left to do on it. False: the header makes no sense for it. §5.1.6.2.2. */
  describe(frame: Frame): boolean {
    const { view } = this
    const segmentation = SEGMENTATIONS[view.getUint8(1)]
    const needsChecksum = (view.getUint8(0) & Flag.NEEDS_CSUM) !== 0
    frame.checksumStart = needsChecksum ? view.getUint16(6, true) : -1
    frame.checksumOffset = needsChecksum ? view.getUint16(8, true) : 0
    // The guest computed it, so that it is right as far as anybody needs to know; others are not told so.
    frame.checksumValid = false
    frame.segmentation = segmentation ?? 'none'
    frame.segmentSize = frame.segmentation === 'none' ? 0 : view.getUint16(4, true)
    if (segmentation === undefined || segmentation !== 'none' && (!needsChecksum || frame.segmentSize === 0)) return false
    return !needsChecksum || frame.checksumStart >= ETHERNET_HEADER && frame.checksumStart + frame.checksumOffset + 2 <= frame.length
  }

  /** For a frame to the guest. `headerLength` are the bytes before the payload, where it is to be cut into segments. */
  fill(frame: Frame, tellsChecksums: boolean, headerLength: number): Uint8Array {
    const { view } = this
    const needsChecksum = frame.checksumStart >= 0
    view.setUint8(0, needsChecksum ? Flag.NEEDS_CSUM : frame.checksumValid && tellsChecksums ? Flag.DATA_VALID : 0)
    view.setUint8(1, GSO_TYPES[frame.segmentation])
    view.setUint16(2, frame.segmentation === 'none' ? 0 : headerLength, true)
    view.setUint16(4, frame.segmentation === 'none' ? 0 : frame.segmentSize, true)
    view.setUint16(6, needsChecksum ? frame.checksumStart : 0, true)
    view.setUint16(8, needsChecksum ? frame.checksumOffset : 0, true)
    view.setUint16(NUM_BUFFERS, 1, true)
    return this.bytes
  }
}
