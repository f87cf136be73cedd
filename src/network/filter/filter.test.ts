import { describe, expect, it } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { ipv4, ipv6, tcp, udp } from '../testing/frames.ts'
import { PacketFilter } from './filter.ts'
import { checkRules } from './rules.ts'
import type { FilterRule } from './rules.ts'
import { ReferenceFilter } from './testing/reference-filter.ts'
import type { Packet } from './testing/reference-filter.ts'

const IPV4 = 0x800
const IPV6 = 0x86dd
const SECOND = 1e9
const INSIDE = [10, 0, 0, 1]
const OUTSIDE = [192, 0, 2, 1]

class Bench {
  now = 0
  readonly #filter: PacketFilter
  constructor(rules: readonly FilterRule[], seed = 5) { this.#filter = new PacketFilter(checkRules(rules), seed) }

  save(): unknown { return structuredClone(this.#filter.save(this.now)) }
  restore(state: unknown): void { this.#filter.restore(new StateReader('the filter', state), this.now) }

  in(packet: readonly number[], type = IPV4): boolean {
    return this.#filter.passes(Uint8Array.from(packet), 0, packet.length, type, true, this.now)
  }
  out(packet: readonly number[], type = IPV4): boolean {
    return this.#filter.passes(Uint8Array.from(packet), 0, packet.length, type, false, this.now)
  }
}

const toInside = (protocol: number, payload: readonly number[], rest = {}): number[] =>
  ipv4({ source: OUTSIDE, destination: INSIDE, protocol, payload, ...rest })
const toOutside = (protocol: number, payload: readonly number[], rest = {}): number[] =>
  ipv4({ source: INSIDE, destination: OUTSIDE, protocol, payload, ...rest })
const echo = (kind: number, identifier: number): number[] => [kind, 0, 0, 0, identifier >> 8, identifier & 0xff, 0, 1]

describe('a packet filter', () => {
  it('lets in what was asked for, and what a rule allows', () => {
    const bench = new Bench([{ direction: 'out' }, { direction: 'in', protocol: 'tcp', ports: [22, 22] }])
    expect([bench.in(toInside(6, tcp(5000, 22))), bench.in(toInside(6, tcp(5000, 80))), bench.in(toInside(17, udp(53, 4000)))])
      .toEqual([true, false, false])
    expect([bench.out(toOutside(17, udp(4000, 53))), bench.in(toInside(17, udp(53, 4000))), bench.in(toInside(17, udp(54, 4000)))])
      .toEqual([true, true, false])
    bench.now += 301 * SECOND
    expect(bench.in(toInside(17, udp(53, 4000)))).toBe(false)
  })

  it('knows echoes by their identifier, and errors by what they quote', () => {
    const bench = new Bench([{ direction: 'out' }])
    expect([bench.in(toInside(1, echo(0, 7))), bench.out(toOutside(1, echo(8, 7))), bench.in(toInside(1, echo(0, 7))),
      bench.in(toInside(1, echo(0, 8)))])
      .toEqual([false, true, true, false])
    bench.out(toOutside(17, udp(4000, 33434)))
    const error = (quoted: readonly number[]): number[] =>
      ipv4({ source: [203, 0, 113, 9], destination: INSIDE, protocol: 1, payload: [3, 3, 0, 0, 0, 0, 0, 0, ...quoted] })
    expect([bench.in(error(toOutside(17, udp(4000, 33434)))), bench.in(error(toOutside(17, udp(4000, 33435)))),
      bench.in(error(toInside(17, udp(33434, 4000))))])
      .toEqual([true, false, false])
  })

  it('knows IPv6, extension headers included', () => {
    const bench = new Bench([{ direction: 'out', network: 'fd00::/8' }])
    const [inside, outside] = [[0xfd, ...new Uint8Array(14), 1], [0xfd, ...new Uint8Array(14), 2]]
    const options = [17, 0, 1, 4, 0, 0, 0, 0]
    expect(bench.in(ipv6(outside, inside, 17, udp(53, 4000)), IPV6)).toBe(false)
    expect(bench.out(ipv6(inside, outside, 60, [...options, ...udp(4000, 53)]), IPV6)).toBe(true)
    expect(bench.in(ipv6(outside, inside, 17, udp(53, 4000)), IPV6)).toBe(true)
    expect(bench.out(ipv6(inside, [0x20, ...new Uint8Array(15)], 17, udp(4000, 53)), IPV6)).toBe(false)
    expect(bench.in(ipv6(outside, inside, 58, [135, ...new Uint8Array(23)]), IPV6)).toBe(true)
  })

  it('passes a fragment if the first of its packet did', () => {
    const bench = new Bench([{ direction: 'in', protocol: 'udp', ports: [99, 99] }])
    const [first, later] = [{ fragment: 0x2000, identification: 5 }, { fragment: 3, identification: 5 }]
    expect([bench.in(toInside(17, [1], later)), bench.in(toInside(17, udp(1, 98), first)), bench.in(toInside(17, [1], later))])
      .toEqual([false, false, false])
    expect([bench.in(toInside(17, udp(1, 99), first)), bench.in(toInside(17, [1], later))]).toEqual([true, true])
    expect(bench.in(toInside(17, [1], { ...later, identification: 6 }))).toBe(false)
  })

  it('passes DHCP and what is no IP, always', () => {
    const bench = new Bench([])
    expect([bench.out(toOutside(17, udp(68, 67))), bench.in(toInside(17, udp(67, 68))), bench.in([], 0x806),
      bench.in(toInside(17, udp(1, 2)))])
      .toEqual([true, true, true, false])
  })

  it('forgets attempts before conversations when it is full', () => {
    const bench = new Bench([{ direction: 'out' }, { direction: 'in', protocol: 'tcp', ports: [22, 22] }])
    bench.in(toInside(6, tcp(5000, 22)))
    bench.out(toOutside(6, tcp(22, 5000)))
    for (let port = 0; port < 20_000; port++) bench.out(toOutside(17, udp(port, 9)))
    expect(bench.in(toInside(6, tcp(5000, 22)))).toBe(true)
    expect(bench.out(toOutside(6, tcp(22, 5000)))).toBe(true)
  })

  it('goes on elsewhere with what it had allowed, for as long as it would have been remembered', () => {
    const before = new Bench([{ direction: 'out' }])
    before.out(toOutside(17, udp(4000, 53)))
    before.in(toInside(17, udp(53, 4000)))
    before.now += 200 * SECOND
    const after = new Bench([{ direction: 'out' }], 77)
    after.now = 5 * SECOND
    after.restore(before.save())
    expect([after.in(toInside(17, udp(54, 4000))), after.in(toInside(17, udp(53, 4000)))]).toEqual([false, true])
    const late = new Bench([{ direction: 'out' }], 77)
    late.restore(before.save())
    late.now = 101 * SECOND
    expect(late.in(toInside(17, udp(53, 4000)))).toBe(false)
    expect(() => late.restore({ flows: [{ key: new Uint8Array(3), left: 1, marks: 0 }] })).toThrow(expect.objectContaining({ code: 'SNAPSHOT_INVALID' }))
  })

  it('does what its plain model does', () => {
    let [passed, dropped] = [0, 0]
    for (let round = 0; round < 25; round++) {
      const random = new Random(round + 1)
      const rules = Array.from({ length: random.below(6) }, () => randomRule(random))
      const [bench, model] = [new Bench(rules), new ReferenceFilter(rules)]
      for (let step = 0; step < 300; step++) {
        const packet = randomPacket(random)
        const expected = model.passes(packet, bench.now / SECOND)
        expect(packet.isIn ? bench.in(bytesOf(packet)) : bench.out(bytesOf(packet))).toBe(expected)
        if (expected) passed++
        else dropped++
        bench.now += random.pick([0, 1, 1, 5, 30, 400]) * SECOND
      }
    }
    expect(Math.min(passed, dropped)).toBeGreaterThan(500)
  })

  it('lives with anything', () => {
    const random = new Random(3)
    const bench = new Bench([{ direction: 'in', network: '10.0.0.0/8' }, { direction: 'out', protocol: 'udp', state: 'any' }])
    let passed = 0
    for (let round = 0; round < 6000; round++) {
      const six = random.below(2) === 0
      const packet = [...random.bytes(random.below(120))]
      packet.splice(0, 1, six ? 0x60 : 0x45)
      const at = six ? 6 : 9
      if (packet.length > 48) packet.splice(at, 1, random.pick([0, 1, 6, 17, 43, 44, 58, 60]))
      if (random.below(2) === 0 ? bench.in(packet, six ? IPV6 : IPV4) : bench.out(packet, six ? IPV6 : IPV4)) passed++
    }
    expect(passed).toBeGreaterThan(50)
  })
})

function randomRule(random: Random): FilterRule {
  const protocol = random.pick([undefined, 'tcp', 'udp', 'icmp'] as const)
  const ports = protocol === 'tcp' || protocol === 'udp' ? random.pick([undefined, [1, 2], [2, 3]] as const) : undefined
  return {
    direction: random.pick(['in', 'out'] as const), protocol, ports,
    network: random.pick([undefined, undefined, '10.1.0.0/16', '10.2.0.0/16']),
    action: random.pick([undefined, 'allow', 'deny'] as const), state: random.pick([undefined, 'new', 'established', 'any'] as const),
  }
}

function randomPacket(random: Random): Packet {
  const protocol = random.pick(['tcp', 'udp', 'icmp'] as const)
  return {
    isIn: random.below(2) === 0, protocol, local: 1, remote: 1 + random.below(3), localPort: 1 + random.below(3),
    remotePort: protocol === 'icmp' ? 0 : 1 + random.below(3), flags: random.pick([[], [], ['syn'], ['fin'], ['rst']] as const),
  }
}

function bytesOf({ isIn, protocol, local, remote, localPort, remotePort, flags }: Packet): number[] {
  const [here, there] = [[10, 0, local, 1], [10, remote, 0, 1]]
  const [from, to] = isIn ? [remotePort, localPort] : [localPort, remotePort]
  const bits = 0x10 | (flags.includes('fin') ? 1 : 0) | (flags.includes('syn') ? 2 : 0) | (flags.includes('rst') ? 4 : 0)
  const payloads = { tcp: tcp(from, to, bits), udp: udp(from, to), icmp: echo(isIn ? 0 : 8, localPort) }
  const [source, destination] = isIn ? [there, here] : [here, there]
  return ipv4({ source, destination, protocol: { tcp: 6, udp: 17, icmp: 1 }[protocol], payload: payloads[protocol] })
}
