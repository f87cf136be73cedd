/**
 * What passed a port, and what did not, by reason. `received` and `sent` are the switch's: from the station behind the port, and to it.
 *
 *   malformed      no frame, from several stations, or for the next bridge only
 *   tooLong        longer than the port's MTU
 *   vlan           of a VLAN that the port does not carry
 *   spoofed        from an address that is not the station's
 *   rogueService   DHCP answers and router advertisements of a station that may not
 *   storm          too many to all and to unknown addresses
 *   filtered       the port's rules do not allow it, coming in
 *   nowhere        the station that it is for is behind the same port, or behind one that it may not reach
 *   refused        the rules do not allow it to the station
 *   congested      the station does not take frames as fast as they come
 */
export const DROP_REASONS = [
  'malformed', 'tooLong', 'vlan', 'spoofed', 'rogueService', 'storm', 'filtered', 'nowhere', 'refused', 'congested',
] as const

export type DropReason = typeof DROP_REASONS[number]

export interface PortCounters {
  receivedFrames: number
  receivedBytes: number
  sentFrames: number
  sentBytes: number
  readonly drops: Record<DropReason, number>
}

export function emptyCounters(): PortCounters {
  const drops = Object.fromEntries(DROP_REASONS.map((reason) => [reason, 0])) as Record<DropReason, number>
  return { receivedFrames: 0, receivedBytes: 0, sentFrames: 0, sentBytes: 0, drops }
}
