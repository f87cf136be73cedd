import { describe, expect, it } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { plainFrame } from '../../machine/frame.ts'
import { formatMac } from '../packet/addresses.ts'
import { FakeClock } from '../testing/fake-clock.ts'
import { BROADCAST, Station, ipv4, ipv6, macOf, makeFrame, udp } from '../testing/frames.ts'
import type { PortConfiguration } from './configuration.ts'
import type { SwitchPort } from './port.ts'
import { MOST_PORTS, Switch } from './switch.ts'
import { ReferenceSwitch } from './testing/reference-switch.ts'

const SECOND = 1e9

interface Bench {
  readonly clock: FakeClock
  readonly network: Switch
  readonly ports: SwitchPort[]
  readonly stations: Station[]
}

function build(configurations: readonly Partial<PortConfiguration>[], seed = 7): Bench {
  const clock = new FakeClock()
  const network = new Switch(clock, seed)
  const ports = configurations.map((each, index) => network.plug({ name: `p${index}`, stormRate: 1e9, ...each }))
  const stations = ports.map((port) => {
    const station = new Station()
    port.connect(station)
    return station
  })
  return { clock, network, ports, stations }
}

/** How many frames each station got since the last call. */
function counts({ stations }: Bench): number[] { return stations.map((station) => station.take().length) }

