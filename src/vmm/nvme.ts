import type { BlockBackend } from '../machine/block.ts'
import type { Clock } from '../machine/clock.ts'
import type { MessageSink } from '../machine/interrupts.ts'
import type { GuestMemory } from '../machine/memory.ts'
import type { MmioBus } from '../devices/bus/mmio-bus.ts'
import { NvmeFunction } from '../devices/nvme/pci-function.ts'
import type { PciBus, PciInterruptRouter } from '../devices/pci/pci-bus.ts'

/** PCI device number of the NVMe controller. */
const SLOT = 24

/** What the controller stands on. */
export interface NvmePlace {
  readonly memory: GuestMemory
  readonly messages: MessageSink
  readonly clock: Clock
  readonly bus: PciBus
  readonly router: PciInterruptRouter
  readonly mmio: MmioBus
}

/** Puts a controller with these disks on the bus. Gives it under its name in a snapshot; nothing if there are no disks. */
export function addNvme(disks: readonly BlockBackend[], place: NvmePlace): Record<string, NvmeFunction> {
  if (disks.length === 0) return {}
  const { memory, messages, clock, bus, router, mmio } = place
  const nvme = new NvmeFunction(disks, {
    memory, messages, clock, line: router.input(SLOT, 1), window: (length, registers) => mmio.window(length, registers),
  })
  bus.attach(SLOT, 0, nvme)
  return { nvme }
}
