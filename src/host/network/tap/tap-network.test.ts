/** A network of the kind bridge, whole: guests' cards, the switch and the TAP, against the host's kernel on the bridge. */
import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { complement, sumBytes } from '../../../base/internet-checksum.ts'
import { plainFrame } from '../../../machine/frame.ts'
import type { Frame } from '../../../machine/frame.ts'
import { formatMac } from '../../../network/packet/addresses.ts'
import { BROADCAST, ipv4, macOf, makeFrame } from '../../../network/testing/frames.ts'
import { Doorbell } from '../../machine/doorbell.ts'
import { NetworkClock } from '../network-clock.ts'
import type { AttachedCard } from '../network-order.ts'
import type { NetworkRequest, RequestBody, RequestKind } from '../network-protocol.ts'
import { Networks } from '../networks.ts'
import { ping } from '../ping.ts'
import { ServiceLoop } from '../service-loop.ts'
import { HostSockets } from '../sockets.ts'
import { TestMachine } from '../testing/test-machine.ts'

const BRIDGE = `tnn${process.pid % 1e6}`
const HOST = [10, 97, 62, 1]
const addressOf = (guest: number): number[] => [10, 97, 62, 10 + guest]
const notices: string[] = []
let networks: Networks
let running: Promise<void>
let isPossible = true

function ip(...words: string[]): void { execFileSync('ip', words, { stdio: 'ignore' }) }

beforeAll(() => {
  try {
    ip('link', 'add', BRIDGE, 'type', 'bridge')
  } catch {
    isPossible = false
    return
  }
  ip('addr', 'add', `${HOST.join('.')}/24`, 'dev', BRIDGE)
  ip('link', 'set', BRIDGE, 'up')
  const doorbell = new Doorbell()
  const loop = new ServiceLoop(doorbell)
  const notice = (message: string): void => { notices.push(message) }
  const parts = { clock: new NetworkClock(), sockets: new HostSockets(ping), loop, wake: () => doorbell.ring(), notice }
  networks = new Networks(parts, doorbell.memory)
  running = loop.run()
})

afterAll(async () => {
  if (!isPossible) return
  await ask('close', {})
  await running
  ip('link', 'del', BRIDGE)
})

function ask<Kind extends RequestKind>(kind: Kind, body: RequestBody<Kind>): Promise<unknown> {
  return networks.answer({ id: 0, kind, ...body } as unknown as NetworkRequest)
}

async function plug(guest: number): Promise<TestMachine> {
  const machine = new TestMachine()
  const card = { network: 'lan', name: `g${guest}`, mac: formatMac(macOf(guest)) }
  return machine.plug(await ask('attach', { card, machine: machine.memory }) as AttachedCard)
}

function putSum(bytes: Uint8Array, at: number, sum: number): void { new DataView(bytes.buffer).setUint16(at, sum) }

function packet(guest: number, to: Uint8Array, protocol: number, payload: readonly number[]): Frame {
  const whole = ipv4({ source: addressOf(guest), destination: HOST, protocol, payload })
  const frame = makeFrame({ to, from: macOf(guest), type: 0x800, payload: whole })
  putSum(frame.bytes, 24, complement(sumBytes(frame.bytes, 14, 20)))
  return frame
}

/** The host's MAC address, as it answers a guest that asks for it. RFC 826. */
async function find(machine: TestMachine, guest: number): Promise<Uint8Array> {
  const payload = [0, 1, 8, 0, 6, 4, 0, 1, ...macOf(guest), ...addressOf(guest), 0, 0, 0, 0, 0, 0, ...HOST]
  machine.send(makeFrame({ to: BROADCAST, from: macOf(guest), type: 0x806, payload }))
  const isReply = (frame: Uint8Array): boolean => frame[12] === 8 && frame[13] === 6 && frame[21] === 2
  await machine.until(() => machine.received.some(isReply))
  return machine.received.find(isReply)!.slice(22, 28)
}

test('two guests ping the host and send it large datagrams, until the TAP is deleted', async ({ skip }) => {
  if (!isPossible) skip('no rights to make a bridge')
  await ask('create', { order: { name: 'lan', kind: 'bridge', bridge: BRIDGE } })
  const machines = [await plug(1), await plug(2)]
  const server = createSocket('udp4').bind(0, HOST.join('.'))
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const datagrams: number[] = []
  server.on('message', bytes => { datagrams.push(bytes.length) })
  for (const [index, machine] of machines.entries()) {
    const guest = index + 1
    const host = await find(machine, guest)
    // An echo request, RFC 792.
    const request = packet(guest, host, 1, [8, 0, 0, 0, 0, guest, 0, 1, ...Array.from({ length: 1000 }, () => 7)])
    putSum(request.bytes, 36, complement(sumBytes(request.bytes, 34, request.length - 34)))
    machine.send(request)
    await machine.until(() => machine.received.some(frame => frame[23] === 1 && frame[34] === 0 && frame[39] === guest))
    // 2500 bytes in datagrams of 1000, whose checksums are left to the card: the kernel takes none with a wrong one.
    const { port } = server.address()
    const length = 8 + 2500
    const data = Array.from({ length: 2500 }, (_, at) => at & 0xff)
    const udp = packet(guest, host, 17, [0, 99, port >> 8, port & 0xff, length >> 8, length & 0xff, 0, 0, ...data])
    const pseudo = Uint8Array.of(...addressOf(guest), ...HOST, 0, 17, length >> 8, length & 0xff)
    putSum(udp.bytes, 40, ~complement(sumBytes(pseudo, 0, pseudo.length)) & 0xffff)
    machine.send({ ...plainFrame(udp.bytes), checksumStart: 34, checksumOffset: 6, segmentation: 'udp', segmentSize: 1000 })
    await machine.until(() => datagrams.length === 3 * guest)
  }
  expect(datagrams).toEqual([1000, 1000, 500, 1000, 1000, 500])
  const [tap] = execFileSync('ip', ['-o', 'link', 'show', 'master', BRIDGE], { encoding: 'utf8' }).match(/tenon\d+/) ?? []
  ip('link', 'del', String(tap))
  await machines[0].until(() => notices.length > 0)
  expect(notices).toEqual([expect.stringContaining('is cut off')])
})
