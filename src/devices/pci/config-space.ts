import { TenonError } from '../../base/errors.ts'
import type { InterruptLine } from '../../machine/interrupts.ts'
import type { PortSize } from '../../machine/io.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import type { PciFunction } from '../../machine/pci.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { RegisterMap } from '../registers/register-map.ts'
import type { RegisterRow } from '../registers/register-map.ts'
import { Bars } from './bars.ts'
import type { Bar } from './bars.ts'

/**
 * Configuration space of a PCI function with a type 0 header: identification, command and status, base addresses, INTx and a list
 * of capabilities. Source: PCI Local Bus Specification 3.0, chapter 6.
 *
 *   0x00 VendorId DeviceId   0x04 Command Status   0x08 RevisionAndClass   0x0c CacheLineSize LatencyTimer HeaderType
 *   0x10 BAR0 to BAR5        0x2c SubsystemVendorId SubsystemId            0x34 CapabilitiesPointer
 *   0x3c InterruptLine InterruptPin            0x40 capabilities, one after the other
 *
 * Left out on purpose: expansion ROM, CardBus, BIST, error bits, extended capabilities (from 0x100 all reads are 0).
 */
export interface Capability {
  /** Capability ID, as in the PCI Code and ID Assignment Specification. */
  readonly id: number
  /** Bytes with the two of the header, 2 to 192. */
  readonly length: number
  /** Registers, with offsets from the capability's start (from 2), and names that are unique in the function. */
  readonly rows: readonly RegisterRow[]
}

export interface PciIdentity {
  readonly vendorId: number
  readonly deviceId: number
  readonly revision: number
  /** Base class, sub-class and programming interface: 24 bits. */
  readonly classCode: number
  readonly subsystemVendorId?: number
  readonly subsystemId?: number
  /** Function 0 of a device with several functions. */
  readonly multiFunction?: boolean
}

export interface PciConfigOptions {
  readonly bars?: readonly Bar[]
  readonly capabilities?: readonly Capability[]
  /** INTA# (1) to INTD# (4), and the wire it drives. */
  readonly interrupt?: { readonly pin: 1 | 2 | 3 | 4, readonly line: InterruptLine }
}

export const PciCommand = { IO_SPACE: 1, MEMORY_SPACE: 2, BUS_MASTER: 4, INTERRUPT_DISABLE: 0x400 } as const
const COMMAND_WRITABLE = 0x0547
const Status = { INTERRUPT: 0x08, CAPABILITIES: 0x10 } as const
const CONFIG_SIZE = 256

export type PciConfigState = { readonly registers: Readonly<Record<string, number>> }

export class PciConfigSpace implements PciFunction, Stateful<PciConfigState> {
  readonly schema = 'pci-config-space'
  readonly version = 1
  private readonly registers: RegisterMap
  private readonly bars: Bars
  private readonly line: InterruptLine | undefined

  constructor(identity: PciIdentity, options: PciConfigOptions = {}) {
    this.bars = new Bars(options.bars ?? [])
    this.line = options.interrupt?.line
    const capabilities = placeCapabilities(options.capabilities ?? [])
    const listed = capabilities.length > 0
    this.registers = new RegisterMap([
      ...identityRows(identity),
      { name: 'Command', offset: 0x04, width: 2, writable: COMMAND_WRITABLE },
      { name: 'Status', offset: 0x06, width: 2, reset: listed ? Status.CAPABILITIES : 0, dynamic: Status.INTERRUPT },
      ...this.bars.rows(),
      { name: 'CapabilitiesPointer', offset: 0x34, width: 1, reset: listed ? FIRST_CAPABILITY : 0 },
      { name: 'InterruptLine', offset: 0x3c, width: 1, writable: 0xff },
      { name: 'InterruptPin', offset: 0x3d, width: 1, reset: options.interrupt?.pin ?? 0 },
      ...capabilities,
    ], CONFIG_SIZE)
  }

  /** True if the function may read and write memory itself. */
  get busMaster(): boolean { return (this.registers.get('Command') & PciCommand.BUS_MASTER) !== 0 }

  /** INTx: the function's interrupt condition. */
  setInterrupt(asserted: boolean): void {
    const status = this.registers.get('Status')
    this.registers.set('Status', asserted ? status | Status.INTERRUPT : status & ~Status.INTERRUPT)
    this.drive()
  }

  /** A capability's register, by name. */
  register(name: string): number { return this.registers.get(name) }

  readConfig(offset: number, size: PortSize): number { return this.registers.read(offset, size) }

  writeConfig(offset: number, size: PortSize, value: number): void {
    this.registers.write(offset, size, value)
    this.update()
  }

  reset(): void {
    this.registers.reset()
    this.update()
  }

  save(): PciConfigState { return { registers: this.registers.save() } }

  restore(saved: PlainData): void {
    const registers = new StateReader(this.schema, saved).child('registers')
    this.registers.restore((name) => registers.u32(name))
    this.update()
  }

  private update(): void {
    this.bars.update(this.registers, this.registers.get('Command'))
    this.drive()
  }

  private drive(): void {
    const disabled = (this.registers.get('Command') & PciCommand.INTERRUPT_DISABLE) !== 0
    this.line?.setLevel(!disabled && (this.registers.get('Status') & Status.INTERRUPT) !== 0)
  }
}

const FIRST_CAPABILITY = 0x40

function identityRows(identity: PciIdentity): RegisterRow[] {
  return [
    { name: 'VendorId', offset: 0x00, width: 2, reset: identity.vendorId },
    { name: 'DeviceId', offset: 0x02, width: 2, reset: identity.deviceId },
    { name: 'RevisionAndClass', offset: 0x08, width: 4, reset: (identity.classCode << 8 | identity.revision) >>> 0 },
    { name: 'CacheLineSize', offset: 0x0c, width: 1, writable: 0xff },
    { name: 'HeaderType', offset: 0x0e, width: 1, reset: identity.multiFunction ? 0x80 : 0 },
    { name: 'SubsystemVendorId', offset: 0x2c, width: 2, reset: identity.subsystemVendorId ?? 0 },
    { name: 'SubsystemId', offset: 0x2e, width: 2, reset: identity.subsystemId ?? 0 },
  ]
}

/** Lays capabilities out from 0x40, each on a doubleword, and links them. §6.7. */
function placeCapabilities(capabilities: readonly Capability[]): RegisterRow[] {
  const rows: RegisterRow[] = []
  let at = FIRST_CAPABILITY
  capabilities.forEach((capability, index) => {
    const end = at + (capability.length + 3 & ~3)
    if (end > CONFIG_SIZE) throw new TenonError('CAPABILITIES_TOO_LONG', `capability ${index} ends beyond 0x100; shorten the list`)
    const next = index + 1 < capabilities.length ? end : 0
    rows.push({ name: `Capability${index}`, offset: at, width: 2, reset: next << 8 | capability.id })
    for (const row of capability.rows) rows.push({ ...row, offset: at + row.offset })
    at = end
  })
  return rows
}
