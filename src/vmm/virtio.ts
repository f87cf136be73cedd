import type { BlockBackend } from '../machine/block.ts'
import type { EntropySource } from '../machine/entropy.ts'
import type { InterruptLine, MessageSink } from '../machine/interrupts.ts'
import type { GuestMemory } from '../machine/memory.ts'
import type { MmioBus } from '../devices/bus/mmio-bus.ts'
import type { PciBus, PciInterruptRouter } from '../devices/pci/pci-bus.ts'
import { VirtioBlock } from '../devices/virtio/block/block.ts'
import type { VirtioDevice } from '../devices/virtio/device.ts'
import { VirtioEntropy } from '../devices/virtio/entropy.ts'
import { VirtioPciFunction } from '../devices/virtio/pci-function.ts'

/** Which virtio devices a machine has, and their back ends. A snapshot fits a machine that has the same. */
export interface VirtioConfig {
  /** Block devices, VIRTIO_DISKS at most. */
  readonly disks?: readonly VirtioDiskConfig[]
  readonly entropy?: EntropySource
}

export interface VirtioDiskConfig {
  readonly backend: BlockBackend
  /** 1 to 64; 1 if it is left out: a queue for each vCPU is best. */
  readonly queues?: number
}

/** PCI device numbers. */
const Slot = { ENTROPY: 3, FIRST_DISK: 8 } as const
export const VIRTIO_DISKS = 16

/** What the devices stand on. */
export interface VirtioParts {
  readonly memory: GuestMemory
  readonly messages: MessageSink
  readonly bus: PciBus
  readonly router: PciInterruptRouter
  readonly mmio: MmioBus
}

/** The devices of a machine, on its PCI bus. */
export class VirtioDevices {
  /** PCI functions by their names in a snapshot. */
  readonly functions: Readonly<Record<string, VirtioPciFunction>>
  readonly disks: readonly VirtioBlock[]

  /** @throws TenonError PCI_SLOT_TAKEN. */
  constructor(config: VirtioConfig, parts: VirtioParts) {
    this.disks = (config.disks ?? []).map(({ backend, queues }) => new VirtioBlock(backend, { queues }))
    const devices: [string, number, VirtioDevice][] = [
      ...config.entropy ? [['virtio-entropy', Slot.ENTROPY, new VirtioEntropy(config.entropy)] as [string, number, VirtioDevice]] : [],
      ...this.disks.map((disk, index): [string, number, VirtioDevice] => [`virtio-block-${index}`, Slot.FIRST_DISK + index, disk]),
    ]
    this.functions = Object.fromEntries(devices.map(([name, slot, device]) => [name, attach(device, slot, parts)]))
  }
}

function attach(device: VirtioDevice, slot: number, { memory, messages, bus, router, mmio }: VirtioParts): VirtioPciFunction {
  const line: InterruptLine = router.input(slot, 1)
  const pciFunction = new VirtioPciFunction(device, { memory, messages, line, window: (length, registers) => mmio.window(length, registers) })
  bus.attach(slot, 0, pciFunction)
  return pciFunction
}