describe('a switch', () => {
  it('sends to all whom it does not know, and to one when it does', () => {
    const bench = build([{}, {}, {}])
    const [one, two] = bench.ports
    one.receive(makeFrame({ to: macOf(2), from: macOf(1) }))
    expect(counts(bench)).toEqual([0, 1, 1])
    two.receive(makeFrame({ to: macOf(1), from: macOf(2) }))
    expect(counts(bench)).toEqual([1, 0, 0])
    one.receive(makeFrame({ to: macOf(2), from: macOf(1) }))
    expect(counts(bench)).toEqual([0, 1, 0])
    bench.clock.advance(301 * SECOND)
    one.receive(makeFrame({ to: macOf(2), from: macOf(1) }))
    expect(counts(bench)).toEqual([0, 1, 1])
    expect(bench.ports[0].counters).toMatchObject({ receivedFrames: 3, sentFrames: 1 })
  })

  it('does what its plain model does', () => {
    let delivered = 0
    for (let round = 0; round < 20; round++) delivered += compareWithModel(new Random(round + 1))
    expect(delivered).toBeGreaterThan(1000)
  })

  it('drops what a station must not send', () => {
    const { network, ports: [port] } = build([{ mac: formatMac(macOf(1)), addresses: ['10.0.0.1', 'fd00::1'] }, {}])
    const ip = (source: readonly number[], payload = udp(1, 2)): number[] =>
      ipv4({ source, destination: [10, 0, 0, 9], protocol: 17, payload })
    const arp = (mac: Uint8Array, sender: readonly number[]): number[] => [0, 1, 8, 0, 6, 4, 0, 1, ...mac, ...sender, ...new Uint8Array(10)]
    const v6 = (tail: number): number[] => [0xfd, ...new Uint8Array(14), tail]
    const icmp6 = (kind: number, target: number[]): number[] => [kind, 0, 0, 0, 0, 0, 0, 0, ...target]
    const send = (type: number, payload: readonly number[], from = macOf(1)): string | undefined => {
      const before = { ...port.counters.drops }
      port.receive(makeFrame({ from, type, payload }))
      return Object.keys(before).find((reason) => port.counters.drops[reason as 'spoofed'] > before[reason as 'spoofed'])
    }
    expect([
      send(0x800, ip([10, 0, 0, 1])), send(0x800, ip([10, 0, 0, 2])), send(0x800, ip([0, 0, 0, 0], udp(68, 67))),
      send(0x800, ip([0, 0, 0, 0])),
      send(0x800, ip([10, 0, 0, 1]), macOf(2)), send(0x800, ip([10, 0, 0, 1], udp(67, 68))),
      send(0x806, arp(macOf(1), [10, 0, 0, 1])), send(0x806, arp(macOf(1), [10, 0, 0, 9])), send(0x806, arp(macOf(3), [10, 0, 0, 1])),
      send(0x806, arp(macOf(1), [0, 0, 0, 0])),
      send(0x86dd, ipv6(v6(1), v6(9), 17, udp(1, 2))), send(0x86dd, ipv6(v6(2), v6(9), 17, udp(1, 2))),
      send(0x86dd, ipv6(v6(1), v6(9), 58, icmp6(136, v6(1)))), send(0x86dd, ipv6(v6(1), v6(9), 58, icmp6(136, v6(9)))),
      send(0x86dd, ipv6(v6(1), v6(9), 58, icmp6(134, v6(1)))), send(0x86dd, ipv6(v6(1), v6(9), 17, udp(547, 546))),
      send(0x88b5, [], Uint8Array.of(3, 0, 0, 0, 0, 1)),
    ]).toEqual([
      undefined, 'spoofed', undefined, 'spoofed', 'spoofed', 'rogueService', undefined, 'spoofed', 'spoofed', undefined,
      undefined, 'spoofed', undefined, 'spoofed', 'rogueService', 'rogueService', 'malformed',
    ])
    expect(send(0x88b5, new Uint8Array(1501) as unknown as number[])).toBe('tooLong')
    expect(network.stationsAt(port)).toBe(1)
  })

  it('keeps a station where it belongs, whoever says that he is it', () => {
    const bench = build([{ mac: formatMac(macOf(1)) }, {}, {}])
    bench.ports[1].receive(makeFrame({ from: macOf(1) }))
    expect([counts(bench), bench.ports[1].counters.drops.spoofed]).toEqual([[0, 0, 0], 1])
    bench.ports[2].receive(makeFrame({ to: macOf(1), from: macOf(3) }))
    expect(counts(bench)).toEqual([1, 0, 0])
  })

  it('learns a bounded number of stations behind a port, and others all the same', () => {
    const bench = build([{}, {}, {}])
    for (let station = 0; station < 4000; station++) bench.ports[0].receive(makeFrame({ to: macOf(0xffff), from: macOf(station + 100) }))
    expect(bench.network.stationsAt(bench.ports[0])).toBeLessThanOrEqual(512)
    bench.ports[1].receive(makeFrame({ from: macOf(2) }))
    counts(bench)
    bench.ports[2].receive(makeFrame({ to: macOf(2), from: macOf(3) }))
    expect(counts(bench)).toEqual([0, 1, 0])
  })

  it('limits frames to all, and passes others', () => {
    const bench = build([{ stormRate: 100 }, {}, {}])
    bench.ports[1].receive(makeFrame({ from: macOf(2) }))
    counts(bench)
    for (let index = 0; index < 1000; index++) bench.ports[0].receive(makeFrame({ from: macOf(1) }))
    for (let index = 0; index < 50; index++) bench.ports[0].receive(makeFrame({ from: macOf(1), to: macOf(2) }))
    expect([counts(bench), bench.ports[0].counters.drops.storm]).toEqual([[0, 70, 20], 980])
  })

  it('holds a station to its rate by letting it wait, both ways', () => {
    const bench = build([{ rate: 8_000_000 }, {}])
    const [slow, fast] = bench.ports
    const frame = plainFrame(Uint8Array.from([...macOf(2), ...macOf(1), 8, 0, ...new Uint8Array(986)]))
    let sent = 0
    const until = 2 * SECOND
    while (bench.clock.time < until) {
      while (slow.receive(frame)) sent++
      const { readied } = bench.stations[0]
      while (bench.stations[0].readied === readied) bench.clock.advance(1e5)
    }
    expect(sent).toBeGreaterThan(1_980)
    expect(sent).toBeLessThan(2_050)
    const back = plainFrame(Uint8Array.from([...macOf(1), ...macOf(2), 8, 0, ...new Uint8Array(986)]))
    counts(bench)
    for (let step = 0; step < 1000; step++) {
      for (let index = 0; index < 5; index++) fast.receive(back)
      bench.clock.advance(1e6)
    }
    const [received] = counts(bench)
    expect(received).toBeGreaterThan(990)
    expect(received).toBeLessThan(1_050)
    expect(slow.counters.drops.congested).toBeGreaterThan(3000)
  })

  it('gives those who send to a busy station equal shares', () => {
    const bench = build([{ mac: formatMac(macOf(9)), rate: 80_000_000 }, {}, {}])
    const from = (station: number, length: number) =>
      plainFrame(Uint8Array.from([...macOf(9), ...macOf(station), 8, 0, ...new Uint8Array(length - 14)]))
    const [flood, few] = [from(1, 1400), from(2, 100)]
    let bytes = [0, 0]
    for (let step = 0; step < 1000; step++) {
      for (let index = 0; index < 10; index++) bench.ports[1].receive(flood)
      for (let index = 0; index < 20; index++) bench.ports[2].receive(few)
      bench.clock.advance(1e6)
      if (step === 199) bytes = [0, 0]
      for (const frame of bench.stations[0].take()) bytes[frame[11] - 1] += frame.length
    }
    // 10,000 bytes a millisecond for both: the second wants 2,000 and gets them, the first the rest.
    expect(bytes[1] / 800).toBeGreaterThan(1950)
    expect(bytes[0] / 800).toBeGreaterThan(7900)
    expect(bench.ports[0].counters.drops.congested).toBeGreaterThan(1000)
  })

  it('keeps frames for a station that is slow, and hurts no other by it', () => {
    const bench = build([{}, {}, {}])
    bench.ports[1].receive(makeFrame({ from: macOf(2) }))
    counts(bench)
    bench.stations[1].room = 0
    for (let index = 0; index < 5; index++) bench.ports[0].receive(makeFrame({ to: macOf(2), from: macOf(1), payload: [index] }))
    bench.ports[0].receive(makeFrame({ from: macOf(1) }))
    expect(counts(bench)).toEqual([0, 0, 1])
    bench.stations[1].room = 3
    bench.ports[1].ready()
    expect(bench.stations[1].take().map((frame) => frame[14])).toEqual([0, 1, 2])
    bench.stations[1].room = 9
    bench.ports[1].ready()
    expect(bench.stations[1].take().map((frame) => frame[14])).toEqual([3, 4, 0])
  })

  it('copies to a mirror what its ports receive and are given', () => {
    const bench = build([{}, {}, {}, { name: 'm', mirrors: ['p0'] }])
    bench.ports[0].receive(makeFrame({ from: macOf(1), to: macOf(2) }))
    bench.ports[1].receive(makeFrame({ from: macOf(2), to: macOf(1) }))
    bench.ports[1].receive(makeFrame({ from: macOf(2), to: macOf(3) }))
    bench.ports[3].receive(makeFrame({ from: macOf(4) }))
    expect(counts(bench)).toEqual([2, 1, 2, 3])
  })

  it('moves what is to be done on a frame with the tag', () => {
    const bench = build([{ trunk: {} }, { vlan: 5 }])
    let seen = 0
    bench.ports[0].connect({ ready: () => undefined, receive: (frame) => { seen = frame.checksumStart; return true } })
    bench.ports[1].receive({ ...makeFrame({}), checksumStart: 34, checksumOffset: 6 })
    expect(seen).toBe(38)
  })

  it('lets go of a port', () => {
    const bench = build([{}, {}, {}])
    bench.ports[1].receive(makeFrame({ from: macOf(2) }))
    bench.network.unplug(bench.ports[1])
    counts(bench)
    bench.ports[0].receive(makeFrame({ to: macOf(2), from: macOf(1) }))
    expect(counts(bench)).toEqual([0, 0, 1])
    expect(bench.network.plug({ name: 'p1' }).index).toBe(1)
  })

  it.each([
    [{ name: 'p0' }, 'NETWORK_CONFIGURATION_INVALID'],
    [{ name: 'x', vlan: 4095 }, 'NETWORK_CONFIGURATION_INVALID'],
    [{ name: 'x', vlan: 1, trunk: {} }, 'NETWORK_CONFIGURATION_INVALID'],
    [{ name: 'x', mac: '03:00:00:00:00:01' }, 'NETWORK_CONFIGURATION_INVALID'],
    [{ name: 'x', mac: '02:00:00:00:00:01' }, 'NETWORK_CONFIGURATION_INVALID'],
    [{ name: 'x', addresses: ['10.0.0.300'] }, 'NETWORK_CONFIGURATION_INVALID'],
    [{ name: 'x', rate: 5 }, 'NETWORK_CONFIGURATION_INVALID'],
    [{ name: 'x', mirrors: ['nobody'] }, 'NETWORK_CONFIGURATION_INVALID'],
    [{ name: 'x', rules: [{ direction: 'in', network: '10.0.0.0' }] }, 'NETWORK_RULE_INVALID'],
  ] as const)('refuses the port %j', (configuration, code) => {
    const { network } = build([{ mac: '02:00:00:00:00:01' }])
    expect(() => network.plug(configuration)).toThrow(expect.objectContaining({ code }))
  })

  it('has so many ports', () => {
    const { network } = build(Array.from({ length: MOST_PORTS }, () => ({})))
    expect(() => network.plug({ name: 'x' })).toThrow(expect.objectContaining({ code: 'NETWORK_FULL' }))
  })

  it('lives with anything', () => {
    const random = new Random(9)
    const guarded = { mac: formatMac(macOf(2)), rules: [{ direction: 'in' }] } as const
    const bench = build([{ trunk: {}, addresses: ['10.0.0.1'] }, guarded, { isolated: true }])
    for (let round = 0; round < 5000; round++) {
      const frame = random.bytes(random.below(90))
      const types = [[8, 0, 0x45], [8, 6], [0x86, 0xdd, 0x60], [0x81, 0, 0, 1, 8, 0, 0x45], [0x81, 0, 0, 1]]
      if (frame.length > 20) frame.set(random.pick(types), 12)
      if (random.below(2) === 0) frame.set(random.pick([BROADCAST, macOf(2), macOf(1)]).subarray(0, Math.min(6, frame.length)))
      random.pick(bench.ports).receive(plainFrame(frame))
      bench.clock.advance(random.below(1e6))
    }
    expect(counts(bench).every((count) => count > 50)).toBe(true)
  })
})

