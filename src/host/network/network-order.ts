/** What the network thread is told and asked, in plain data. */
import type { PlainData } from '../../machine/lifecycle.ts'
import type { GatewayReport } from '../../network/gateway/gateway.ts'
import type { PublishedPort } from '../../network/gateway/publisher.ts'
import type { PortConfiguration } from '../../network/switch/configuration.ts'
import type { PortCounters } from '../../network/switch/counters.ts'

/**
 * `nat`: guests reach each other, the gateway's services and the outside. `host-only`: not the outside. `isolated`: each other alone.
 * `bridge`: they are on a network of the host's, whose gateway is not ours.
 */
export type NetworkKind = 'nat' | 'host-only' | 'isolated' | 'bridge'
export const NETWORK_KINDS: readonly NetworkKind[] = ['nat', 'host-only', 'isolated', 'bridge']

/** Whether a network of this kind has a gateway of ours, with addresses. */
export function hasGateway(kind: NetworkKind): kind is 'nat' | 'host-only' { return kind === 'nat' || kind === 'host-only' }

export interface NetworkOrder {
  readonly name: string
  readonly kind: NetworkKind
  /** Of a bridge, one of the two: the host's bridge that guests are joined to, or a TAP that leads there (tap/tap-device.ts). */
  readonly bridge?: string
  readonly tap?: string
  /** The gateway's address in its network, 10.0.5.1/24. Not for isolated ones, nor for bridges. */
  readonly ipv4?: string
  /** As well, fd00::1/64. Without it there is no IPv6 with addresses of this network. */
  readonly ipv6?: string
  /** 1280 to 65535; 1500 if it is left out, or what the bridge has. */
  readonly mtu?: number
  /** What guests of a nat network may reach (network/gateway/policy.ts); if it is left out, all but the host's own. */
  readonly allow?: readonly string[]
  /** Ports of the host's loopback that guests reach at the gateway's address (network/gateway/host-ports.ts). */
  readonly hostPorts?: readonly string[]
}

export interface CardOrder {
  /** The network that its cable leads to. */
  readonly network: string
  /** Unique in its network: the guest's name, and a number for further cards. */
  readonly name: string
  /** 52:54:00:12:34:56 */
  readonly mac: string
  /** The only address that the guest may use, and gets by DHCP. */
  readonly address?: string
  /** What the network's DNS calls the guest. */
  readonly hostName?: string
  readonly vlan?: PortConfiguration['vlan']
  readonly trunk?: PortConfiguration['trunk']
  readonly rate?: number
  readonly isolated?: boolean
  readonly rules?: PortConfiguration['rules']
  /** A file to which all its frames are written. */
  readonly pcap?: string
  /** What `NetworkThread.standingOf` gave: its guest goes on, keeps its lease, and hears that its connections are gone. */
  readonly standing?: PlainData
  /** Ports of the host that lead to it. */
  readonly publish?: readonly PublishOrder[]
}

export type PublishOrder = Omit<PublishedPort, 'guest'>

/** What a machine's thread needs of one of its cards. */
export interface MachineCardOrder {
  readonly memory: SharedArrayBuffer
  readonly doorbell: SharedArrayBuffer
  /** 6 bytes. */
  readonly address: Uint8Array
  readonly mtu: number
}

/** A card at the network thread, by the number that it was given there. */
export interface AttachedCard extends MachineCardOrder { readonly id: number }

export interface CardReport {
  readonly name: string
  readonly mac: string
  readonly vlan: number
  readonly counters: PortCounters
}

export interface NetworkReport {
  readonly order: NetworkOrder
  readonly cards: readonly CardReport[]
  /** The gateway's port, seen by the switch, and the gateway itself; none in an isolated network. */
  readonly gateway?: GatewayReport
}
