/** What a gateway did not carry, by reason: what `tenon network inspect` shows. */
export const DROP_REASONS = [
  /** Lengths or fields that contradict themselves; wrong checksums. */
  'malformed', 'checksum',
  /** Not for the gateway: another MAC, another VLAN, a protocol or a group that it has no part in. */
  'not-ours', 'protocol',
  /** A source that this network does not have, or that is the gateway's own. */
  'spoofed',
  /** Rules, or a source route. */
  'prohibited',
  /** Lost for want of room: fragments, pending resolutions, the link, flows, questions, pings. */
  'fragments', 'unresolved', 'link-full', 'flows', 'questions', 'echoes',
  /** ICMP errors that were not sent because of their rate. */
  'rate-limited',
] as const

export type DropReason = typeof DROP_REASONS[number]

export class Counters {
  readonly drops: Record<DropReason, number>
  framesReceived = 0
  framesSent = 0

  constructor() {
    this.drops = Object.fromEntries(DROP_REASONS.map(reason => [reason, 0])) as Record<DropReason, number>
  }

  drop(reason: DropReason): void { this.drops[reason]++ }
}
