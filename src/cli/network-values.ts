import type { CardChoice } from '../host/network/guest-network.ts'
import { readPublish, readRate } from '../host/network/card-text.ts'
import type { PublishOrder } from '../host/network/network-order.ts'
import { cliError } from './errors.ts'

/** `--net none`. */
export const NO_NETWORK = 'none'

const MAC = /^[\da-f]{2}(:[\da-f]{2}){5}$/i

/** Adds a card, `NETWORK` and `,mac=`, `,ip=`, `,vlan=`, `,rate=`, to those before. Throws TenonError USAGE. */
export function parseNet(text: string, previous: readonly CardChoice[] = []): CardChoice[] {
  const [network, ...options] = text.split(',')
  if (!/^[a-z\d][a-z\d-]{0,62}$/.test(network)) {
    throw usage('--net', text, 'names no network: write nat, host-only, isolated, none or the name of one')
  }
  const card: Record<string, unknown> = { network }
  for (const option of options) {
    const [, name, value] = /^([a-z]+)=(.+)$/.exec(option) ?? []
    const reader = name === undefined || !Object.hasOwn(CARD_OPTIONS, name) ? undefined : CARD_OPTIONS[name]
    if (reader === undefined) throw usage('--net', text, `has '${option}', which is none of mac=, ip=, vlan= and rate=`)
    Object.assign(card, reader(value, text))
  }
  return [...previous, card as unknown as CardChoice]
}

const CARD_OPTIONS: Readonly<Record<string, (value: string, text: string) => Partial<CardChoice>>> = {
  mac: (value, text) => {
    if (!MAC.test(value)) throw usage('--net', text, `has '${value}', which is no MAC address: write it as 52:54:00:12:34:56`)
    return { mac: value.toLowerCase() }
  },
  ip: value => ({ address: value }),
  vlan: (value, text) => {
    if (!/^[1-9]\d{0,3}$/.test(value) || Number(value) > 4094) {
      throw usage('--net', text, `has the VLAN '${value}': write a number from 1 to 4094`)
    }
    return { vlan: Number(value) }
  },
  rate: (value, text) => {
    const rate = readRate(value)
    if (rate === undefined) throw usage('--net', text, `has the rate '${value}': write it as 50mbit, 500kbit or 1gbit`)
    return { rate }
  },
}

/** Adds a published port, `[ADDRESS:]HOST:GUEST[/udp]`, to those before; an IPv6 address in brackets. Throws TenonError USAGE. */
export function parsePublish(text: string, previous: readonly PublishOrder[] = []): PublishOrder[] {
  const publish = readPublish(text)
  if (publish === undefined) throw usage('--publish', text, 'is no port to publish: write 8080:80, 127.0.0.1:5353:53/udp or [::]:8080:80')
  return [...previous, publish]
}

/** Options that may be given several times. */
export function collect(text: string, previous: readonly string[] = []): string[] { return [...previous, text] }

function usage(option: string, text: string, problem: string): Error {
  return cliError('USAGE', `${option} ${JSON.stringify(text)} ${problem}`)
}
