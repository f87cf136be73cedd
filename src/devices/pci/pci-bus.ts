import { TenonError } from '../../base/errors.ts'
import type { InterruptLine } from '../../machine/interrupts.ts'
import type { MmioDevice, PortDevice, PortSize } from '../../machine/io.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import type { PciFunction } from '../../machine/pci.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { SharedLine } from '../lines/lines.ts'

/**
 * PCI root bus 0 and the two ways to its configuration space.
 *
 *   configurationPorts  mechanism #1 (PCI Local Bus Specification 3.0, §3.2.2.3.2)
 *     0  CONFIG_ADDRESS (32-bit accesses only): enable 31, bus 23:16, device 15:11, function 10:8, register 7:2
 *     4  CONFIG_DATA, 4 bytes
 *   ecam                enhanced configuration access (PCI Express Base Specification 3.0, §7.2.2): 1 MiB for each bus;
 *                       bus 27:20, device 19:15, function 14:12, register 11:0
 *
 * What is not there reads as all ones.
 *
 * Left out on purpose: bridges and other buses; 32-bit accesses to ports 0xcf8 + 1 to 3.
 */
export type PciBusState = { readonly CONFIG_ADDRESS: number }

const CONFIG_ADDRESS_WRITABLE = 0x80fffffc

export class PciBus implements Stateful<PciBusState> {
  readonly schema = 'pci-root-bus'
  readonly version = 1
  readonly configurationPorts: PortDevice
  readonly ecam: MmioDevice
  private readonly functions: (PciFunction | undefined)[] = []
  private address = 0

  constructor() {
    this.configurationPorts = {
      readPort: (offset, size) => this.readPort(offset, size),
      writePort: (offset, size, value) => this.writePort(offset, size, value),
    }
    this.ecam = {
      readMmio: (offset, size) => this.read(offset >>> 20, offset >>> 12 & 0xff, offset & 0xfff, size),
      writeMmio: (offset, size, value) => this.write(offset >>> 20, offset >>> 12 & 0xff, offset & 0xfff, size, value),
    }
  }

  /**
   * Puts a function at device 0 to 31, function 0 to 7.
   * @throws TenonError PCI_SLOT_TAKEN
   */
  attach(device: number, functionNumber: number, pciFunction: PciFunction): void {
    const slot = device << 3 | functionNumber
    if (this.functions[slot]) {
      throw new TenonError('PCI_SLOT_TAKEN', `PCI device ${device} function ${functionNumber} is there already; choose another`)
    }
    this.functions[slot] = pciFunction
  }

  reset(): void { this.address = 0 }

  save(): PciBusState { return { CONFIG_ADDRESS: this.address } }

  restore(saved: PlainData): void {
    this.address = (new StateReader(this.schema, saved).u32('CONFIG_ADDRESS') & CONFIG_ADDRESS_WRITABLE) >>> 0
  }

  private readPort(offset: number, size: PortSize): number {
    if (offset === 0 && size === 4) return this.address
    if (offset < 4 || !this.enabled) return allOnes(size)
    return this.read(this.address >>> 16 & 0xff, this.address >>> 8 & 0xff, this.address & 0xfc | offset & 3, size)
  }

  private writePort(offset: number, size: PortSize, value: number): void {
    if (offset === 0 && size === 4) this.address = (value & CONFIG_ADDRESS_WRITABLE) >>> 0
    if (offset < 4 || !this.enabled) return
    this.write(this.address >>> 16 & 0xff, this.address >>> 8 & 0xff, this.address & 0xfc | offset & 3, size, value)
  }

  private get enabled(): boolean { return this.address >>> 31 === 1 }

  private read(bus: number, slot: number, register: number, size: PortSize): number {
    const target = bus === 0 ? this.functions[slot] : undefined
    return target ? target.readConfig(register, size) : allOnes(size)
  }

  private write(bus: number, slot: number, register: number, size: PortSize, value: number): void {
    if (bus === 0) this.functions[slot]?.writeConfig(register, size, value)
  }
}

/**
 * Leads INTA# to INTD# of the devices to interrupt lines: (device + pin) modulo their number, as PCI bridges do (PCI-to-PCI Bridge
 * Architecture Specification 1.2, table 9-1). The lines are level-triggered and shared.
 */
export class PciInterruptRouter {
  private readonly lines: readonly SharedLine[]

  /** For example I/O APIC pins 16 to 19. */
  constructor(lines: readonly InterruptLine[]) { this.lines = lines.map((line) => new SharedLine(line)) }

  /** Index of the line; `pin` is 1 (INTA#) to 4 (INTD#). The machine's _PRT says the same. */
  lineOf(device: number, pin: number): number { return (device + pin - 1) % this.lines.length }

  input(device: number, pin: number): InterruptLine { return this.lines[this.lineOf(device, pin)].input() }
}

function allOnes(size: PortSize): number { return 0xffffffff >>> 32 - 8 * size }
