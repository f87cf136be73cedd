/** What the filter does, said as plainly as possible, for packets that are given as values. */
import type { FilterRule } from '../rules.ts'

export interface Packet {
  readonly isIn: boolean
  readonly protocol: 'tcp' | 'udp' | 'icmp'
  /** Two numbers from 0 to 255: 10.0.LOCAL.1 and 10.REMOTE.0.1. */
  readonly local: number
  readonly remote: number
  readonly localPort: number
  readonly remotePort: number
  readonly flags: readonly ('syn' | 'fin' | 'rst')[]
}

interface Known { until: number, answered: boolean, readonly startedIn: boolean, finIn: boolean, finOut: boolean, reset: boolean }

const SECONDS = { tcp: [60, 7440], udp: [60, 300], icmp: [60, 60] } as const

export class ReferenceFilter {
  readonly #rules: readonly FilterRule[]
  readonly #known = new Map<string, Known>()

  constructor(rules: readonly FilterRule[]) { this.#rules = rules }

  /** `now` in seconds. */
  passes(packet: Packet, now: number): boolean {
    const { protocol, local, remote, localPort, remotePort, isIn } = packet
    const name = [protocol, local, remote, localPort, remotePort].join()
    const found = this.#known.get(name)
    const known = found !== undefined && found.until > now ? found : undefined
    const rule = this.#rules.find((each) => matches(each, packet, known !== undefined))
    if (rule === undefined ? known === undefined : rule.action === 'deny') return false
    const state = known ?? { until: 0, answered: false, startedIn: isIn, finIn: false, finOut: false, reset: false }
    this.#note(state, packet)
    const closed = state.reset || state.finIn && state.finOut
    state.until = now + (closed ? 10 : SECONDS[protocol][state.answered ? 1 : 0])
    this.#known.set(name, state)
    return true
  }

  #note(state: Known, { isIn, flags, protocol }: Packet): void {
    if (isIn !== state.startedIn) state.answered = true
    if (protocol !== 'tcp') return
    if (flags.includes('fin') && isIn) state.finIn = true
    if (flags.includes('fin') && !isIn) state.finOut = true
    if (flags.includes('rst')) state.reset = true
    if (flags.includes('syn')) state.finIn = state.finOut = state.reset = false
  }
}

function matches(rule: FilterRule, packet: Packet, known: boolean): boolean {
  const { state = 'new' } = rule
  const port = packet.isIn ? packet.localPort : packet.remotePort
  return rule.direction === (packet.isIn ? 'in' : 'out')
    && (state === 'any' || (state === 'established') === known)
    && (rule.protocol === undefined || rule.protocol === packet.protocol)
    && (rule.ports === undefined || port >= rule.ports[0] && port <= rule.ports[1])
    && (rule.network === undefined || rule.network === `10.${packet.remote}.0.0/16`)
}
