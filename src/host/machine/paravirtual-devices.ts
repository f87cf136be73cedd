import { randomFillSync } from 'node:crypto'
import type { BalloonStatistics } from '../../machine/balloon.ts'
import type { VirtioConfig, VirtioDevices } from '../../vmm/virtio.ts'
import type { MachineChannel } from './channel.ts'
import { MachineCard } from '../network/machine-card.ts'
import { MachineStreams } from '../vsock/machine-streams.ts'
import { DeviceControls } from './device-controls.ts'
import { planLines } from './line-plan.ts'
import type { MachineLine } from './machine-line.ts'
import { PortBackend } from './port-backend.ts'
import type { WorkerOrder } from './worker-protocol.ts'

/** The virtio devices of a machine, and what is behind them on its thread: each has a source of entropy and a balloon. */
export class ParavirtualDevices {
  readonly config: VirtioConfig
  readonly controls: DeviceControls
  readonly cards: readonly MachineCard[]
  readonly streams: MachineStreams | undefined
  readonly #console: PortBackend | undefined
  readonly #ports: readonly PortBackend[]

  constructor(
    channel: MachineChannel, order: Pick<WorkerOrder, 'console' | 'ports' | 'cards' | 'vsock'>,
    tell: (statistics: BalloonStatistics | undefined) => void,
  ) {
    const plan = planLines(order.console, order.ports.length)
    this.controls = new DeviceControls(channel, tell)
    this.#console = plan.console === undefined ? undefined : new PortBackend(channel, plan.console)
    this.#ports = plan.ports.map(line => new PortBackend(channel, line))
    this.cards = order.cards.map(card => new MachineCard(card))
    this.streams = order.vsock && new MachineStreams(order.vsock)
    this.config = {
      entropy: { fill: bytes => void randomFillSync(bytes) },
      balloon: this.controls.balloon,
      console: this.#console,
      ports: this.#ports.length === 0 ? undefined : this.#ports.map((backend, index) => ({ name: order.ports[index], backend })),
      network: this.cards.map((backend, index) => ({ backend, address: order.cards[index].address })),
      socket: order.vsock && { guestCid: order.vsock.cid, backend: this.streams! },
    }
  }

  /** Their ends of the channel's lines. */
  get lines(): readonly MachineLine[] { return this.#console === undefined ? this.#ports : [this.#console, ...this.#ports] }

  /** The devices are there. To be called before the machine runs. */
  connect(devices: VirtioDevices): void {
    this.controls.connect(devices)
    if (devices.socket !== undefined) this.streams?.connect(devices.socket)
    if (devices.console !== undefined) this.#console?.connect(devices.console.ports[0])
    this.#ports.forEach((backend, index) => backend.connect(devices.ports!.ports[index]))
  }
}
