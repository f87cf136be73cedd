import type { Clock } from '../../machine/clock.ts'
import type { BlockBackend } from '../../machine/block.ts'
import type { InterruptLine, MessageSink } from '../../machine/interrupts.ts'
import type { MmioDevice, PortSize } from '../../machine/io.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import type { AddressWindow, PciFunction } from '../../machine/pci.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { PciConfigSpace } from '../pci/config-space.ts'
import { Msix } from '../pci/msix.ts'
import { restoreController, saveController } from './controller-state.ts'
import { NvmeController } from './controller.ts'
import { VECTORS } from './limits.ts'

/**
 * An NVMe controller as a PCI function. Source: NVM Express Base Specification 1.4, §2 and §7.5.1.
 *
 *   class 01 08 02    BAR0, 64 bits, 16 KiB:
 *     0x0000 controller registers   0x1000 doorbells   0x2000 MSI-X table   0x3000 MSI-X pending bits
 *
 * The vendor and device number are nobody's: drivers know a controller by its class.
 *
 * Left out on purpose: the PCI Express, power management and MSI capabilities.
 */
export interface NvmeParts {
  readonly memory: GuestMemory
  readonly messages: MessageSink
  /** INTA#. */
  readonly line: InterruptLine
  readonly clock: Clock
  /** A window for BAR0. */
  window(length: number, registers: MmioDevice): AddressWindow
}

const VENDOR = 0x1234
const DEVICE = 0x4e56
const CLASS = 0x010802
const Region = { CONTROLLER_END: 0x2000, MSIX_TABLE: 0x2000, MSIX_PENDING: 0x3000, END: 0x4000 } as const
const MODEL = 'Tenon NVMe controller'
const FIRMWARE = '1'

export class NvmeFunction implements PciFunction, Stateful {
  readonly schema = 'nvme'
  readonly version = 1
  readonly registers: MmioDevice
  private readonly config: PciConfigSpace
  private readonly msix: Msix
  private readonly controller: NvmeController

  /** The disks are namespaces 1, 2 and so on: 1 to NAMESPACES of them. */
  constructor(disks: readonly BlockBackend[], parts: NvmeParts) {
    this.registers = {
      readMmio: (offset, size) => this.read(offset, size), writeMmio: (offset, size, value) => this.write(offset, size, value),
    }
    this.msix = new Msix(VECTORS, { bar: 0, tableOffset: Region.MSIX_TABLE, pendingOffset: Region.MSIX_PENDING }, parts.messages)
    this.config = new PciConfigSpace({
      vendorId: VENDOR, deviceId: DEVICE, revision: 1, classCode: CLASS, subsystemVendorId: VENDOR, subsystemId: DEVICE,
    }, {
      bars: [{ index: 0, kind: 'memory64', size: Region.END, window: parts.window(Region.END, this.registers) }],
      capabilities: [this.msix.capability],
      interrupt: { pin: 1, line: parts.line },
    })
    const { config, msix } = this
    this.controller = new NvmeController(disks, { vendorId: VENDOR, serial: disks[0]?.serial ?? '', model: MODEL, firmware: FIRMWARE }, {
      memory: parts.memory,
      get busMaster() { return config.busMaster },
      interrupt: (vector) => msix.notify(vector),
      pendingChanged: () => this.drive(),
      now: () => parts.clock.now(),
    })
  }

  readConfig(offset: number, size: PortSize): number { return this.config.readConfig(offset, size) }

  writeConfig(offset: number, size: PortSize, value: number): void {
    this.config.writeConfig(offset, size, value)
    this.drive()
    this.controller.serve()
  }

  reset(): void {
    this.config.reset()
    this.msix.reset()
    this.controller.reset()
  }

  save(): PlainData { return { config: this.config.save(), msix: this.msix.save(), controller: saveController(this.controller) } }

  restore(saved: PlainData): void {
    const state = new StateReader(this.schema, saved)
    this.msix.restore(state.child('msix'))
    restoreController(this.controller, state.child('controller'))
    this.config.restore((saved as { config: PlainData }).config)
    this.drive()
  }

  resume(): void { this.controller.resume() }

  /** INTx follows what waits in the queues; with MSI-X it is silent. */
  private drive(): void { this.config.setInterrupt(!this.msix.enabled && this.controller.pendingVectors !== 0) }

  private read(offset: number, size: PortSize): number {
    if (offset < Region.CONTROLLER_END) return this.controller.read(offset, size)
    return offset < Region.MSIX_PENDING ? this.msix.table.readMmio(offset - Region.MSIX_TABLE, size)
      : this.msix.pendingBits.readMmio(offset - Region.MSIX_PENDING, size)
  }

  private write(offset: number, size: PortSize, value: number): void {
    if (offset < Region.CONTROLLER_END) this.controller.write(offset, size, value)
    else if (offset < Region.MSIX_PENDING) this.msix.table.writeMmio(offset - Region.MSIX_TABLE, size, value)
  }
}
