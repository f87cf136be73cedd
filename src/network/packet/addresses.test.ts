import { describe, expect, it } from 'vitest'
import { isIPv4, isIPv6 } from 'node:net'
import { Random } from '../../base/testing/random.ts'
import {
  formatAddress, formatKey, formatMac, isInside, isUnicastSource, keyAddressLength, parseAddress, parseIpv4, parseIpv6, parseMac,
  parseNetwork, writeKey,
} from './addresses.ts'

describe('addresses as text', () => {
  it('reads and writes IPv4', () => {
    expect(formatAddress(parseIpv4('192.0.2.1')!, 0, 4)).toBe('192.0.2.1')
    for (const text of ['', '1.2.3', '1.2.3.4.5', '256.1.1.1', '01.2.3.4', '1.2.3.-4', '1.2.3.4 ', 'a.b.c.d']) {
      expect(parseIpv4(text), text).toBeUndefined()
    }
  })

  it('writes IPv6 as RFC 5952 has it', () => {
    const written = {
      '2001:0db8:0:0:0:0:2:1': '2001:db8::2:1', '2001:db8:0:1:1:1:1:1': '2001:db8:0:1:1:1:1:1', '2001:0:0:1:0:0:0:1': '2001:0:0:1::1',
      '2001:db8:0:0:1:0:0:1': '2001:db8::1:0:0:1', '0:0:0:0:0:0:0:0': '::', '::1': '::1', 'FE80::ABCD': 'fe80::abcd', '1::': '1::',
      '::ffff:192.0.2.1': '::ffff:c000:201',
    }
    for (const [text, expected] of Object.entries(written)) expect(formatAddress(parseIpv6(text)!, 0, 16)).toBe(expected)
  })

  it('reads what Node reads, and nothing else', () => {
    const random = new Random(7)
    const parts = ['', ':', '::', '0', '1', 'ffff', 'abcd', '12345', '.', '127.0.0.1', '255', 'g', '%', '/']
    for (let round = 0; round < 1500; round++) {
      const text = Array.from({ length: random.below(18) }, () => random.pick(parts)).join('')
      if (!text.includes('%')) expect(parseIpv6(text) !== undefined, text).toBe(isIPv6(text))
      expect(parseIpv4(text) !== undefined, text).toBe(isIPv4(text))
      const bytes = random.bytes(16).map(byte => random.below(2) * byte)
      const formatted = formatAddress(bytes, 0, 16)
      expect(isIPv6(formatted)).toBe(true)
      expect([...parseIpv6(formatted)!]).toEqual([...bytes])
    }
  })

  it('reads MAC addresses and networks', () => {
    expect(formatMac(parseMac('52:54:00:AB:cd:ef')!)).toBe('52:54:00:ab:cd:ef')
    for (const text of ['', '52:54:00:ab:cd', '52:54:00:ab:cd:eg', '525400abcdef']) expect(parseMac(text)).toBeUndefined()
    expect(parseNetwork('10.0.0.0/8')!.prefixLength).toBe(8)
    for (const text of ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/-1', '::/129', '/8', '10.0.0.0/08', '10.0.0.0/8/8']) {
      expect(parseNetwork(text), text).toBeUndefined()
    }
  })
})

describe('addresses as bytes', () => {
  it('are inside networks by the bits of the prefix', () => {
    const inside = (network: string, text: string) => isInside(parseNetwork(network)!, parseAddress(text)!, 0)
    expect([inside('10.0.0.0/8', '10.255.0.1'), inside('10.0.0.0/8', '11.0.0.1')]).toEqual([true, false])
    expect(inside('0.0.0.0/0', '1.2.3.4')).toBe(true)
    expect([inside('10.0.5.16/28', '10.0.5.31'), inside('10.0.5.16/28', '10.0.5.32')]).toEqual([true, false])
    expect([inside('fe80::/10', 'febf::1'), inside('fe80::/10', 'fec0::1'), inside('::1/128', '::1')]).toEqual([true, false, true])
  })

  it('have one key each', () => {
    const key = new Uint8Array(16)
    for (const text of ['192.0.2.1', '2001:db8::1', '::1']) {
      const address = parseAddress(text)!
      writeKey(address, 0, address.length, key, 0)
      expect([formatKey(key), keyAddressLength(key, 0)]).toEqual([text, address.length])
    }
  })

  it('are sources of one station or not', () => {
    const unicast = (text: string) => isUnicastSource(parseAddress(text)!, 0, parseAddress(text)!.length)
    for (const text of ['10.0.5.7', '223.255.255.255', 'fd00::1', 'fe80::1', '::2']) expect(unicast(text), text).toBe(true)
    for (const text of ['0.0.0.0', '127.0.0.1', '224.0.0.1', '255.255.255.255', '::', '::1', 'ff02::1']) {
      expect(unicast(text), text).toBe(false)
    }
  })
})