/** One network at random, and its frames. How many were delivered. */
function compareWithModel(random: Random): number {
  const configurations = Array.from({ length: 2 + random.below(6) }, (_, index) => randomPort(random, index))
  const bench = build(configurations, random.u32())
  const model = new ReferenceSwitch(configurations)
  let delivered = 0
  for (let step = 0; step < 150; step++) {
    const from = random.below(configurations.length)
    const vlan = random.pick([undefined, undefined, undefined, 0, 1, 2, 3, 0xfff])
    const groups = [BROADCAST, Uint8Array.of(1, 0, 0x5e, 0, 0, 1), Uint8Array.of(1, 0x80, 0xc2, 0, 0, 3)]
    const to = random.pick([...groups, ...[0, 1, 2, 3, 4, 5, 6, 7].map(macOf)])
    const frame = makeFrame({ to, from: macOf(random.below(3) === 0 ? random.below(8) : from), vlan, payload: [step] })
    const expected = model.send(from, Array.from(frame.bytes), bench.clock.time)
    bench.ports[from].receive(frame)
    const actual = bench.stations.flatMap((station, port) => station.take().map((bytes) => ({ port, frame: Array.from(bytes) })))
    expect(actual).toEqual(expected)
    delivered += actual.length
    bench.clock.advance(random.below(20) === 0 ? 200 * SECOND : 1e6)
  }
  return delivered
}

function randomPort(random: Random, index: number): PortConfiguration {
  const vlans = random.pick([undefined, [1, 2], [3]])
  return {
    name: `p${index}`, isolated: random.below(3) === 0, mac: random.below(3) === 0 ? formatMac(macOf(index)) : undefined,
    ...random.pick<Partial<PortConfiguration>>([
      {}, {}, { vlan: 2 }, { vlan: 3 }, { trunk: { vlans } }, { trunk: { vlans, native: 1 + random.below(3) } },
    ]),
  }
}
