/**
 * Ethernet frames on their way between a network controller, a switch and what stands behind it: a gateway, a TAP.
 *
 * A cable has two ends. Each gives frames to the other's `FrameEnd.receive`, and is told by `ready` when it may go on after a refusal.
 * A frame may have work left on it that real hardware does late (offloads): a missing checksum, a payload of many segments. Whoever
 * takes it does that work (frame-offload.ts), or passes it on with the frame.
 */

/** Destination, source, type. */
export const ETHERNET_HEADER = 14
/** The largest frame: an IP packet of 65,535 bytes, behind an Ethernet header with a VLAN tag. */
export const LARGEST_FRAME = 65_535 + ETHERNET_HEADER + 4
/** Bytes of a MAC address. */
export const ADDRESS_LENGTH = 6

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

/** A frame with nothing left to do on it. */
export function plainFrame(bytes: Uint8Array, start = 0, length = bytes.length - start): Frame {
  return { bytes, start, length, checksumStart: -1, checksumOffset: 0, checksumValid: false, segmentation: 'none', segmentSize: 0 }
}

/** Where a frame can be put together; one object serves many frames. */
export interface FrameRoom {
  bytes: Uint8Array
  start: number
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
  /**
   * Room for a frame of `length` bytes, so that it need not be copied twice: one that is put there is taken where it lies by the very
   * next `receive`. Null as a refusal.
   */
  reserve?(length: number): FrameRoom | null
}

/** What a network controller (a guest's card) is to the rest, and the rest to it. */
export interface FrameBackend {
  /** Plugs a controller's end in, and gives the end to send to. Once. */
  connect(controller: FrameEnd): FrameEnd
  /** The largest packet (MTU) that fits, in bytes after the Ethernet header: 1500 unless the network says otherwise. */
  readonly mtu: number
}

/** Why a card did not pass a frame on to its guest or from it, and how many it did pass. */
export interface CardCounters {
  /** To the guest, and from it. */
  receivedFrames: number
  receivedBytes: number
  sentFrames: number
  sentBytes: number
  /** The guest has no driver, or the cable is unplugged. */
  droppedDown: number
  /** It was for somebody else: another address, another VLAN. */
  droppedFiltered: number
  /** None of the guest's buffers can hold it. */
  droppedTooLong: number
  /** The guest asks for what makes no sense. */
  droppedMalformed: number
}

/** A guest's card, for its host. */
export interface NetworkCard {
  readonly counters: Readonly<CardCounters>
  /** Plugs the cable in, or pulls it out. It is plugged in at first. */
  setLink(up: boolean): void
  /** Has the guest tell the network where it is, after a move. Nothing happens if its driver cannot. */
  announce(): void
}
