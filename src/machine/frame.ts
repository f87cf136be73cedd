/**
 * Ethernet frames on their way between a network controller, a switch and what stands behind it: a gateway, a TAP.
 *
 * A cable has two ends. Each gives frames to the other's `FrameEnd.receive`, and is told by `ready` when it may go on after a refusal.
 * A frame may have work left on it that real hardware does late (offloads): a missing checksum, a payload of many segments. Whoever
 * takes it does that work, or passes it on with the frame.
 */

/** What is to be cut into segments: TCP over IPv4 or IPv6, UDP (USO), or nothing. virtio 1.2, section 5.1.6. */
export type Segmentation = 'none' | 'tcp4' | 'tcp6' | 'udp'

/** One object serves many frames: it and its bytes belong to the caller again when `receive` has returned. */
export interface Frame {
  /** The frame, from its destination address to the last byte of its payload, without the checksum at its end (FCS). */
  bytes: Uint8Array
  start: number
  length: number
  /**
   * Bytes from the frame's start to where a checksum is to be computed from, up to the end; -1: none is missing. The field at
   * `checksumStart + checksumOffset` holds the sum of the pseudo header, not complemented.
   */
  checksumStart: number
  checksumOffset: number
  /** The checksums inside are known to be right: nobody needs to look. */
  checksumValid: boolean
  segmentation: Segmentation
  /** Bytes of payload in each segment; 0 without segmentation. */
  segmentSize: number
}

/** One end of a cable. */
export interface FrameEnd {
  /**
   * Takes a frame, or refuses it for want of room: whoever sent it drops it, or waits for `ready`. Must not call back into the sender's
   * `receive`.
   */
  receive(frame: Frame): boolean
  /** The other end refused a frame, and has room again. */
  ready(): void
}

/** What a network controller (a guest's card) is to the rest, and the rest to it. */
export interface FrameBackend {
  /** Plugs a controller's end in, and gives the end to send to. Once. */
  connect(controller: FrameEnd): FrameEnd
  /** The largest packet (MTU) that fits, in bytes after the Ethernet header: 1500 unless the network says otherwise. */
  readonly mtu: number
}
