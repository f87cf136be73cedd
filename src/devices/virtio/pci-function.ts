import type { InterruptLine, MessageSink } from '../../machine/interrupts.ts'
import type { MmioDevice, PortSize } from '../../machine/io.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import type { AddressWindow, PciFunction } from '../../machine/pci.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { PciConfigSpace } from '../pci/config-space.ts'
import { Msix } from '../pci/msix.ts'
import type { RegisterMap } from '../registers/register-map.ts'
import { NO_VECTOR, commonConfiguration } from './common-configuration.ts'
import type { Vectors } from './common-configuration.ts'
import { VirtioCore } from './core.ts'
import type { VirtioBus } from './core.ts'
import type { VirtioDevice } from './device.ts'
import { CONFIGURATION_ACCESS, Region, capabilities } from './pci-capabilities.ts'
import type { Virtqueue } from './virtqueue.ts'

/**
 * A virtio device as a PCI function. Source: VIRTIO 1.2, §4.1 "Virtio Over PCI Bus".
 *
 *   BAR0, 32 KiB of memory space: see pci-capabilities.ts
 *     0x0000 common configuration   0x1000 ISR status (1 byte: queue 0, configuration 1; reading clears)
 *     0x2000 device configuration   0x3000 notification, 4 bytes a queue
 *     0x4000 MSI-X table            0x5000 MSI-X pending bits
 *
 * Vector 0 is meant for changes of the configuration, one more for each queue; the driver may give them out otherwise.
 *
 * Left out on purpose: the legacy and transitional interfaces, notification data, shared memory regions.
 */
export interface PciFunctionParts {
  readonly memory: GuestMemory
  readonly messages: MessageSink
  /** INTA#. */
  readonly line: InterruptLine
  /** Other functions share its device: set for function 0 of them. */
  readonly multiFunction?: boolean
  /** Where BAR0 will stand. */
  readonly window: (length: number, device: MmioDevice) => AddressWindow
}

const VENDOR = 0x1af4
/** Modern devices count from here. §4.1.2.1. */
const FIRST_DEVICE = 0x1040
const REVISION = 1
const SUBSYSTEM = 0x1100
const Isr = { QUEUE: 1, CONFIGURATION: 2 } as const
const LARGEST_MSIX_TABLE = 256

export class VirtioPciFunction implements PciFunction, Stateful, VirtioBus {
  readonly schema: string
  readonly version: number
  readonly registers: MmioDevice
  private readonly device: VirtioDevice
  private readonly core: VirtioCore
  private readonly config: PciConfigSpace
  private readonly msix: Msix
  private readonly common: RegisterMap
  private readonly vectors: Vectors
  private isr = 0

  constructor(device: VirtioDevice, { memory, messages, line, window, multiFunction }: PciFunctionParts) {
    this.device = device
    this.schema = device.schema
    this.version = device.version
    this.registers = {
      readMmio: (offset, size) => this.read(offset, size), writeMmio: (offset, size, value) => this.write(offset, size, value),
    }
    const queues = device.queueSizes.length
    const vectors = Math.min(queues + 1, LARGEST_MSIX_TABLE)
    this.vectors = { count: vectors, configuration: NO_VECTOR, queues: new Uint16Array(queues).fill(NO_VECTOR) }
    this.msix = new Msix(vectors, { bar: 0, tableOffset: Region.MSIX_TABLE, pendingOffset: Region.MSIX_PENDING }, messages)
    this.config = new PciConfigSpace({
      vendorId: VENDOR, deviceId: FIRST_DEVICE + device.deviceId, revision: REVISION, classCode: device.classCode,
      subsystemVendorId: VENDOR, subsystemId: SUBSYSTEM, multiFunction,
    }, {
      bars: [{ index: 0, kind: 'memory32', size: Region.END, window: window(Region.END, this.registers) }],
      capabilities: [...capabilities(queues), this.msix.capability],
      interrupt: { pin: 1, line },
    })
    this.core = new VirtioCore(device, memory, this)
    this.common = commonConfiguration(this.core, this.vectors)
  }

  get busMaster(): boolean { return this.config.busMaster }

  readConfig(offset: number, size: PortSize): number {
    if (offset >> 2 !== CONFIGURATION_ACCESS.data >> 2) return this.config.readConfig(offset, size)
    const access = this.configurationAccess()
    return access ? (this.read(access.offset, access.length) >>> 8 * (offset & 3) & ALL_ONES[size]) >>> 0 : 0
  }

