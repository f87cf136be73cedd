import type { CardChoice } from '../host/network/guest-network.ts'
import type { PublishOrder } from '../host/network/network-order.ts'
import { cliError } from './errors.ts'

/** `--net none`. */
export const NO_NETWORK = 'none'

const RATE_UNITS: Readonly<Record<string, number>> = { kbit: 1e3, mbit: 1e6, gbit: 1e9 }
const MAC = /^[\da-f]{2}(:[\da-f]{2}){5}$/i

/** Adds a card, `NETWORK` and `,mac=`, `,ip=`, `,vlan=`, `,rate=`, to those before. Throws TenonError USAGE. */
export function parseNet(text: string, previous: readonly CardChoice[] = []): CardChoice[] {
  const [network, ...options] = text.split(',')
  if (!/^[a-z\d][a-z\d-]{0,62}$/.test(network)) throw usage('--net', text, 'names no network: write nat, host-only, isolated, none or the name of one')
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
    if (!/^[1-9]\d{0,3}$/.test(value) || Number(value) > 4094) throw usage('--net', text, `has the VLAN '${value}': write a number from 1 to 4094`)
    return { vlan: Number(value) }
  },
  rate: (value, text) => {
    const [, number, unit] = /^(\d{1,6}(?:\.\d{1,3})?)(kbit|mbit|gbit)$/i.exec(value) ?? []
    if (number === undefined) throw usage('--net', text, `has the rate '${value}': write it as 50mbit, 500kbit or 1gbit`)
    return { rate: Math.round(Number(number) * RATE_UNITS[unit.toLowerCase()]) }
  },
}

/** Adds a published port, `[ADDRESS:]HOST:GUEST[/udp]`, to those before; an IPv6 address in brackets. Throws TenonError USAGE. */
export function parsePublish(text: string, previous: readonly PublishOrder[] = []): PublishOrder[] {
  const [, bracketed, plain, host, guest, protocol = 'tcp'] = /^(?:\[([\da-f:]+)\]:|([\d.]+):)?(\d{1,5}):(\d{1,5})(?:\/(tcp|udp))?$/i.exec(text) ?? []
  if (host === undefined) throw usage('--publish', text, 'is no port to publish: write 8080:80, 127.0.0.1:5353:53/udp or [::]:8080:80')
  const [port, guestPort] = [Number(host), Number(guest)]
  if (port < 1 || guestPort < 1 || port > 0xffff || guestPort > 0xffff) throw usage('--publish', text, 'has a port that there is not: they are 1 to 65535')
  const address = bracketed ?? plain ?? EVERYWHERE_NEAR
  return [...previous, { protocol: protocol.toLowerCase() as PublishOrder['protocol'], address, port, guestPort }]
}

/** Only the host itself reaches what is published without an address: who wants others to reach it says so. */
const EVERYWHERE_NEAR = '127.0.0.1'

/** Options that may be given several times. */
export function collect(text: string, previous: readonly string[] = []): string[] { return [...previous, text] }

function usage(option: string, text: string, problem: string): Error { return cliError('USAGE', `${option} ${JSON.stringify(text)} ${problem}`) }
