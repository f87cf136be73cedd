/** One network of the network thread: a switch, the guests' cards, and the gateway that nat and host-only networks have. */
import { randomFillSync } from 'node:crypto'
import type { Clock } from '../../machine/clock.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import { networkError } from '../../network/errors.ts'
import { Gateway } from '../../network/gateway/gateway.ts'
import type { Publication } from '../../network/gateway/publisher.ts'
import { parseMac } from '../../network/packet/addresses.ts'
import { PcapWriter } from '../../network/pcap/pcap.ts'
import type { SocketBackend } from '../../network/sockets.ts'
import type { SwitchPort } from '../../network/switch/port.ts'
import { Switch } from '../../network/switch/switch.ts'
import { tcpFactory } from '../../network/tcp/tcp.ts'
import { MachineChannel } from '../machine/channel.ts'
import { CaptureFile } from './capture-file.ts'
import { CardChannel } from './card-channel.ts'
import { hasGateway } from './network-order.ts'
import type { CardOrder, CardReport, NetworkOrder, NetworkReport } from './network-order.ts'
import type { ServiceLoop } from './service-loop.ts'
import { CardStation, GatewayStation } from './station.ts'
import type { TapDevice } from './tap/tap-device.ts'
import { TapStation } from './tap/tap-station.ts'

/** What all networks of the thread have in common. */
export interface NetworkParts {
  readonly clock: Clock
  readonly sockets: SocketBackend
  readonly loop: ServiceLoop
  readonly wake: () => void
  /** Tells the user of what goes on all the same. */
  readonly notice: (message: string) => void
}

interface Card {
  readonly order: CardOrder
  readonly port: SwitchPort
  readonly station: CardStation
  readonly publications: Publication[]
  readonly capture: CaptureFile | undefined
}

const GATEWAY_PORT = 'gateway'
const UPLINK_PORT = 'uplink'
const GATEWAY_MAC = '52:54:00:00:00:01'

export class Network {
  readonly order: NetworkOrder
  readonly #parts: NetworkParts
  readonly #switch: Switch
  readonly #gateway: Gateway | undefined
  readonly #gatewayStation: GatewayStation | undefined
  readonly #uplink: { readonly tap: TapDevice, readonly station: TapStation } | undefined
  readonly #cards = new Map<number, Card>()

