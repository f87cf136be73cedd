import { describe, expect, it } from 'vitest'
import { DhcpType, parseDhcp } from '../packet/dhcp.ts'
import { formatAddress } from '../packet/addresses.ts'
import { Bench, GUEST_MAC, address, dhcp, udp, udpOf, type Sent } from './testing/bench.ts'

const EVERYBODY = { from: '0.0.0.0', to: '255.255.255.255', toMac: 'ff:ff:ff:ff:ff:ff' }

interface Answer {
  readonly type: number
  readonly address: string
  readonly options: ReadonlyMap<number, Uint8Array>
  readonly sent: Sent
}

/** Broadcasts a message, and reads the answer. */
function ask(bench: Bench, message: Uint8Array, options: object = {}): Answer | undefined {
  const [sent] = bench.give(udp(68, 67, message, { ...EVERYBODY, ...options }))
  if (sent === undefined) return undefined
  const { data, from, to } = udpOf(sent)
  expect([from, to]).toEqual([67, 68])
  expect(data[0]).toBe(2)
  const asked = Uint8Array.of(1, ...data.subarray(1))
  const { type, options: answered } = parseDhcp(asked)!
  return { type, address: formatAddress(data, 16, 4), options: answered, sent }
}

const requested = (text: string) => [50, 4, ...address(text)]
const SERVER = [54, 4, 10, 0, 5, 1]
const name = (text: string) => [12, text.length, ...Array.from(text, letter => letter.charCodeAt(0))]

/** Discover and request, as a new client does. */
function lease(bench: Bench, mac = GUEST_MAC, options: readonly (readonly number[])[] = []): Answer {
  const offer = ask(bench, dhcp(DhcpType.DISCOVER, options, { mac }), { fromMac: mac })!
  expect(offer.type).toBe(DhcpType.OFFER)
  return ask(bench, dhcp(DhcpType.REQUEST, [requested(offer.address), SERVER, ...options], { mac }), { fromMac: mac })!
}

