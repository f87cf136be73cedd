import type { MachineLayout, SerialPortLayout } from '../layout.ts'
import { pciInterruptGsi } from '../layout.ts'
import * as aml from './aml.ts'
import type { Aml } from './aml.ts'
import * as resources from './aml-resources.ts'

/**
 * The machine's ACPI namespace (ACPI 6.0 §5.3), the body of the DSDT: the sleep state for power-off, processors, the PCI root with
 * its windows and interrupt routing, and the ISA devices.
 *
 * Left out on purpose: sleep states other than S5, link devices (INTx goes to fixed I/O APIC inputs), and routing for the PIC, to
 * which no PCI device is wired.
 */
export function dsdtBody(layout: MachineLayout): Uint8Array {
  return Uint8Array.from([
    ...powerOffState(layout),
    ...aml.scope('\\_SB', ...processors(layout.vcpus), pciRoot(layout), platformResources(layout)),
  ])
}

/** \_S5 (§7.4.2.6): SLP_TYP for PM1a control, then the same for PM1b. */
function powerOffState(layout: MachineLayout): Aml {
  const type = aml.integer(layout.acpi.sleepTypeS5)
  return aml.name('\\_S5', aml.package_(type, type, aml.integer(0), aml.integer(0)))
}

/** Processor devices (§8.4), whose _UID pairs them with the MADT's entries. */
function processors(count: number): Aml[] {
  return Array.from({ length: count }, (_, index) => aml.device('C' + index.toString(16).toUpperCase().padStart(3, '0'),
    aml.name('_HID', aml.string('ACPI0007')),
    aml.name('_UID', aml.integer(index))))
}

function pciRoot(layout: MachineLayout): Aml {
  return aml.device('PCI0',
    aml.name('_HID', aml.eisaId('PNP0A08')),
    aml.name('_CID', aml.eisaId('PNP0A03')),
    aml.name('_UID', aml.integer(0)),
    aml.name('_SEG', aml.integer(0)),
    aml.name('_BBN', aml.integer(0)),
    aml.name('_CRS', pciWindows(layout)),
    aml.name('_PRT', interruptRouting(layout)),
    featureControl(),
    ...isaDevices(layout))
}

function pciWindows({ pci }: MachineLayout): Aml {
  const { configPorts, ioWindow } = pci
  return resources.resourceTemplate(
    resources.busNumbers(pci.busCount),
    resources.ioPorts(configPorts),
    resources.ioWindow({ base: 0, size: configPorts.base }),
    resources.ioWindow(ioWindow),
    resources.memoryWindow32({ base: 0xa0000, size: 0x20000 }),
    resources.memoryWindow32(pci.memory32),
    resources.memoryWindow64(pci.memory64))
}

/** _PRT (§6.2.13): for each slot and pin, the GSI that it is wired to. */
function interruptRouting({ pci }: MachineLayout): Aml {
  const routes: Aml[] = []
  for (let slot = 0; slot < 32; slot++) {
    for (let pin = 0; pin < 4; pin++) routes.push(interruptRoute(slot, pin, pciInterruptGsi(pci, slot, pin)))
  }
  return aml.package_(...routes)
}

function interruptRoute(slot: number, pin: number, gsi: number): Aml {
  const allFunctions = slot * 0x10000 + 0xffff
  return aml.package_(aml.integer(allFunctions), aml.integer(pin), aml.integer(0), aml.integer(gsi))
}

/**
 * _OSC (§6.2.11, PCI Firmware Specification 3.2 §4.5): hands the PCI Express capability structures to the guest and keeps hot plug,
 * power events and error reporting, which this machine does not have.
 */
function featureControl(): Aml {
  const PCI_HOST_BRIDGE = '33DB4D5B-1FF7-401C-9657-7441C03DD766'
  const PCIE_CAPABILITY_CONTROL = 0x10
  const [status, control, asked] = [aml.reference('CDW1'), aml.reference('CDW3'), aml.local(0)]
  const fail = (bit: number) => aml.or(status, aml.integer(bit), status)
  return aml.method('_OSC', 4,
    aml.createDwordField(aml.argument(3), 0, 'CDW1'),
    aml.if_(aml.equal(aml.argument(0), aml.uuid(PCI_HOST_BRIDGE)),
      aml.createDwordField(aml.argument(3), 8, 'CDW3'),
      aml.store(control, asked),
      aml.and(asked, aml.integer(PCIE_CAPABILITY_CONTROL), control),
      aml.if_(aml.notEqual(aml.argument(1), aml.integer(1)), fail(OscStatus.UNKNOWN_REVISION)),
      aml.if_(aml.notEqual(asked, control), fail(OscStatus.CAPABILITIES_MASKED))),
    aml.else_(fail(OscStatus.UNKNOWN_UUID)),
    aml.return_(aml.argument(3)))
}

const OscStatus = { UNKNOWN_UUID: 0x04, UNKNOWN_REVISION: 0x08, CAPABILITIES_MASKED: 0x10 } as const

function isaDevices(layout: MachineLayout): Aml[] {
  const { i8042, rtc } = layout
  return [
    isaDevice('RTC0', 'PNP0B00', resources.ioPorts({ base: rtc.port, size: 2 }), resources.irq(rtc.irq)),
    isaDevice('KBD0', 'PNP0303', resources.ioPorts({ base: i8042.dataPort, size: 1 }),
      resources.ioPorts({ base: i8042.commandPort, size: 1 }), resources.irq(i8042.keyboardIrq)),
    isaDevice('MOU0', 'PNP0F13', resources.irq(i8042.mouseIrq)),
    ...layout.serial.map(serialPort),
    panicDevice(layout),
  ]
}

/** pvpanic, by the name that QEMU gave it. */
function panicDevice({ panic }: MachineLayout): Aml {
  return aml.device('PEVT',
    aml.name('_HID', aml.string('QEMU0001')),
    aml.name('_CRS', resources.resourceTemplate(resources.ioPorts({ base: panic.port, size: 1 }))))
}

function serialPort({ port, irq }: SerialPortLayout, index: number): Aml {
  return aml.device(`COM${index + 1}`,
    aml.name('_HID', aml.eisaId('PNP0501')),
    aml.name('_UID', aml.integer(index + 1)),
    aml.name('_CRS', resources.resourceTemplate(resources.ioPorts({ base: port, size: 8 }), resources.irq(irq))))
}

function isaDevice(path: string, id: string, ...descriptors: Aml[]): Aml {
  return aml.device(path, aml.name('_HID', aml.eisaId(id)), aml.name('_CRS', resources.resourceTemplate(...descriptors)))
}

/** Addresses that belong to the platform itself, so that the guest puts nothing there (PNP0C02); Linux asks this of the ECAM. */
function platformResources(layout: MachineLayout): Aml {
  const { acpi, pci } = layout
  const ports = [acpi.pm1aEvent, acpi.pm1aControl, acpi.pmTimer, acpi.gpe0, { base: layout.pic.edgeLevelControl, size: 2 }]
  return aml.device('PLAT',
    aml.name('_HID', aml.eisaId('PNP0C02')),
    aml.name('_CRS', resources.resourceTemplate(...ports.map(resources.ioPorts), resources.memory32Fixed(pci.ecam))))
}
