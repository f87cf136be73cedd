import type { Balloon, BalloonBackend, ReleasableMemory } from '../machine/balloon.ts'
import type { BlockBackend } from '../machine/block.ts'
import type { BytePortBackend } from '../machine/byte-port.ts'
import type { FileSystemBackend } from '../machine/file-system.ts'
import type { EntropySource } from '../machine/entropy.ts'
import type { NetworkCard } from '../machine/frame.ts'
import type { MessageSink } from '../machine/interrupts.ts'
import type { GuestMemory } from '../machine/memory.ts'
import type { GuestSocket, SocketBackend } from '../machine/socket.ts'
import type { MmioBus } from '../devices/bus/mmio-bus.ts'
import type { PciBus, PciInterruptRouter } from '../devices/pci/pci-bus.ts'
import { VirtioBalloon } from '../devices/virtio/balloon.ts'
import { VirtioBlock } from '../devices/virtio/block/block.ts'
import { VirtioConsole } from '../devices/virtio/console/console.ts'
import type { NamedPort } from '../devices/virtio/console/console.ts'
import type { VirtioDevice } from '../devices/virtio/device.ts'
import { VirtioEntropy } from '../devices/virtio/entropy.ts'
import { VirtioFileSystem } from '../devices/virtio/fs/fs.ts'
import { VirtioNet } from '../devices/virtio/net/net.ts'
import type { NetworkCardConfig } from '../devices/virtio/net/net.ts'
import { VirtioPciFunction } from '../devices/virtio/pci-function.ts'
import { VirtioScsi } from '../devices/virtio/scsi/scsi.ts'
import { VirtioSocket } from '../devices/virtio/socket/socket.ts'

/** Which virtio devices a machine has, and their back ends. A snapshot fits a machine that has the same. */
export interface VirtioConfig {
  /** Block devices, VIRTIO_DISKS at most. */
  readonly disks?: readonly VirtioDiskConfig[]
  /** Logical units of one SCSI device, 256 at most. */
  readonly scsiUnits?: readonly BlockBackend[]
  /** File systems of the host, VIRTIO_FILE_SYSTEMS at most: functions of one PCI device. */
  readonly fileSystems?: readonly FileSystemBackend[]
  readonly entropy?: EntropySource
  /** A console, hvc0. */
  readonly console?: BytePortBackend
  /** Named ports for programs, such as `org.qemu.guest_agent.0`; 31 at most. */
  readonly ports?: readonly NamedPort[]
  readonly balloon?: BalloonBackend
  /** Network cards, VIRTIO_CARDS at most. */
  readonly network?: readonly NetworkCardConfig[]
  /** Streams between guest and host. `guestCid` is 3 to 2^32 - 2, one of its own for each guest that is to be told apart. */
  readonly socket?: { readonly guestCid: number, readonly backend: SocketBackend }
}

export interface VirtioDiskConfig {
  readonly backend: BlockBackend
  /** 1 to 64; 1 if it is left out: a queue for each vCPU is best. */
  readonly queues?: number
}

/** PCI device numbers. */
const Slot = { CONSOLE: 2, ENTROPY: 3, PORTS: 4, BALLOON: 5, SOCKET: 6, SCSI: 7, FIRST_DISK: 8, FIRST_CARD: 25, FILE_SYSTEMS: 31 } as const
export const VIRTIO_DISKS = 16
export const VIRTIO_FILE_SYSTEMS = 8

/** Which function of its PCI device a virtio device is. */
const SINGLE = { index: 0, count: 1 }
export const VIRTIO_CARDS = 6

/** What the devices stand on. */
export interface VirtioParts {
  readonly memory: GuestMemory
  readonly frames: ReleasableMemory
  readonly messages: MessageSink
  readonly bus: PciBus
  readonly router: PciInterruptRouter
  readonly mmio: MmioBus
}

/** The devices of a machine, on its PCI bus. */
export class VirtioDevices {
  readonly disks: readonly VirtioBlock[]
  readonly console: VirtioConsole | undefined
  readonly ports: VirtioConsole | undefined
  readonly network: readonly NetworkCard[]
  readonly balloon: Balloon | undefined
  readonly socket: GuestSocket | undefined
  private readonly named: Record<string, VirtioPciFunction> = {}
  private readonly parts: VirtioParts

  /** @throws TenonError PCI_SLOT_TAKEN, CONSOLE_PORTS_INVALID, SCSI_UNITS_INVALID. */
  constructor(config: VirtioConfig, parts: VirtioParts) {
    this.parts = parts
    this.console = config.console && this.add('virtio-console', Slot.CONSOLE, new VirtioConsole({ console: config.console }))
    if (config.entropy) this.add('virtio-entropy', Slot.ENTROPY, new VirtioEntropy(config.entropy))
    this.ports = config.ports && this.add('virtio-ports', Slot.PORTS, new VirtioConsole({ ports: config.ports }))
    this.balloon = config.balloon && this.add('virtio-balloon', Slot.BALLOON, new VirtioBalloon(parts.frames, config.balloon))
    const { socket } = config
    this.socket = socket && this.add('virtio-socket', Slot.SOCKET, new VirtioSocket(socket.guestCid, socket.backend))
    if (config.scsiUnits) this.add('virtio-scsi', Slot.SCSI, new VirtioScsi(config.scsiUnits))
    this.disks = (config.disks ?? []).map(({ backend, queues }, index) =>
      this.add(`virtio-block-${index}`, Slot.FIRST_DISK + index, new VirtioBlock(backend, { queues })))
    const { fileSystems = [] } = config
    fileSystems.forEach((backend, index) =>
      this.add(`virtio-fs-${index}`, Slot.FILE_SYSTEMS, new VirtioFileSystem(backend), { index, count: fileSystems.length }))
    this.network = (config.network ?? []).map((card, index) =>
      this.add(`virtio-net-${index}`, Slot.FIRST_CARD + index, new VirtioNet(card)))
  }

  /** PCI functions by their names in a snapshot. */
  get functions(): Readonly<Record<string, VirtioPciFunction>> { return this.named }

  private add<Device extends VirtioDevice>(name: string, slot: number, device: Device, { index, count } = SINGLE): Device {
    const { memory, messages, bus, router, mmio } = this.parts
    const pciFunction = new VirtioPciFunction(device, {
      memory, messages, line: router.input(slot, 1), window: (length, registers) => mmio.window(length, registers),
      multiFunction: index === 0 && count > 1,
    })
    bus.attach(slot, index, pciFunction)
    this.named[name] = pciFunction
    return device
  }
}