describe('DHCP', () => {
  it('offers and gives an address with all that belongs to it', () => {
    const bench = new Bench({ routes: [{ to: '10.8.0.0/16', via: '10.0.5.9' }] })
    const { type, address: given, options, sent } = lease(bench)
    expect(type).toBe(DhcpType.ACK)
    expect(given).toMatch(/^10\.0\.5\./)
    expect(sent.destinationMac).toBe(GUEST_MAC)
    expect(formatAddress(sent.packet.bytes, sent.packet.destination, 4)).toBe(given)
    const text = (option: number) => Array.from(options.get(option)!).join('.')
    expect([text(1), text(3), text(6), text(28), text(54)]).toEqual(['255.255.255.0', '10.0.5.1', '10.0.5.1', '10.0.5.255', '10.0.5.1'])
    expect([text(26), text(51), text(58), text(59)]).toEqual(['5.220', '0.0.14.16', '0.0.7.8', '0.0.12.78'])
    expect(text(121)).toBe('0.10.0.5.1.16.10.8.10.0.5.9')
    expect(String.fromCharCode(...options.get(15)!)).toBe('internal')
    expect(bench.gateway.report().leases).toEqual([{ mac: GUEST_MAC, address: given, name: null, secondsLeft: 3600 }])
    expect(bench.gateway.report().neighbours).toContainEqual({ address: given, mac: GUEST_MAC })
  })

  it('answers to everybody only where it must', () => {
    const bench = new Bench()
    const offer = ask(bench, dhcp(DhcpType.DISCOVER, [], { broadcast: true }))!
    expect(offer.sent.destinationMac).toBe('ff:ff:ff:ff:ff:ff')
    const nak = ask(bench, dhcp(DhcpType.REQUEST, [requested('10.0.6.7')]))!
    expect([nak.type, nak.sent.destinationMac]).toEqual([DhcpType.NAK, 'ff:ff:ff:ff:ff:ff'])
  })

  it('gives a card the same address again: when it asks, when it comes back, and from a new gateway', () => {
    const bench = new Bench()
    const first = lease(bench).address
    expect(lease(bench).address).toBe(first)
    const release = dhcp(DhcpType.RELEASE, [SERVER], { ciaddr: first })
    bench.give(udp(68, 67, release, { from: first, to: '10.0.5.1' }))
    expect(bench.gateway.report().leases[0].secondsLeft).toBe(0)
    expect(lease(bench).address).toBe(first)
    expect(lease(new Bench({}, 99)).address).toBe(first)
  })

  it('renews, rebinds and lets reboot, and refuses what is another\'s', () => {
    const bench = new Bench()
    const { address: given } = lease(bench)
    bench.clock.advance(1800e9)
    const renewed = ask(bench, dhcp(DhcpType.REQUEST, [], { ciaddr: given }), { from: given, to: '10.0.5.1' })!
    expect([renewed.type, renewed.address]).toEqual([DhcpType.ACK, given])
    expect(bench.gateway.report().leases[0].secondsLeft).toBe(3600)
    expect(ask(bench, dhcp(DhcpType.REQUEST, [requested(given)]))!.type).toBe(DhcpType.ACK)
    const other = '52:54:00:00:00:99'
    expect(ask(bench, dhcp(DhcpType.REQUEST, [requested(given)], { mac: other }), { fromMac: other })!.type).toBe(DhcpType.NAK)
    expect(ask(bench, dhcp(DhcpType.REQUEST, [requested('10.0.5.1')]))!.type).toBe(DhcpType.NAK)
    expect(ask(bench, dhcp(DhcpType.REQUEST, [requested('10.0.5.255')]))!.type).toBe(DhcpType.NAK)
  })

  it('does not give a declined address again soon', () => {
    const bench = new Bench()
    const { address: given } = lease(bench)
    bench.give(udp(68, 67, dhcp(DhcpType.DECLINE, [requested(given), SERVER]), EVERYBODY))
    expect(lease(bench).address).not.toBe(given)
    expect(ask(bench, dhcp(DhcpType.REQUEST, [requested(given)]))!.type).toBe(DhcpType.NAK)
  })

  it('lets no card decline all addresses', () => {
    const bench = new Bench({ pool: { first: '10.0.5.10', last: '10.0.5.19' } })
    for (let round = 0; round < 20; round++) {
      const { address: given } = lease(bench)
      bench.give(udp(68, 67, dhcp(DhcpType.DECLINE, [requested(given), SERVER]), EVERYBODY))
    }
    expect(lease(bench, '52:54:00:00:00:99').type).toBe(DhcpType.ACK)
  })

  it('tells the rest to who has an address already', () => {
    const { type, address: given, options } = ask(new Bench(), dhcp(DhcpType.INFORM, [], { ciaddr: '10.0.5.77' }), { from: '10.0.5.77' })!
    expect([type, given, options.has(51), options.has(6)]).toEqual([DhcpType.ACK, '0.0.0.0', false, true])
  })

  it('keeps reservations, and their names', () => {
    const bench = new Bench({ reservations: [{ mac: GUEST_MAC, address: '10.0.5.42', name: 'web' }] })
    const { address: given, options } = lease(bench, GUEST_MAC, [name('other')])
    expect(given).toBe('10.0.5.42')
    expect(String.fromCharCode(...options.get(12)!)).toBe('web')
    expect(bench.gateway.report().leases[0].name).toBe('web')
    const other = '52:54:00:00:00:99'
    expect(ask(bench, dhcp(DhcpType.REQUEST, [requested('10.0.5.42')], { mac: other }), { fromMac: other })!.type).toBe(DhcpType.NAK)
    bench.gateway.reserve({ mac: other, address: '10.0.5.43' })
    expect(lease(bench, other).address).toBe('10.0.5.43')
    expect(() => { bench.gateway.reserve({ mac: GUEST_MAC, address: '10.0.5.43' }) }).toThrow(/another's already/)
    bench.gateway.unreserve(other)
    bench.gateway.reserve({ mac: GUEST_MAC, address: '10.0.5.44' })
    expect(lease(bench).address).toBe('10.0.5.44')
  })

  it('takes a guest\'s name from itself, unless others would obey it', () => {
    for (const [said, taken] of [['Web.example.org', 'web'], ['wpad', null], ['gateway', null], ['not a name', null]] as const) {
      const bench = new Bench()
      lease(bench, GUEST_MAC, [name(said)])
      expect(bench.gateway.report().leases[0].name).toBe(taken)
    }
  })

  it('runs out of addresses without harm, and gives away what expired first', () => {
    const bench = new Bench({ pool: { first: '10.0.5.10', last: '10.0.5.12' } })
    const cards = ['52:54:00:00:00:01', '52:54:00:00:00:02', '52:54:00:00:00:03', '52:54:00:00:00:04']
    const given = cards.slice(0, 3).map((card) => {
      bench.clock.advance(1e9)
      return lease(bench, card).address
    })
    expect([...given].sort()).toEqual(['10.0.5.10', '10.0.5.11', '10.0.5.12'])
    expect(ask(bench, dhcp(DhcpType.DISCOVER, [], { mac: cards[3] }), { fromMac: cards[3] })).toBeUndefined()
    bench.clock.advance(3600e9)
    expect(lease(bench, cards[3]).address).toBe(given[0])
    expect(bench.gateway.report().leases).toHaveLength(3)
  })

  it('believes no card that speaks for another, no relay, and no nonsense', () => {
    const bench = new Bench()
    expect(ask(bench, dhcp(DhcpType.DISCOVER, [], { mac: '52:54:00:00:00:99' }))).toBeUndefined()
    const relayed = dhcp(DhcpType.DISCOVER, [])
    relayed[24] = 10
    expect(ask(bench, relayed)).toBeUndefined()
    expect(ask(bench, dhcp(DhcpType.DISCOVER, []).subarray(0, 200))).toBeUndefined()
    expect(ask(bench, dhcp(DhcpType.REQUEST, []))).toBeUndefined()
    expect(ask(bench, dhcp(DhcpType.REQUEST, [requested('10.0.5.9'), [54, 4, 10, 0, 5, 200]]))).toBeUndefined()
    expect(bench.gateway.report().leases).toEqual([])
  })

  it('reads options in pieces and in the fields for names', () => {
    const message = dhcp(DhcpType.DISCOVER, [[52, 1, 3]])
    message.set([12, 2, 119, 101, 255], 108)
    message.set([12, 1, 98, 255], 44)
    const { options } = parseDhcp(message)!
    expect(String.fromCharCode(...options.get(12)!)).toBe('web')
  })

  it('goes along with its guest to another gateway, unless the address is taken there', () => {
    const bench = new Bench()
    const { address: given } = lease(bench, GUEST_MAC, [name('web')])
    lease(bench, '52:54:00:00:00:42')
    bench.clock.advance(600e9)
    const standing = structuredClone(bench.gateway.standingOf(GUEST_MAC))
    const other = new Bench({}, 5)
    other.gateway.resume(GUEST_MAC, standing)
    expect(other.gateway.report().leases).toEqual([{ mac: GUEST_MAC, address: given, name: 'web', secondsLeft: 3000 }])
    other.gateway.resume('52:54:00:00:00:77', standing)
    expect(other.gateway.report().leases).toHaveLength(1)
    const third = new Bench({}, 5)
    third.gateway.reserve({ mac: '52:54:00:00:00:99', address: given })
    third.gateway.resume(GUEST_MAC, standing)
    expect(third.gateway.report().leases).toEqual([])
    expect(() => { third.gateway.resume(GUEST_MAC, {}) }).toThrow(/what the card 52:54:00:12:34:56 had/)
  })

  it('survives a restore: the same leases for the time that was left', () => {
    const bench = new Bench()
    const { address: given } = lease(bench, GUEST_MAC, [name('web')])
    bench.clock.advance(600e9)
    const state = bench.gateway.save()
    const other = new Bench({}, 5)
    other.gateway.restore(structuredClone(state))
    expect(other.gateway.report().leases).toEqual([{ mac: GUEST_MAC, address: given, name: 'web', secondsLeft: 3000 }])
    expect(other.gateway.report().neighbours).toEqual(bench.gateway.report().neighbours)
    expect(other.transport.restored).toEqual({ kept: 7 })
    for (const wrong of [null, {}, { ...state as object, leases: [{ mac: new Uint8Array(6), address: 1, name: '', left: 0, bound: true }] },
      { ...state as object, neighbours: [{ address: 'x', mac: [1, 2, 3, 4, 5, 6] }] }, { ...state as object, transport: {} }]) {
      expect(() => { new Bench().gateway.restore(wrong as never) }).toThrow(/snapshot part/)
    }
  })
})
