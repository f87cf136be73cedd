/**
 * ICMP (RFC 792, RFC 1191, RFC 1812 section 5.2.7) and ICMPv6 (RFC 4443): types and codes. Neighbour discovery: ndp.ts.
 *
 *   0  type   1  code   2  checksum (ICMPv6: with a pseudo header)   4  what the type says   8  data, of errors the quoted packet
 */
export const ICMP_HEADER = 8

export const Icmp = { ECHO_REPLY: 0, UNREACHABLE: 3, ECHO: 8, TIME_EXCEEDED: 11, PARAMETER_PROBLEM: 12 } as const
export const IcmpUnreachable = { NET: 0, HOST: 1, PROTOCOL: 2, PORT: 3, FRAGMENTATION_NEEDED: 4, PROHIBITED: 13 } as const

export const Icmp6 = {
  UNREACHABLE: 1, TOO_BIG: 2, TIME_EXCEEDED: 3, PARAMETER_PROBLEM: 4, ECHO: 128, ECHO_REPLY: 129,
  ROUTER_SOLICITATION: 133, ROUTER_ADVERTISEMENT: 134, NEIGHBOUR_SOLICITATION: 135, NEIGHBOUR_ADVERTISEMENT: 136,
} as const
export const Icmp6Unreachable = { NO_ROUTE: 0, PROHIBITED: 1, ADDRESS: 3, PORT: 4 } as const

export const TIME_EXCEEDED_IN_TRANSIT = 0
export const TIME_EXCEEDED_REASSEMBLY = 1

/** Errors must not answer errors. RFC 1122 section 3.2.2, RFC 4443 section 2.4. */
export function isIcmpError(version: 4 | 6, type: number): boolean {
  return version === 6 ? type < 128
    : type === Icmp.UNREACHABLE || type === 4 || type === 5 || type === Icmp.TIME_EXCEEDED || type === Icmp.PARAMETER_PROBLEM
}
