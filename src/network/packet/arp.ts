/**
 * ARP for IPv4 over Ethernet. RFC 826; probes and announcements: RFC 5227.
 *
 *   0  hardware type, 1    6  operation                    18  target hardware address
 *   2  protocol type       8  sender hardware address      24  target protocol address
 *   4  lengths, 6 and 4   14  sender protocol address
 */
import { copyBytes, getU16, setU16, setU32 } from './bytes.ts'
import { EtherType } from './ethernet.ts'

export const ARP_LENGTH = 28
export const ArpOperation = { REQUEST: 1, REPLY: 2 } as const

/** Offsets in a packet. */
export const Arp = { SENDER_MAC: 8, SENDER: 14, TARGET_MAC: 18, TARGET: 24 } as const

/** The operation, or 0: not ARP for IPv4 over Ethernet. */
export function parseArp(bytes: Uint8Array, at: number, end: number): number {
  if (end - at < ARP_LENGTH || getU16(bytes, at) !== 1 || getU16(bytes, at + 2) !== EtherType.IPV4) return 0
  if (bytes[at + 4] !== 6 || bytes[at + 5] !== 4) return 0
  const operation = getU16(bytes, at + 6)
  return operation === ArpOperation.REQUEST || operation === ArpOperation.REPLY ? operation : 0
}

export function writeArp(
  bytes: Uint8Array, at: number, operation: number, senderMac: Uint8Array, sender: Uint8Array,
  targetMac: Uint8Array, targetMacAt: number, target: Uint8Array, targetAt: number): void {
  setU32(bytes, at, 0x00010000 | EtherType.IPV4)
  setU16(bytes, at + 4, 0x0604)
  setU16(bytes, at + 6, operation)
  copyBytes(senderMac, 0, bytes, at + Arp.SENDER_MAC, 6)
  copyBytes(sender, 0, bytes, at + Arp.SENDER, 4)
  copyBytes(targetMac, targetMacAt, bytes, at + Arp.TARGET_MAC, 6)
  copyBytes(target, targetAt, bytes, at + Arp.TARGET, 4)
}
