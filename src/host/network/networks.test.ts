import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { LARGEST_FRAME, plainFrame } from '../../machine/frame.ts'
import type { Frame } from '../../machine/frame.ts'
import { BROADCAST, macOf, makeFrame } from '../../network/testing/frames.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import { dhcp, ip, udp, withChecksum } from '../../network/gateway/testing/bench.ts'
import { formatAddress, formatMac } from '../../network/packet/addresses.ts'
import { DhcpType } from '../../network/packet/dhcp.ts'
import { Protocol } from '../../network/packet/packet.ts'
import { Control } from '../../network/tcp/segment.ts'
import { craft } from '../../network/tcp/testing/bench.ts'
import type { Crafted } from '../../network/tcp/testing/bench.ts'
import { Doorbell } from '../machine/doorbell.ts'
import { NetworkClock } from './network-clock.ts'
import type { AttachedCard, CardOrder, NetworkOrder, NetworkReport } from './network-order.ts'
import type { NetworkRequest, RequestBody, RequestKind } from './network-protocol.ts'
import { Networks } from './networks.ts'
import { ping } from './ping.ts'
import { ServiceLoop } from './service-loop.ts'
import { HostSockets } from './sockets.ts'
import { TestMachine } from './testing/test-machine.ts'

let networks: Networks
let running: Promise<void>
let folder: string
const notices: string[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tenon-networks-'))
  const doorbell = new Doorbell()
  const loop = new ServiceLoop(doorbell)
  const sockets = new HostSockets(ping)
  const notice = (message: string): void => { notices.push(message) }
  networks = new Networks({ clock: new NetworkClock(), sockets, loop, wake: () => doorbell.ring(), notice }, doorbell.memory)
  running = loop.run()
})

afterEach(async () => {
  await ask('close', {})
  await running
  rmSync(folder, { recursive: true })
})

function ask<Kind extends RequestKind>(kind: Kind, body: RequestBody<Kind>): Promise<unknown> {
  return networks.answer({ id: 0, kind, ...body } as unknown as NetworkRequest)
}

function create(order: Partial<NetworkOrder> = {}): Promise<unknown> {
  return ask('create', { order: { name: 'net', kind: 'isolated', ...order } })
}

/** A machine with one card. */
async function plug(station: number, order: Partial<CardOrder> = {}): Promise<{ machine: TestMachine, card: AttachedCard }> {
  const machine = new TestMachine()
  const card = { network: 'net', name: `g${station}`, mac: formatMac(macOf(station)), ...order }
  const attached = await ask('attach', { card, machine: machine.memory }) as AttachedCard
  return { machine: machine.plug(attached), card: attached }
}

const withCode = (code: string): unknown => expect.objectContaining({ code })
const nat = { kind: 'nat', ipv4: '10.0.5.1/24' } as const

/** Who has `target`? Asked by 10.0.5.LAST. */
function arpRequest(station: number, last: number, target: number): Frame {
  const payload = [0, 1, 8, 0, 6, 4, 0, 1, ...macOf(station), 10, 0, 5, last, 0, 0, 0, 0, 0, 0, 10, 0, 5, target]
  return makeFrame({ to: BROADCAST, from: macOf(station), type: 0x806, payload })
}

test('machines exchange frames, the largest included', async () => {
  await create()
  const [one, two] = [(await plug(1)).machine, (await plug(2)).machine]
  const bytes = new Uint8Array(LARGEST_FRAME).fill(7)
  bytes.set([...macOf(2), ...macOf(1), 8, 0, 0x45])
  for (let index = 0; index < 5; index++) {
    one.send({ ...plainFrame(bytes), checksumStart: 34, checksumOffset: 16, segmentation: 'tcp4', segmentSize: 1400 })
    await two.until(() => two.received.length === index + 1)
  }
  expect(Buffer.compare(two.received[4], bytes)).toBe(0)
  expect(one.received).toEqual([])
})

test('frames wait for a guest without buffers, and for a ring without room', async () => {
  await create()
  const [one, two] = [(await plug(1)).machine, (await plug(2)).machine]
  two.send(makeFrame({ from: macOf(2) }))
  await one.until(() => one.received.length === 1)
  two.room = 0
  const bytes = new Uint8Array(1400).fill(9)
  bytes.set([...macOf(2), ...macOf(1), 8, 0, 0x45])
  let sent = 0
  // The machine's ring, the port's queue and the ring beyond it have a megabyte in all.
  while (sent < 400) {
    while (sent < 400 && one.send(plainFrame(bytes))) sent++
    const { readied } = one
    if (sent < 400) await one.until(() => one.readied > readied)
  }
  for (let got = 0; got < 400; got = two.received.length) {
    two.offer(50)
    await two.until(() => two.received.length === got + 50)
  }
  expect(two.received.every((frame) => frame.length === 1400)).toBe(true)
})

