import { describe, expect, it } from 'vitest'
import { getU16 } from '../packet/bytes.ts'
import { formatAddress } from '../packet/addresses.ts'
import { Bench, GATEWAY, GUEST, GUEST6, GUEST_MAC, address, icmpOf, udp, udpOf, type Sent } from './testing/bench.ts'

const DATA = Uint8Array.of(1, 2, 3)
const NO_EVENTS = { connected: () => {}, data: () => true, ended: () => {}, writable: () => {}, closed: () => {} }

function ready(configuration = {}): Bench {
  const bench = new Bench(configuration)
  bench.introduce()
  return bench
}

const sourceOf = ({ packet }: Sent) => formatAddress(packet.bytes, packet.source, packet.version === 4 ? 4 : 16)

describe('UDP to the outside', () => {
  it('goes by a socket for each pair of endpoints, and back', () => {
    const bench = ready()
    for (const [index, to] of ['192.0.2.9', '2001:db8::9'].entries()) {
      bench.give(udp(5000, 7, DATA, { to }))
      bench.give(udp(5000, 7, DATA, { to }))
      expect(bench.sockets.udp).toHaveLength(index + 1)
      const socket = bench.sockets.udp[index]
      expect([socket.address, socket.port, socket.sent.length]).toEqual([to, 7, 2])
      socket.events.message(Uint8Array.of(9, 8))
      const [sent] = bench.take()
      expect(sourceOf(sent)).toBe(to)
      expect(udpOf(sent)).toEqual({ from: 7, to: 5000, data: Uint8Array.of(9, 8) })
    }
    expect(bench.gateway.report().udpFlows).toEqual([
      { guest: GUEST, peer: '192.0.2.9', guestPort: 5000, peerPort: 7, published: false },
      { guest: GUEST6, peer: '2001:db8::9', guestPort: 5000, peerPort: 7, published: false },
    ])
  })

  it('closes what a guest had open whose cable is pulled, and no more', () => {
    const bench = ready()
    for (const to of ['192.0.2.9', '2001:db8::9']) bench.give(udp(5000, 7, DATA, { to }))
    bench.gateway.leave('52:54:00:00:00:99')
    expect(bench.gateway.report().udpFlows).toHaveLength(2)
    bench.gateway.leave(GUEST_MAC.toUpperCase())
    expect([bench.gateway.report().udpFlows, bench.transport.left.includes(GUEST)]).toEqual([[], true])
    expect(bench.sockets.udp.every(({ closed }) => closed)).toBe(true)
  })

  it('tells the guest why a peer cannot be reached, and closes the socket', () => {
    const bench = ready()
    const expected = { refused: [3, 3], 'unreachable-host': [3, 1], 'unreachable-net': [3, 0], denied: [3, 13] } as const
    for (const [failure, codes] of Object.entries(expected)) {
      bench.give(udp(5000, 7, DATA, { to: '192.0.2.9' }))
      const socket = bench.sockets.udp.at(-1)!
      socket.events.failed(failure as keyof typeof expected)
      const [error] = bench.take()
      expect(icmpOf(error)).toEqual(codes)
      expect(formatAddress(error.payload, 8 + 12, 4)).toBe(GUEST)
      expect([getU16(error.payload, 28), getU16(error.payload, 30)]).toEqual([5000, 7])
      expect(socket.closed).toBe(true)
    }
    bench.give(udp(5000, 7, DATA, { to: '2001:db8::9' }))
    bench.sockets.udp.at(-1)!.events.failed('refused')
    expect(icmpOf(bench.take()[0])).toEqual([1, 4])
    expect(bench.gateway.report().udpFlows).toEqual([])
  })

  it('ends after two minutes of silence, sooner for questions to name servers', () => {
    const bench = ready()
    bench.give(udp(5000, 7, DATA, { to: '192.0.2.9' }))
    bench.give(udp(5000, 53, DATA, { to: '192.0.2.9' }))
    bench.clock.advance(30e9)
    expect(bench.sockets.udp.map(({ closed }) => closed)).toEqual([false, true])
    bench.sockets.udp[0].events.message(DATA)
    bench.clock.advance(115e9)
    expect(bench.sockets.udp[0].closed).toBe(false)
    bench.clock.advance(15e9)
    expect(bench.sockets.udp[0].closed).toBe(true)
    bench.take()
    bench.sockets.udp[0].events.message(DATA)
    expect(bench.take()).toHaveLength(0)
  })

  it('is bounded, and who has most loses first', () => {
    const bench = ready({ flowLimit: 100 })
    const modest = '52:54:00:00:00:02'
    for (let port = 1; port <= 10; port++) bench.give(udp(port, 7, DATA, { to: '192.0.2.9', from: '10.0.5.2', fromMac: modest }))
    for (let port = 1; port <= 1000; port++) bench.give(udp(port, 7, DATA, { to: '192.0.2.9' }))
    const flows = bench.gateway.report().udpFlows
    expect(flows).toHaveLength(100)
    expect(flows.filter(({ guest }) => guest === '10.0.5.2')).toHaveLength(10)
    expect(flows.some(({ guest, guestPort }) => guest === GUEST && guestPort === 1000)).toBe(true)
    expect(bench.drops('flows')).toBe(910)
    expect(bench.sockets.udp.filter(({ closed }) => !closed)).toHaveLength(100)
  })

  it('is cut up when the card has left that to us, and comes back in fragments when it is long', () => {
    const bench = ready()
    const batch = { segmentation: 'udp' as const, segmentSize: 1000, checksumStart: 34, checksumOffset: 6 }
    bench.give(udp(5000, 7, new Uint8Array(2500), { to: '192.0.2.9' }), batch)
    const [socket] = bench.sockets.udp
    expect(socket.sent.map(({ length }) => length)).toEqual([1000, 1000, 500])
    socket.events.message(new Uint8Array(4000))
    const sent = bench.take()
    expect(sent).toHaveLength(3)
    expect(sent.every(({ packet }) => packet.payloadLength <= 1480)).toBe(true)
    bench.give(udp(5000, 7, new Uint8Array(0), { to: '192.0.2.9' }))
    expect(socket.sent.at(-1)).toHaveLength(0)
  })

  it('needs a right checksum, or none where IPv4 allows that', () => {
    const bench = ready()
    const wrong = udp(5000, 7, DATA, { to: '192.0.2.9' })
    wrong[14 + 20 + 6] ^= 1
    bench.give(wrong)
    expect(bench.drops('checksum')).toBe(1)
    const without = udp(5000, 7, DATA, { to: '192.0.2.9' })
    without.fill(0, 40, 42)
    bench.give(without)
    const without6 = udp(5000, 7, DATA, { to: '2001:db8::9' })
    without6.fill(0, 60, 62)
    bench.give(without6)
    expect(bench.sockets.udp).toHaveLength(1)
    expect(bench.drops('checksum')).toBe(2)
  })
})

