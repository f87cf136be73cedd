/**
 * Packets of the socket device. Source: VIRTIO 1.2, §5.10.6.
 *
 *   0 src_cid (8)   8 dst_cid (8)   16 src_port   20 dst_port   24 len   28 type (2)   30 op (2)   32 flags   36 buf_alloc   40 fwd_cnt
 */
export const Operation = {
  REQUEST: 1, RESPONSE: 2, RST: 3, SHUTDOWN: 4, RW: 5, CREDIT_UPDATE: 6, CREDIT_REQUEST: 7,
} as const

/** Flags of SHUTDOWN: the sender will receive, or send, no more. */
export const Shutdown = { RECEIVE: 1, SEND: 2, BOTH: 3 } as const

export const HEADER_SIZE = 44
export const STREAM_TYPE = 1
/** The host's context identifier. */
export const HOST_CID = 2

/** A packet's header, in the bytes that hold it. Context identifiers have 32 bits that count (§5.10.4). */
export class PacketHeader {
  readonly bytes = new Uint8Array(HEADER_SIZE)
  private readonly view = new DataView(this.bytes.buffer)

  get sourceCid(): bigint { return this.view.getBigUint64(0, true) }
  get destinationCid(): bigint { return this.view.getBigUint64(8, true) }
  get sourcePort(): number { return this.view.getUint32(16, true) }
  get destinationPort(): number { return this.view.getUint32(20, true) }
  get length(): number { return this.view.getUint32(24, true) }
  get type(): number { return this.view.getUint16(28, true) }
  get operation(): number { return this.view.getUint16(30, true) }
  get flags(): number { return this.view.getUint32(32, true) }
  get bufferSize(): number { return this.view.getUint32(36, true) }
  get forwarded(): number { return this.view.getUint32(40, true) }

  /** A packet to the guest. `credit` is what the host's side can take. */
  fill(
    guestCid: number, hostPort: number, guestPort: number, operation: number,
    { length = 0, flags = 0, bufferSize = 0, forwarded = 0 } = {},
  ): Uint8Array {
    this.view.setBigUint64(0, BigInt(HOST_CID), true)
    this.view.setBigUint64(8, BigInt(guestCid), true);
    [hostPort, guestPort, length].forEach((value, index) => this.view.setUint32(16 + 4 * index, value, true))
    this.view.setUint16(28, STREAM_TYPE, true)
    this.view.setUint16(30, operation, true);
    [flags, bufferSize, forwarded].forEach((value, index) => this.view.setUint32(32 + 4 * index, value, true))
    return this.bytes
  }
}