test('guests of other VLANs hear nothing, nor do those of other networks', async () => {
  await create()
  await create({ name: 'other' })
  const [one, two, three, four] = await Promise.all([plug(1, { vlan: 20 }), plug(2, { vlan: 20 }), plug(3), plug(4, { network: 'other' })])
  one.machine.send(makeFrame({ from: macOf(1) }))
  await two.machine.until(() => two.machine.received.length === 1)
  expect([three.machine.received, four.machine.received]).toEqual([[], []])
})

test('the gateway answers, and guests may not answer in its place', async () => {
  await create(nat)
  const { machine } = await plug(1, { address: '10.0.5.9' })
  machine.send(arpRequest(1, 9, 1))
  await machine.until(() => machine.received.some((frame) => frame[21] === 2))
  expect(machine.received.find((frame) => frame[21] === 2)!.subarray(28, 32)).toEqual(Uint8Array.of(10, 0, 5, 1))
  machine.send(arpRequest(1, 1, 9))
  machine.send(arpRequest(1, 9, 1))
  await machine.until(() => machine.received.filter((frame) => frame[21] === 2).length === 2)
  const report = await ask('inspect', { name: 'net' }) as NetworkReport
  expect(report.cards).toMatchObject([{ name: 'g1', counters: { receivedFrames: 3, drops: { spoofed: 1 } } }])
  expect(report.gateway?.framesReceived).toBe(2)
})

test('a published port leads to the guest, until its card is pulled', async () => {
  await create(nat)
  const port = 20_000 + process.pid % 20_000
  const publish = [{ protocol: 'tcp', address: '127.0.0.1', port, guestPort: 80 }] as const
  const { machine, card } = await plug(1, { address: '10.0.5.9', publish })
  const taken = plug(2, { address: '10.0.5.10', publish })
  await expect(taken).rejects.toEqual(withCode('PORT_IN_USE'))
  const client = connect(port, '127.0.0.1').on('error', () => {})
  // The gateway asks where the guest is, to pass the connection on.
  await machine.until(() => machine.received.some((frame) => frame[12] === 8 && frame[13] === 6 && frame[21] === 1 && frame[41] === 9))
  client.destroy()
  await ask('detach', { card: card.id })
  await expect(new Promise((resolve, reject) => { connect(port, '127.0.0.1', () => resolve(null)).on('error', reject) }))
    .rejects.toEqual(withCode('ECONNREFUSED'))
  // What was refused has left nothing behind.
  await plug(2, { address: '10.0.5.10' })
})

test('what a guest had by its card goes along: its lease, and the word that its connections are gone', async () => {
  const server = createServer(socket => socket.on('error', () => {})).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await create({ ...nat, hostPorts: [String(port)] })
  const fromMac = formatMac(macOf(1))
  const first = await plug(1)
  const frames = first.machine.received
  // Its first frame says where the gateway is, its second where the guest is.
  const dhcpFrame = (type: number, options: readonly number[][]): Uint8Array => {
    return udp(68, 67, dhcp(type, options, { mac: fromMac }), { from: '0.0.0.0', to: '255.255.255.255', toMac: 'ff:ff:ff:ff:ff:ff', fromMac })
  }
  first.machine.send(plainFrame(dhcpFrame(DhcpType.DISCOVER, [])))
  await first.machine.until(() => dhcpAnswers(frames).length === 1)
  const [offer] = dhcpAnswers(frames)
  const own = formatAddress(offer, 42 + 16, 4)
  const toMac = formatMac(offer.subarray(6, 12))
  first.machine.send(plainFrame(dhcpFrame(DhcpType.REQUEST, [[50, 4, ...offer.subarray(58, 62)], [54, 4, 10, 0, 5, 1]])))
  await first.machine.until(() => dhcpAnswers(frames).length === 2)
  const way = { from: own, to: '10.0.5.1', fromMac, toMac }
  const segment = (crafted: Crafted): Frame => {
    return plainFrame(ip(Protocol.TCP, withChecksum(Protocol.TCP, craft({ sourcePort: 4000, destinationPort: port, ...crafted }), 16, way), way))
  }
  first.machine.send(segment({ sequence: 1000, control: Control.SYN }))
  await first.machine.until(() => tcpAnswers(frames, Control.SYN | Control.ACK).length > 0)
  first.machine.send(segment({ sequence: 1001, acknowledgment: new DataView(tcpAnswers(frames, Control.SYN | Control.ACK)[0].buffer).getUint32(38) + 1, control: Control.ACK }))
  const standingOf = async (): Promise<PlainData> => structuredClone(await ask('standing', { card: first.card.id })) as PlainData
  await expect.poll(standingOf).toMatchObject({ gateway: { leases: [{ bound: true }], transport: { flows: [expect.anything()] } } })
  const standing = await standingOf()
  await ask('detach', { card: first.card.id })
  await ask('remove', { name: 'net' })
  await create(nat)
  const { machine, card } = await plug(1, { standing })
  await machine.until(() => tcpAnswers(machine.received, Control.RST).length > 0)
  const [reset] = tcpAnswers(machine.received, Control.RST)
  expect([formatMac(reset.subarray(0, 6)), formatAddress(reset, 30, 4), reset[36] << 8 | reset[37]]).toEqual([fromMac, own, 4000])
  expect((await ask('inspect', { name: 'net' }) as NetworkReport).gateway!.leases).toMatchObject([{ mac: fromMac, address: own }])
  // Where there is no gateway, only what its rules allowed can go along.
  await create({ name: 'alone' })
  const alone = await plug(2, { network: 'alone' })
  expect([await ask('standing', { card: alone.card.id }), await ask('standing', { card: 999 })]).toMatchObject([{ gateway: null }, null])
  await ask('detach', { card: card.id })
  await expect(plug(1, { standing: { gateway: { leases: 'many' } } })).rejects.toEqual(withCode('SNAPSHOT_INVALID'))
  server.close()
})

