/** Cards and published ports as people write them, on the command line and in files. */
import type { PublishOrder } from './network-order.ts'

const RATE_UNITS: Readonly<Record<string, number>> = { kbit: 1e3, mbit: 1e6, gbit: 1e9 }

/** Only the host itself reaches what is published without an address: who wants others to reach it says so. */
const HOST_ALONE = '127.0.0.1'

/** `50mbit`, `1.5gbit`, as bits a second; undefined if it is none. */
export function readRate(text: string): number | undefined {
  const [, number, unit] = /^(\d{1,6}(?:\.\d{1,3})?)(kbit|mbit|gbit)$/i.exec(text) ?? []
  return number === undefined ? undefined : Math.round(Number(number) * RATE_UNITS[unit.toLowerCase()])
}

/** `[ADDRESS:]HOST:GUEST[/udp]`, an IPv6 address in brackets; undefined if it is none. */
export function readPublish(text: string): PublishOrder | undefined {
  const PATTERN = /^(?:\[([\da-f:]+)\]:|([\d.]+):)?(\d{1,5}):(\d{1,5})(?:\/(tcp|udp))?$/i
  const [, bracketed, plain, host, guest, protocol = 'tcp'] = PATTERN.exec(text) ?? []
  const [port, guestPort] = [Number(host), Number(guest)]
  if (!isPort(port) || !isPort(guestPort)) return undefined
  return { protocol: protocol.toLowerCase() as PublishOrder['protocol'], address: bracketed ?? plain ?? HOST_ALONE, port, guestPort }
}

function isPort(number: number): boolean { return number >= 1 && number <= 0xffff }
