/**
 * Ports of the host's own loopback that guests reach at the gateway's address: the way from a guest to a program of the host's, which
 * nothing else leads to. `8080` is TCP's; `5353/udp` is UDP's. The host's address is 127.0.0.1, whichever family the guest has used.
 */
import { networkError } from '../errors.ts'

export const HOST_ADDRESS = '127.0.0.1'
/** The gateway's own: DNS, DHCP, DHCPv6. */
const TAKEN = new Set(['53/tcp', '53/udp', '67/udp', '547/udp'])

export class HostPorts {
  private readonly ports: ReadonlySet<string>

  /** Throws NETWORK_CONFIGURATION_INVALID. */
  constructor(texts: readonly string[]) { this.ports = new Set(texts.map(parseHostPort)) }

  has(protocol: 'tcp' | 'udp', port: number): boolean { return this.ports.size > 0 && this.ports.has(`${port}/${protocol}`) }
}

/** Throws NETWORK_CONFIGURATION_INVALID. */
export function parseHostPort(text: string): string {
  const [, digits, protocol = 'tcp'] = /^(\d{1,5})(?:\/(tcp|udp))?$/.exec(text) ?? []
  const port = Number(digits)
  if (!(port >= 1 && port <= 65535)) {
    throw networkError('NETWORK_CONFIGURATION_INVALID', `'${text}' is no port of the host's: write 1 to 65535, such as 8080 or 5353/udp`)
  }
  const whole = `${port}/${protocol}`
  if (!TAKEN.has(whole)) return whole
  throw networkError('NETWORK_CONFIGURATION_INVALID', `${whole} cannot be a port of the host's here: the gateway itself answers there`)
}
