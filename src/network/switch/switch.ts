/**
 * An Ethernet switch in software. Source: IEEE 802.1Q-2018, clause 8 (learning, forwarding, VLANs).
 *
 * The control plane says what each port should be, as plain data (configuration.ts): `plug`, `configure`, `unplug`. The data plane moves
 * frames from one port's `receive` to the others' stations, on the caller's stack and without allocating: a frame is looked at where it
 * lies, copied only where it has to wait or to change its tag.
 *
 * Left out on purpose: spanning trees (there are no loops to break), link aggregation, priorities, multicast snooping.
 */
import type { Clock } from '../../machine/clock.ts'
import type { Frame } from '../../machine/frame.ts'
import { networkError } from '../errors.ts'
import { getU16, getU32 } from '../packet/bytes.ts'
import { AddressTable, NO_PORT } from './address-table.ts'
import { checkPort } from './configuration.ts'
import type { PortConfiguration, PortSettings } from './configuration.ts'
import { FrameFields } from './frame-fields.ts'
import { SwitchPort } from './port.ts'
import type { Forwarder } from './port.ts'
import { VlanRewriter } from './vlan-rewriter.ts'

export const MOST_PORTS = 128

export class Switch implements Forwarder {
  readonly clock: Clock
  readonly #seed: number
  readonly #ports: (SwitchPort | null)[] = []
  readonly #table: AddressTable
  readonly #fields = new FrameFields()
  readonly #rewriter = new VlanRewriter()

  /** `seed` is any number that nobody can guess: tables are arranged by it. */
  constructor(clock: Clock, seed: number) {
    this.clock = clock
    this.#seed = seed
    this.#table = new AddressTable(MOST_PORTS, seed)
  }

  get ports(): readonly SwitchPort[] { return this.#ports.filter((port) => port !== null) }

  port(name: string): SwitchPort | undefined { return this.ports.find(({ settings }) => settings.name === name) }

  /**
   * A new port.
   * @throws TenonError NETWORK_CONFIGURATION_INVALID, NETWORK_RULE_INVALID, NETWORK_FULL.
   */
  plug(configuration: PortConfiguration): SwitchPort {
    const settings = this.#check(configuration, undefined)
    const free = this.#ports.indexOf(null)
    const index = free >= 0 ? free : this.#ports.length
    if (index === MOST_PORTS) throw networkError('NETWORK_FULL', `a switch has ${MOST_PORTS} ports, and all are in use`)
    const port = new SwitchPort(index, settings, this, this.#seed)
    this.#ports[index] = port
    this.#settle(port)
    return port
  }

  /** What the port shall be from now on. Throws as `plug`. */
  configure(port: SwitchPort, configuration: PortConfiguration): void {
    port.configure(this.#check(configuration, port))
    this.#table.forget(port.index)
    this.#settle(port)
  }

  unplug(port: SwitchPort): void {
    port.disconnect()
    this.#table.forget(port.index)
    this.#ports[port.index] = null
    this.#connectMirrors()
  }

  /** Stations known at a port. */
  stationsAt(port: SwitchPort): number { return this.#table.count(port.index) }

  forward(from: SwitchPort, frame: Frame): void {
    const fields = this.#fields
    if (!fields.read(frame)) return void from.drop('malformed')
    const vlan = from.vlanOf(fields)
    if (vlan === 0 || !from.admits(frame, fields)) return
    const now = this.clock.now()
    if (!this.#table.learn(vlan, fields.sourceHigh, fields.sourceLow, from.index, now)) return void from.drop('spoofed')
    const target = fields.isGroup ? NO_PORT : this.#table.find(vlan, fields.destinationHigh, fields.destinationLow, now)
    if (target === NO_PORT && !from.admitsFlood(now)) return
    this.#rewriter.begin(frame, fields, vlan)
    if (target === NO_PORT) this.#flood(from, vlan)
    else this.#pass(from, this.#ports[target]!, vlan)
  }

  #flood(from: SwitchPort, vlan: number): void {
    for (const port of this.#ports) {
      if (port !== null && port !== from && !port.isMirror && mayReach(from, port, vlan)) this.#deliver(from, port, vlan)
    }
  }

  #pass(from: SwitchPort, to: SwitchPort, vlan: number): void {
    if (to === from || !mayReach(from, to, vlan)) from.drop('nowhere')
    else this.#deliver(from, to, vlan)
  }

  #deliver(from: SwitchPort, to: SwitchPort, vlan: number): void {
    to.deliver(this.#rewriter.get(vlan !== to.settings.native), this.#fields, from.index)
  }

  #check(configuration: PortConfiguration, self: SwitchPort | undefined): PortSettings {
    const settings = checkPort(configuration)
    const invalid = (message: string): Error => networkError('NETWORK_CONFIGURATION_INVALID', message)
    const others = this.ports.filter((port) => port !== self)
    const { name, mac } = settings
    if (others.some((port) => port.settings.name === name)) throw invalid(`there are two ports '${name}': give one another name`)
    const twin = mac === null ? undefined : others.find((port) => port.settings.mac?.join() === mac.join())
    if (twin !== undefined) {
      throw invalid(`'${name}' has the MAC address ${configuration.mac} of '${twin.settings.name}': give it one of its own`)
    }
    const missing = settings.mirrors.find((name) => others.every((port) => port.settings.name !== name))
    if (missing !== undefined) throw invalid(`'${name}' mirrors '${missing}', which is no port of this switch`)
    return settings
  }

  /** Where a station's address is known beforehand, nobody else can take it. */
  #settle(port: SwitchPort): void {
    const { mac, native } = port.settings
    if (mac !== null && native !== 0) this.#table.pin(native, getU16(mac, 0), getU32(mac, 2), port.index)
    this.#connectMirrors()
  }

  #connectMirrors(): void {
    for (const port of this.ports) port.mirrors = this.ports.filter(({ settings }) => settings.mirrors.includes(port.settings.name))
  }
}

function mayReach(from: SwitchPort, to: SwitchPort, vlan: number): boolean {
  return to.carries(vlan) && !(from.settings.isolated && to.settings.isolated)
}