  /** A bridge has a TAP. Throws TenonError NETWORK_CONFIGURATION_INVALID, NETWORK_RULE_INVALID. */
  constructor(order: NetworkOrder, parts: NetworkParts, tap?: TapDevice) {
    this.order = tap === undefined ? order : { ...order, mtu: order.mtu ?? tap.mtu }
    this.#parts = parts
    this.#switch = new Switch(parts.clock, randomWord())
    this.#uplink = tap && this.#joinTap(tap)
    const gateway = this.#makeGateway()
    this.#gateway = gateway
    if (gateway === undefined) return
    const port = this.#switch.plug({ name: GATEWAY_PORT, mac: GATEWAY_MAC, trusted: true, mtu: this.mtu, stormRate: GATEWAY_STORM_RATE })
    this.#gatewayStation = new GatewayStation(port, end => gateway.connect(end), parts.wake)
    parts.loop.stations.add(this.#gatewayStation)
  }

  get mtu(): number { return this.order.mtu ?? DEFAULT_MTU }

  get cardCount(): number { return this.#cards.size }

  get cardNames(): string[] { return [...this.#cards.values()].map(({ order }) => order.name) }

  /**
   * Plugs a card in. `id` is its number from now on.
   * @throws TenonError (NetworkErrorCode); nothing is left of it then.
   */
  async attach(id: number, order: CardOrder, channel: CardChannel, machine: SharedArrayBuffer): Promise<void> {
    this.#check(order)
    const { name, mac, address, vlan, trunk, rate, isolated, rules, hostName } = order
    const addresses = address === undefined ? undefined : [address]
    const port = this.#switch.plug({ name, mac, addresses, vlan, trunk, rate, isolated, rules, mtu: this.mtu })
    const undo: (() => void)[] = [() => this.#switch.unplug(port)]
    try {
      this.#gateway?.reserve({ mac, address, name: hostName })
      undo.push(() => this.#gateway?.unreserve(mac))
      const publications = await this.#publish(order)
      undo.push(() => publications.forEach(each => each.close()))
      const capture = this.#capture(order, port)
      const station = new CardStation(port, channel, new MachineChannel(machine), this.#parts.wake)
      this.#cards.set(id, { order, port, station, publications, capture })
      if (order.standing) this.#gateway?.resume(mac, order.standing)
      this.#parts.loop.stations.add(station)
    } catch (error) {
      undo.reverse().forEach(step => step())
      throw error
    }
  }

  /** What its guest has. Null where there is no gateway. */
  standingOf(id: number): PlainData {
    const card = this.#cards.get(id)
    return card === undefined ? null : this.#gateway?.standingOf(card.order.mac) ?? null
  }

  detach(id: number): void {
    const card = this.#cards.get(id)
    if (card === undefined) return
    this.#cards.delete(id)
    this.#parts.loop.stations.delete(card.station)
    card.publications.forEach(each => each.close())
    this.#gateway?.leave(card.order.mac)
    this.#switch.unplug(card.port)
    this.#gateway?.unreserve(card.order.mac)
    card.capture?.close()
  }

  async close(): Promise<void> {
    for (const id of this.#cards.keys()) this.detach(id)
    if (this.#uplink !== undefined) {
      this.#parts.loop.stations.delete(this.#uplink.station)
      await this.#uplink.tap.close()
    }
    this.#gateway?.close()
    if (this.#gatewayStation !== undefined) this.#parts.loop.stations.delete(this.#gatewayStation)
  }

  report(): NetworkReport {
    const cards = [...this.#cards.values()].map(({ order, port }): CardReport => {
      const { counters, settings } = port
      return { name: order.name, mac: order.mac, vlan: settings.native, counters: { ...counters, drops: { ...counters.drops } } }
    })
    return { order: this.order, cards, gateway: this.#gateway?.report() }
  }

  #joinTap(tap: TapDevice): { tap: TapDevice, station: TapStation } {
    const { wake, loop } = this.#parts
    if (this.mtu > tap.mtu) {
      const problem = `the network '${this.order.name}' has an MTU of ${this.mtu}, and what it leads to only ${tap.mtu}: `
      throw networkError('NETWORK_CONFIGURATION_INVALID', `${problem}write ${tap.mtu}, or raise that of the bridge`)
    }
    const port = this.#switch.plug({ name: UPLINK_PORT, trunk: { native: 1 }, trusted: true, mtu: tap.mtu, stormRate: GATEWAY_STORM_RATE })
    const station = new TapStation(port, tap, wake, () => this.#parts.notice(`the network '${this.order.name}' is cut off: its TAP `
      + `${tap.name} was deleted; have it made again if need be, stop the network's guests, and start them anew`))
    loop.stations.add(station)
    return { tap, station }
  }

  #makeGateway(): Gateway | undefined {
    const { kind, ipv4, ipv6, allow, hostPorts, mtu } = this.order
    if (!hasGateway(kind)) return undefined
    if (ipv4 === undefined) {
      const problem = `the network '${this.order.name}' has no address for its gateway: give it one, such as 10.0.5.1/24`
      throw networkError('NETWORK_CONFIGURATION_INVALID', problem)
    }
    const { clock, sockets } = this.#parts
    return new Gateway({
      configuration: { kind, mac: GATEWAY_MAC, ipv4, ipv6, mtu, allow, hostPorts }, clock, sockets,
      entropy: { fill: bytes => void randomFillSync(bytes) }, transport: tcpFactory({ random: randomWord }),
    })
  }

  #check({ mac, address, name, publish = [] }: CardOrder): void {
    const invalid = (message: string): Error => networkError('NETWORK_CONFIGURATION_INVALID', message)
    const taken = [...this.#cards.values()].find(({ order }) => address !== undefined && order.address === address)
    if (taken !== undefined) throw invalid(`'${name}' and '${taken.order.name}' have the same address ${address}: give one another`)
    if (parseMac(mac) === undefined) throw invalid(`'${mac}' is no MAC address: write it as 52:54:00:12:34:56`)
    if (publish.length > 0 && this.#gateway === undefined) {
      throw invalid(this.#uplink === undefined
        ? `the network '${this.order.name}' is isolated: no port of the host can lead into it`
        : `the guests of '${this.order.name}' have addresses of the host's network: reach them there, and publish no ports`)
    }
  }

  async #publish({ publish = [], address, hostName, name }: CardOrder): Promise<Publication[]> {
    const publications: Publication[] = []
    try {
      for (const each of publish) publications.push(await this.#gateway!.publish({ ...each, guest: address ?? hostName ?? name }))
    } catch (error) {
      publications.forEach(each => each.close())
      throw error
    }
    return publications
  }

  #capture({ pcap, name }: CardOrder, port: SwitchPort): CaptureFile | undefined {
    if (pcap === undefined) return undefined
    const file = new CaptureFile(pcap, message => this.#parts.notice(`the capture of '${name}': ${message}`))
    port.observers.push(new PcapWriter(file.write, () => performance.timeOrigin + performance.now()).add)
    return file
  }
}

const DEFAULT_MTU = 1500
/** It asks for each neighbour, and answers all of them. */
const GATEWAY_STORM_RATE = 100_000

function randomWord(): number { return randomFillSync(new Uint32Array(1))[0] }
