/**
 * Ethernet II with VLAN tags. IEEE 802.3 clause 3, IEEE 802.1Q clause 9.
 *
 *   0  destination  6
 *   6  source       6
 *  12  [TPID 0x8100 or 0x88a8, TCI: PCP 3 bits, DEI 1, VID 12] ...
 *      EtherType    2, then the payload
 *
 * Left out: 802.3 length fields with LLC (a type below 0x600 is given on as it is; nobody here knows such a protocol).
 */
import { copyBytes, getU16, setU16 } from './bytes.ts'

export const ETHERNET_HEADER = 14
export const MAC_LENGTH = 6

export const EtherType = { IPV4: 0x0800, ARP: 0x0806, VLAN: 0x8100, IPV6: 0x86dd, SERVICE_VLAN: 0x88a8 } as const

/** Where things are in a frame; used again for each. */
export interface EthernetHeader {
  destination: number
  source: number
  type: number
  /** VID of the outermost tag that has one; 0: untagged, or tagged for priority only. */
  vlan: number
  payload: number
}

/** Two tags (QinQ) are read; what has more is refused, as is what ends too early. */
export function parseEthernet(bytes: Uint8Array, start: number, length: number, into: EthernetHeader): boolean {
  const end = start + length
  if (length < ETHERNET_HEADER || end > bytes.length) return false
  into.destination = start
  into.source = start + MAC_LENGTH
  into.vlan = 0
  let at = start + 12
  for (let tags = 0; ; tags++) {
    into.type = getU16(bytes, at)
    if (into.type !== EtherType.VLAN && into.type !== EtherType.SERVICE_VLAN) break
    if (tags === 2 || at + 6 > end) return false
    if (into.vlan === 0) into.vlan = getU16(bytes, at + 2) & 0xfff
    at += 4
  }
  into.payload = at + 2
  return true
}

export function writeEthernet(
  bytes: Uint8Array, at: number, destination: Uint8Array, destinationAt: number, source: Uint8Array, type: number): void {
  copyBytes(destination, destinationAt, bytes, at, MAC_LENGTH)
  copyBytes(source, 0, bytes, at + MAC_LENGTH, MAC_LENGTH)
  setU16(bytes, at + 12, type)
}

/** Group address: broadcast or multicast. */
export function isGroupMac(bytes: Uint8Array, at: number): boolean {
  return (bytes[at] & 1) !== 0
}
