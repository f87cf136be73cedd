/**
 * UDP. RFC 768; over IPv6 the checksum is required, RFC 8200 section 8.1.
 *
 *   0  source port   2  destination port   4  length, header included   6  checksum, 0: none
 */
import { getU16, setU16 } from './bytes.ts'
import { payloadChecksumRight } from './checksum.ts'
import type { IpPacket } from '../transport.ts'

export const UDP_HEADER = 8
export const UDP_CHECKSUM = 6

/** The length of the data, or -1: malformed, or -2: the checksum is wrong. May shorten the packet's payload to what UDP says. */
export function parseUdp(packet: IpPacket): number {
  if (packet.payloadLength < UDP_HEADER) return -1
  const length = getU16(packet.bytes, packet.payload + 4)
  // A batch of datagrams (USO) has the length of the batch in IP's header only.
  if (packet.segmentSize !== 0) return packet.payloadLength - UDP_HEADER
  if (length < UDP_HEADER || length > packet.payloadLength) return -1
  packet.payloadLength = length
  if (packet.checksumValid) return length - UDP_HEADER
  const checksum = getU16(packet.bytes, packet.payload + UDP_CHECKSUM)
  const right = checksum === 0 ? packet.version === 4 : payloadChecksumRight(packet)
  return right ? length - UDP_HEADER : -2
}

/** Writes the header without its checksum, which stays 0. */
export function writeUdp(bytes: Uint8Array, at: number, sourcePort: number, destinationPort: number, dataLength: number): void {
  setU16(bytes, at, sourcePort)
  setU16(bytes, at + 2, destinationPort)
  setU16(bytes, at + 4, dataLength + UDP_HEADER)
  setU16(bytes, at + UDP_CHECKSUM, 0)
}
