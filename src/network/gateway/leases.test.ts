import { describe, expect, it } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { formatMac } from '../packet/addresses.ts'
import { Leases } from './leases.ts'
import { checkConfiguration } from './settings.ts'
import { CONFIGURATION } from './testing/bench.ts'

describe('leases, whatever cards do', () => {
  it('never give one address to two cards, and none outside the pool', () => {
    const random = new Random(17)
    const settings = checkConfiguration({
      ...CONFIGURATION, pool: { first: '10.0.5.10', last: '10.0.5.14' }, reservations: [{ mac: '52:54:00:00:00:01', address: '10.0.5.40' }],
    })
    const leases = new Leases(settings)
    /** Who may use an address, and until when. */
    const holders = new Map<number, { mac: string, until: number }>()
    let now = 0
    for (let round = 0; round < 1000; round++) {
      const mac = Uint8Array.of(0x52, 0x54, 0, 0, 0, 1 + random.below(8))
      const wanted = settings.poolFirst - 2 + random.below(9)
      const held = leases.ofMac(mac)?.address ?? wanted
      switch (random.below(6)) {
        case 0: leases.offer(mac, random.below(2) === 0 ? wanted : undefined, null, now); break
        case 1:
          leases.release(mac, held, now)
          if (holders.get(held)?.mac === formatMac(mac)) holders.delete(held)
          break
        case 2:
          if (random.below(10) === 0) leases.decline(mac, held, now)
          if (leases.ofMac(mac) === undefined && holders.get(held)?.mac === formatMac(mac)) holders.delete(held)
          break
        case 3: now += random.below(900) * 1e9; break
        default: {
          const lease = leases.bind(mac, random.below(3) === 0 ? wanted : held, null, now)
          if (lease === undefined) break
          const holder = holders.get(lease.address)
          expect(holder === undefined || holder.until <= now || holder.mac === formatMac(mac)).toBe(true)
          const inPool = lease.address >= settings.poolFirst && lease.address <= settings.poolLast
          expect(mac[5] === 1 ? lease.address === 0x0a000528 : inPool).toBe(true)
          // A card has one address: the one before is free.
          for (const [address, { mac: owner }] of holders) if (owner === formatMac(mac)) holders.delete(address)
          holders.set(lease.address, { mac: formatMac(mac), until: lease.expires })
        }
      }
      const list = leases.list(now)
      expect(new Set(list.map(({ address }) => address)).size).toBe(list.length)
      expect(new Set(list.map(({ mac: card }) => card)).size).toBe(list.length)
      expect(list.length).toBeLessThanOrEqual(6)
    }
  })
})