describe('published ports', () => {
  it('lead UDP to a guest and back, from clients of both families', async () => {
    const bench = ready()
    const publication = await bench.gateway.publish({ protocol: 'udp', address: '0.0.0.0', port: 5353, guest: GUEST, guestPort: 53 })
    const [listener] = bench.sockets.udpListeners
    const clients = [
      ['198.51.100.4', '198.51.100.4'], ['127.0.0.1', GATEWAY], ['2001:db8::4', GATEWAY], ['::ffff:198.51.100.5', '198.51.100.5'],
    ]
    for (const [client, seen] of clients) {
      listener.events.message(DATA, client, 6000)
      const [sent] = bench.take()
      expect(sourceOf(sent)).toBe(seen)
      const { from, to, data } = udpOf(sent)
      expect([to, [...data]]).toEqual([53, [...DATA]])
      bench.give(udp(53, from, Uint8Array.of(7), { to: seen }))
      expect(listener.sent.at(-1)).toEqual({ bytes: Uint8Array.of(7), address: client, port: 6000 })
    }
    expect(bench.sockets.udp).toHaveLength(0)
    expect(bench.gateway.report().published).toHaveLength(1)
    publication.close()
    expect(listener.closed).toBe(true)
    expect(bench.gateway.report()).toMatchObject({ published: [], udpFlows: [] })
  })

  it('lead TCP to a guest, whose view of the client is one that it can answer', async () => {
    const bench = ready()
    await bench.gateway.publish({ protocol: 'tcp', address: '::', port: 8080, guest: GUEST, guestPort: 80 })
    const [listener] = bench.sockets.listeners
    const stream = bench.sockets.connectTcp('', 0, NO_EVENTS)
    expect(listener.accepted(stream, '198.51.100.4', 6000)).not.toBeNull()
    bench.transport.refuses = 2
    expect(listener.accepted(stream, '::1', 6000)).not.toBeNull()
    const [first, second] = bench.transport.accepted
    expect(first.from).toEqual({ version: 4, address: address('198.51.100.4'), port: 6000 })
    expect(first.to).toEqual({ version: 4, address: address(GUEST), port: 80 })
    expect(second.from.address).toEqual(address(GATEWAY))
    expect(second.from.port).toBeGreaterThan(1023)
    bench.transport.refuses = Infinity
    expect(listener.accepted(stream, '::1', 6000)).toBeNull()
  })

  it('wait for a guest that is named, and refuse an address that no guest can have', async () => {
    const bench = ready({ reservations: [{ mac: GUEST_MAC, address: '10.0.5.42', name: 'web' }] })
    await bench.gateway.publish({ protocol: 'tcp', address: '127.0.0.1', port: 8080, guest: 'web', guestPort: 80 })
    await bench.gateway.publish({ protocol: 'tcp', address: '127.0.0.1', port: 8081, guest: 'nobody', guestPort: 80 })
    const stream = bench.sockets.connectTcp('', 0, NO_EVENTS)
    expect(bench.sockets.listeners[0].accepted(stream, '127.0.0.1', 6000)).not.toBeNull()
    expect(bench.transport.accepted[0].to.address).toEqual(address('10.0.5.42'))
    expect(bench.sockets.listeners[1].accepted(stream, '127.0.0.1', 6000)).toBeNull()
    const outside = { protocol: 'tcp' as const, address: '127.0.0.1', port: 8082, guest: '10.0.6.7', guestPort: 80 }
    await expect(bench.gateway.publish(outside)).rejects.toMatchObject({ code: 'PORT_TARGET_UNKNOWN' })
  })
})