test('what a port let pass goes along to one with the same rules, and to no other', async () => {
  await create()
  const rules = [{ direction: 'out' }] as const
  const { card } = await plug(1, { rules })
  const standing = await ask('standing', { card: card.id }) as { readonly port: { readonly filter: PlainData } }
  expect(standing.port.filter).not.toBeNull()
  const damaged = { ...standing, port: { filter: { flows: 'many' } } }
  await ask('detach', { card: card.id })
  await expect(plug(1, { rules, standing: damaged })).rejects.toEqual(withCode('SNAPSHOT_INVALID'))
  await plug(1, { rules: [{ direction: 'out', protocol: 'tcp' }], standing: damaged })
  await plug(2, { rules, standing: standing as PlainData })
})

/** Of DHCP and TCP over IPv4 without options. */
function dhcpAnswers(frames: readonly Uint8Array[]): Uint8Array[] { return frames.filter(frame => frame[23] === 17 && frame[37] === 68) }
function tcpAnswers(frames: readonly Uint8Array[], control: number): Uint8Array[] {
  return frames.filter(frame => frame[12] === 8 && frame[13] === 0 && frame[23] === 6 && (frame[47] & control) === control)
}

test('a card is captured', async () => {
  await create()
  const path = join(folder, 'a.pcap')
  const [one, two] = [await plug(1, { pcap: path }), await plug(2)]
  one.machine.send(makeFrame({ from: macOf(1) }))
  two.machine.send(makeFrame({ to: macOf(1), from: macOf(2) }))
  await one.machine.until(() => one.machine.received.length === 1)
  await ask('detach', { card: one.card.id })
  expect(readFileSync(path).length).toBe(24 + 2 * (16 + 60))
})

test('what cannot be is refused, and says what to do', async () => {
  await create()
  await create({ name: 'outside', ...nat })
  await expect(create()).rejects.toEqual(withCode('NETWORK_EXISTS'))
  await expect(create({ name: 'x', kind: 'nat' })).rejects.toEqual(withCode('NETWORK_CONFIGURATION_INVALID'))
  await expect(create({ name: 'x', kind: 'nat', ipv4: '10.0.5.0/33' })).rejects.toEqual(withCode('NETWORK_CONFIGURATION_INVALID'))
  await expect(plug(1, { network: 'nowhere' })).rejects.toEqual(withCode('NETWORK_UNKNOWN'))
  const { card } = await plug(1)
  await expect(plug(1)).rejects.toEqual(withCode('NETWORK_CONFIGURATION_INVALID'))
  await expect(plug(2, { mac: 'x' })).rejects.toEqual(withCode('NETWORK_CONFIGURATION_INVALID'))
  await expect(plug(2, { pcap: join(folder, 'no', 'file') })).rejects.toEqual(withCode('FILE_UNWRITABLE'))
  await expect(plug(2, { publish: [{ protocol: 'tcp', address: '127.0.0.1', port: 1, guestPort: 1 }] }))
    .rejects.toEqual(withCode('NETWORK_CONFIGURATION_INVALID'))
  await plug(3, { network: 'outside', address: '10.0.5.9' })
  await expect(plug(4, { network: 'outside', address: '10.0.5.9' })).rejects.toEqual(withCode('NETWORK_CONFIGURATION_INVALID'))
  await expect(plug(4, { network: 'outside', address: '10.0.6.9' })).rejects.toEqual(withCode('NETWORK_CONFIGURATION_INVALID'))
  await expect(ask('remove', { name: 'net' })).rejects.toEqual(withCode('NETWORK_IN_USE'))
  await ask('detach', { card: card.id })
  await ask('remove', { name: 'net' })
  await expect(ask('inspect', { name: 'net' })).rejects.toEqual(withCode('NETWORK_UNKNOWN'))
})
