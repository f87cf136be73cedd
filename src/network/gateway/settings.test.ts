import { describe, expect, it } from 'vitest'
import { FakeClock } from '../testing/fake-clock.ts'
import { parseAddress } from '../packet/addresses.ts'
import { Policy } from './policy.ts'
import { checkConfiguration, type GatewayConfiguration } from './settings.ts'
import { CONFIGURATION, GUEST_MAC } from './testing/bench.ts'

describe('a gateway\'s configuration', () => {
  it('is checked, and errors say what to do', () => {
    const wrong: [Partial<GatewayConfiguration>, RegExp][] = [
      [{ ipv4: '10.0.5.1' }, /no IPv4 address with a prefix/], [{ ipv4: '10.0.5.1/33' }, /no IPv4 address/],
      [{ ipv4: '10.0.5.1/31' }, /8 to 30/],
      [{ ipv4: '10.0.5.0/24' }, /cannot be a gateway's/], [{ ipv4: '10.0.5.255/24' }, /cannot be a gateway's/],
      [{ ipv4: '127.0.0.1/8' }, /cannot be/],
      [{ ipv6: 'fd00::1/48' }, /64 bits/], [{ ipv6: 'fe80::1/64' }, /cannot be a gateway's/], [{ ipv6: 'fd00::/64' }, /cannot be/],
      [{ mac: '01:00:00:00:00:01' }, /group's MAC/], [{ mac: 'nonsense' }, /no MAC address/], [{ mtu: 576 }, /1280 to 65535/],
      [{ domain: 'a b' }, /no domain name/], [{ pool: { first: '10.0.6.1', last: '10.0.6.9' } }, /no address inside/],
      [{ pool: { first: '10.0.5.9', last: '10.0.5.8' } }, /empty/], [{ leaseSeconds: 1 }, /lease time/],
      [{ reservations: [{ mac: GUEST_MAC, address: '10.0.6.7' }] }, /no guest's address/],
      [{ reservations: [{ mac: GUEST_MAC, address: '10.0.5.255' }] }, /no guest's address/],
      [{ reservations: [{ mac: GUEST_MAC, address: '10.0.5.1' }] }, /given twice/],
      [{ reservations: [{ mac: GUEST_MAC, name: 'a' }, { mac: '52:54:00:00:00:01', name: 'a' }] }, /the name a is given twice/],
      [{ reservations: [{ mac: GUEST_MAC, name: 'a.b' }] }, /no dots/],
      [{ reservations: [{ mac: GUEST_MAC, name: 'Gateway' }] }, /has a meaning/],
      [{ routes: [{ to: '10.8.0.0', via: '10.0.5.9' }] }, /write a network/],
      [{ routes: [{ to: '10.8.0.0/16', via: '10.9.5.9' }] }, /not in this network/],
    ]
    for (const [part, message] of wrong) {
      expect(() => checkConfiguration({ ...CONFIGURATION, ...part }), JSON.stringify(part)).toThrow(message)
    }
  })

  it('has a pool of all its addresses, up to 4096', () => {
    const { poolFirst, poolLast } = checkConfiguration(CONFIGURATION)
    expect([poolFirst, poolLast]).toEqual([0x0a000501, 0x0a0005fe])
    const large = checkConfiguration({ ...CONFIGURATION, ipv4: '10.0.0.1/8' })
    expect(large.poolLast - large.poolFirst).toBe(4095)
  })
})

describe('rules of what may be reached', () => {
  const allows = (rules: string[] | null, protocol: 'tcp' | 'udp' | 'icmp', text: string, port: number) => {
    const address = parseAddress(text)!
    return new Policy(new FakeClock(), rules).allows(protocol, address, 0, address.length, port)
  }

  it('name addresses, networks, ports and protocols', () => {
    expect(allows(['192.0.2.7:53/udp'], 'udp', '192.0.2.7', 53)).toBe(true)
    expect(allows(['192.0.2.7:53/udp'], 'tcp', '192.0.2.7', 53)).toBe(false)
    expect(allows(['192.0.2.7:53'], 'tcp', '192.0.2.7', 54)).toBe(false)
    expect(allows(['192.0.2.0/24:*'], 'tcp', '192.0.2.200', 65535)).toBe(true)
    expect(allows(['192.0.2.0/24:*'], 'tcp', '192.0.3.200', 1)).toBe(false)
    expect(allows(['[2001:db8::/32]:80-90'], 'tcp', '2001:db8:9::1', 85)).toBe(true)
    expect(allows(['[2001:db8::/32]:80-90'], 'tcp', '2001:db8:9::1', 91)).toBe(false)
    expect(allows(['[2001:db8::1]:80'], 'icmp', '2001:db8::1', 0)).toBe(true)
    expect(allows([], 'tcp', '192.0.2.7', 53)).toBe(false)
    expect(allows(null, 'tcp', '192.0.2.7', 53)).toBe(true)
    expect(allows(['127.0.0.1:80', '0.0.0.0/0:*'], 'tcp', '127.0.0.1', 80)).toBe(false)
  })

  it('that cannot be read are refused', () => {
    for (const rule of ['', 'example.org', 'example.org:', ':80', 'example.org:0', 'example.org:70000', 'example.org:9-8', '192.0.2.300:80',
      '2001:db8::1:80', '[192.0.2.7]:80', '[example.org]:80', 'a b:80', 'example.org:80/sctp', '192.0.2.0/33:80', '*.:80']) {
      expect(() => allows([rule], 'tcp', '192.0.2.7', 80), rule).toThrow(/cannot be read/)
    }
  })
})
