/** What the parsers of IPv4 and IPv6 find, in one shape. */
import type { IpPacket } from '../transport.ts'

export const Protocol = { ICMP: 1, TCP: 6, UDP: 17, IPV6_ROUTE: 43, IPV6_FRAGMENT: 44, ICMPV6: 58, NO_NEXT: 59 } as const

/**
 * Why a packet goes no further. `malformed`: lengths that contradict each other. `problem`: the sender is told, see `problemCode`.
 */
export type ParseResult = 'good' | 'malformed' | 'checksum' | 'problem'

export interface ParsedPacket extends IpPacket {
  /** Bytes; with `moreFragments` false and 0, the packet is whole. */
  fragmentOffset: number
  moreFragments: boolean
  identification: number
  dontFragment: boolean
  /** The source route or options that nobody honours: counted, the packet is dropped. */
  sourceRouted: boolean
  /** It came in a frame for several stations. Whoever parses the frame sets it. */
  toGroup: boolean
  /** IPv6, with `problem`: code and pointer of an ICMPv6 parameter problem. Without: the pointer is to what names `protocol`. */
  problemCode: number
  problemPointer: number
}

export function newPacket(): ParsedPacket {
  return {
    bytes: new Uint8Array(0), version: 4, header: 0, source: 0, destination: 0, protocol: 0, payload: 0, payloadLength: 0, hopLimit: 0,
    trafficClass: 0, checksumValid: false, segmentSize: 0, fragmentOffset: 0, moreFragments: false, identification: 0,
    dontFragment: false, sourceRouted: false, toGroup: false, problemCode: 0, problemPointer: 0,
  }
}

export function addressLength(packet: IpPacket): 4 | 16 {
  return packet.version === 4 ? 4 : 16
}

export function isFragment(packet: ParsedPacket): boolean {
  return packet.moreFragments || packet.fragmentOffset !== 0
}
