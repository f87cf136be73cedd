/** What a switch does, said as plainly as possible: maps and lists, one frame at a time, no rates and nothing that waits. */
import type { PortConfiguration } from '../configuration.ts'

interface Station { readonly port: number, readonly heard: number, readonly pinned: boolean }
export interface Delivery { readonly port: number, readonly frame: number[] }

const AGE = 300e9

export class ReferenceSwitch {
  readonly #ports: readonly PortConfiguration[]
  readonly #stations = new Map<string, Station>()

  constructor(ports: readonly PortConfiguration[]) {
    this.#ports = ports
    ports.forEach(({ mac, vlan = 1, trunk }, port) => {
      const native = trunk === undefined ? vlan : trunk.native
      if (mac !== undefined && native !== undefined) this.#stations.set(`${native} ${mac}`, { port, heard: Infinity, pinned: true })
    })
  }

  /** Who gets a frame that comes in at `from`. */
  send(from: number, frame: readonly number[], now: number): Delivery[] {
    const [to, source] = [textOf(frame.slice(0, 6)), textOf(frame.slice(6, 12))]
    const hasTag = frame[12] === 0x81 && frame[13] === 0
    const tag = hasTag ? (frame[14] & 0xf) << 8 | frame[15] : 0
    const vlan = tag === 0 ? this.#native(from) : tag
    if (vlan === undefined || !this.#carries(from, vlan)) return []
    if ((frame[6] & 1) !== 0 || to.startsWith('01:80:c2:00:00:0')) return []
    if (this.#ports[from].mac !== undefined && this.#ports[from].mac !== source) return []
    if (!this.#learn(vlan, source, from, now)) return []
    const station = this.#stations.get(`${vlan} ${to}`)
    const known = (frame[0] & 1) === 0 && station !== undefined && (station.pinned || now - station.heard < AGE)
    const targets = known ? [station.port] : this.#ports.map((_, port) => port)
    const content = hasTag ? frame.slice(16) : frame.slice(12)
    const isApart = (port: number): boolean => Boolean(this.#ports[from].isolated && this.#ports[port].isolated)
    return targets.filter((port) => port !== from && this.#carries(port, vlan) && !isApart(port))
      .map((port) => ({ port, frame: this.#shape(port, vlan, frame, hasTag, tag, content) }))
  }

  #learn(vlan: number, source: string, port: number, now: number): boolean {
    const known = this.#stations.get(`${vlan} ${source}`)
    if (known?.pinned) return known.port === port
    this.#stations.set(`${vlan} ${source}`, { port, heard: now, pinned: false })
    return true
  }

  #native(port: number): number | undefined {
    const { trunk, vlan = 1 } = this.#ports[port]
    return trunk === undefined ? vlan : trunk.native
  }

  #carries(port: number, vlan: number): boolean {
    const { trunk } = this.#ports[port]
    if (vlan === this.#native(port)) return true
    return trunk !== undefined && vlan >= 1 && vlan <= 4094 && (trunk.vlans === undefined || trunk.vlans.includes(vlan))
  }

  /** A frame that has the tag already is passed on as it is, priority and all. */
  #shape(port: number, vlan: number, frame: readonly number[], hasTag: boolean, tag: number, content: readonly number[]): number[] {
    if (vlan === this.#native(port)) return [...frame.slice(0, 12), ...content]
    if (hasTag && tag !== 0) return [...frame]
    return [...frame.slice(0, 12), 0x81, 0, vlan >> 8, vlan & 0xff, ...content]
  }
}

function textOf(mac: readonly number[]): string { return mac.map((byte) => byte.toString(16).padStart(2, '0')).join(':') }