  writeConfig(offset: number, size: PortSize, value: number): void {
    this.config.writeConfig(offset, size, value)
    const access = offset === CONFIGURATION_ACCESS.data ? this.configurationAccess() : undefined
    if (access) this.write(access.offset, access.length, (value & ALL_ONES[access.length]) >>> 0)
    this.core.update()
    this.drive()
  }

  interruptQueue(queue: Virtqueue): void {
    if (this.msix.enabled) return this.msix.notify(this.vectors.queues[queue.index])
    this.isr |= Isr.QUEUE
    this.drive()
  }

  interruptConfiguration(): void {
    this.isr |= Isr.CONFIGURATION
    if (this.msix.enabled && this.busMaster) this.msix.notify(this.vectors.configuration)
    this.drive()
  }

  wasReset(): void {
    this.common.reset()
    this.vectors.configuration = NO_VECTOR
    this.vectors.queues.fill(NO_VECTOR)
    this.isr = 0
    this.drive()
  }

  reset(): void {
    this.config.reset()
    this.msix.reset()
    this.core.reset()
    this.wasReset()
  }

  resume(): void { this.core.resume() }

  save(): PlainData {
    const { config, msix, common, core, device, vectors, isr } = this
    return {
      config: config.save(), msix: msix.save(), registers: common.save(), isr, core: core.save(), device: device.save(),
      configurationVector: vectors.configuration, queueVectors: Array.from(vectors.queues),
    }
  }

  restore(saved: PlainData): void {
    const state = new StateReader(this.schema, saved)
    this.msix.restore(state.child('msix'))
    this.core.restore(state.child('core'))
    const registers = state.child('registers')
    this.common.restore((name) => registers.u32(name))
    this.vectors.configuration = this.checkedVector(state.u16('configurationVector'))
    const vectors = state.integers('queueVectors', this.vectors.queues.length, 0, NO_VECTOR)
    this.vectors.queues.set(vectors.map((vector) => this.checkedVector(vector)))
    this.isr = state.u8('isr') & (Isr.QUEUE | Isr.CONFIGURATION)
    const { config, device } = saved as { config: PlainData, device: PlainData }
    this.config.restore(config)
    this.core.recompute()
    this.device.restore(device)
    this.drive()
  }

  private checkedVector(vector: number): number { return vector < this.vectors.count ? vector : NO_VECTOR }

  private drive(): void { this.config.setInterrupt(this.isr !== 0 && !this.msix.enabled) }

  private read(offset: number, size: PortSize): number {
    switch (offset & REGION_MASK) {
      case Region.COMMON: return this.common.read(offset, size)
      case Region.ISR: return offset === Region.ISR ? this.takeIsr() : 0
      case Region.DEVICE: return this.device.readConfig(offset - Region.DEVICE, size)
      case Region.MSIX_TABLE: return this.msix.table.readMmio(offset - Region.MSIX_TABLE, size)
      case Region.MSIX_PENDING: return this.msix.pendingBits.readMmio(offset - Region.MSIX_PENDING, size)
      default: return 0
    }
  }

  private write(offset: number, size: PortSize, value: number): void {
    switch (offset & REGION_MASK) {
      case Region.COMMON: return this.common.write(offset, size, value)
      case Region.DEVICE: return this.device.writeConfig(offset - Region.DEVICE, size, value)
      case Region.NOTIFY: return this.core.notify(offset - Region.NOTIFY >> 2)
      case Region.MSIX_TABLE: return this.msix.table.writeMmio(offset - Region.MSIX_TABLE, size, value)
    }
  }

  private takeIsr(): number {
    const { isr } = this
    this.isr = 0
    this.drive()
    return isr
  }

  /** What pci_cfg_data leads to now, §4.1.4.9; undefined if it is no access that BAR0 has. */
  private configurationAccess(): { offset: number, length: PortSize } | undefined {
    const [bar, offset, length] = ['PciCfgBar', 'PciCfgOffset', 'PciCfgLength'].map((name) => this.config.register(name))
    if (bar !== 0 || length !== 1 && length !== 2 && length !== 4 || offset % length !== 0 || offset >= Region.END) return undefined
    return { offset, length }
  }
}

const REGION_MASK = ~0xfff
const ALL_ONES = [0, 0xff, 0xffff, 0, 0xffffffff] as const
