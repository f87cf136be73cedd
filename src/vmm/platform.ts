/** The PC around the processor: every device, wired to its ports, its memory window and its interrupt lines as the layout says. */
import type { BlockBackend } from '../machine/block.ts'
import type { Clock } from '../machine/clock.ts'
import type { InterruptLine, ProcessorPins } from '../machine/interrupts.ts'
import type { Stateful } from '../machine/lifecycle.ts'
import type { ReleasableMemory } from '../machine/balloon.ts'
import type { GuestMemory } from '../machine/memory.ts'
import type { SerialBackend } from '../machine/serial.ts'
import { AcpiFixedHardware } from '../devices/acpi/fixed-hardware.ts'
import { ResetControl } from '../devices/acpi/reset-control.ts'
import { ApicBus } from '../devices/apic/apic-bus.ts'
import { IoApic } from '../devices/apic/io-apic.ts'
import { LocalApic } from '../devices/apic/local-apic.ts'
import { MmioBus } from '../devices/bus/mmio-bus.ts'
import { PortBus } from '../devices/bus/port-bus.ts'
import { CoprocessorError } from '../devices/coprocessor/coprocessor-error.ts'
import { I8042 } from '../devices/keyboard/i8042.ts'
import { Port92 } from '../devices/keyboard/port-92.ts'
import { SharedLine, fanOut } from '../devices/lines/lines.ts'
import { PvPanic } from '../devices/panic/pvpanic.ts'
import type { GuestPanic } from '../devices/panic/pvpanic.ts'
import { hostBridge } from '../devices/pci/host-bridge.ts'
import { PciBus, PciInterruptRouter } from '../devices/pci/pci-bus.ts'
import { PicPair } from '../devices/pic/pic-pair.ts'
import { Pit8254 } from '../devices/pit/pit-8254.ts'
import { SystemControlPortB } from '../devices/pit/system-control-port-b.ts'
import { cmosContents } from '../devices/rtc/cmos-contents.ts'
import { RtcMc146818 } from '../devices/rtc/rtc-mc146818.ts'
import { Uart16550 } from '../devices/uart/uart-16550.ts'
import { Watchdog } from '../devices/watchdog/watchdog.ts'
import { placePciResources } from './firmware/pci-resources.ts'
import type { MachineLayout } from './layout.ts'
import { VirtioDevices } from './virtio.ts'
import type { VirtioConfig } from './virtio.ts'
import { addNvme } from './nvme.ts'

export interface PlatformParts {
  readonly layout: MachineLayout
  readonly memory: GuestMemory
  readonly frames: ReleasableMemory
  readonly clock: Clock
  readonly pins: ProcessorPins
  /** Guest TSC value to virtual time (ns). */
  readonly timeOfTsc: (tsc: bigint) => number
  /** Milliseconds since 1970. */
  readonly wallClock: () => number
  /** Back ends of COM1 to COM4. */
  readonly serial: readonly SerialBackend[]
  readonly virtio: VirtioConfig
  /** Namespaces of the NVMe controller. */
  readonly disks: readonly BlockBackend[]
  /** The guest asked for power-off, or for a reset. Called in the middle of an instruction. */
  readonly powerOff: () => void
  readonly resetMachine: () => void
  /** The guest's kernel has panicked. Called in the middle of an instruction. */
  readonly panicked: (panic: GuestPanic) => void
  /** The guest's watchdog has expired. Called between instructions. */
  readonly watchdogExpired: () => void
}

const MAXIMUM_PHYSICAL_BITS = 40
const KEYBOARD_COMMAND_OFFSET = 4
const LOCAL_APIC_SIZE = 0x1000

/** A serial line that nobody listens to. */
const SILENT_LINE: SerialBackend = { transmit: () => true, receive: () => -1 }

export class Platform {
  readonly ports = new PortBus()
  readonly mmio = new MmioBus()
  readonly apic: LocalApic
  readonly pci = new PciBus()
  readonly acpi: AcpiFixedHardware
  readonly coprocessor: CoprocessorError
  /** COM1 to COM4. */
  readonly serial: readonly Uart16550[]
  readonly virtio: VirtioDevices
  readonly watchdog: Watchdog
  /** Every stateful device by its name in a snapshot. */
  readonly devices: Readonly<Record<string, Stateful>>
  private readonly sharedLines = new Map<number, SharedLine>()
  private readonly ioApic: IoApic
  private readonly pic: PicPair
  private readonly pciInterrupts: PciInterruptRouter

  constructor(parts: PlatformParts) {
    const { layout, clock } = parts
    const bus = new ApicBus()
    this.apic = new LocalApic({
      id: 0, bootProcessor: true, physicalAddressBits: MAXIMUM_PHYSICAL_BITS, clock, bus, pins: parts.pins,
      acknowledgeExternal: () => this.pic.acknowledge(), timeOfTsc: parts.timeOfTsc,
      relocated: () => undefined,
    })
    this.ioApic = new IoApic(bus, layout.ioApic.id)
    this.pic = new PicPair(this.apic.lint0)
    this.pciInterrupts = this.routePciInterrupts(layout)
    this.acpi = new AcpiFixedHardware({ sci: this.irq(layout.acpi.sciIrq), clock, powerOff: parts.powerOff })
    this.coprocessor = new CoprocessorError(this.irq(layout.coprocessor.irq))
    this.serial = layout.serial.map((place, index) => this.addSerial(place, parts.serial[index] ?? SILENT_LINE))
    this.mmio.attach(layout.localApic.base, LOCAL_APIC_SIZE, this.apic)
    this.mmio.attach(layout.ioApic.base, layout.ioApic.size, this.ioApic)
    this.virtio = this.addVirtio(parts, bus)
    this.watchdog = new Watchdog(clock, parts.watchdogExpired)
    this.ports.attach(layout.watchdog.base, layout.watchdog.size, this.watchdog)
    this.devices = {
      'local-apic': this.apic, 'io-apic': this.ioApic, pic: this.pic, acpi: this.acpi,
      'coprocessor-error': this.coprocessor, watchdog: this.watchdog, pvpanic: this.addPanic(parts),
      ...this.addTimers(parts), ...this.addKeyboard(parts), ...this.addPci(parts),
      ...addNvme(parts.disks, { memory: parts.memory, messages: bus, clock, bus: this.pci, router: this.pciInterrupts, mmio: this.mmio }),
      ...Object.fromEntries(this.serial.map((uart, index) => [`com${index + 1}`, uart])),
      ...this.virtio.functions,
    }
    this.attachInterruptControllers(layout)
  }

  /** What a PC's firmware leaves: the boot processor's APIC, the places of PCI functions. */
  enterFirmwareState(layout: MachineLayout): void {
    this.apic.enterVirtualWireMode()
    placePciResources(this.pci, layout.pci)
  }

  reset(): void { for (const device of Object.values(this.devices)) device.reset() }

  /** An ISA interrupt reaches both the PIC and the I/O APIC; IRQ 0 is input 2 there. */
  private irq(number: number): InterruptLine { return fanOut(this.pic.irq(number), this.ioApic.pin(number === 0 ? 2 : number)) }

  private routePciInterrupts({ pci }: MachineLayout): PciInterruptRouter {
    return new PciInterruptRouter(Array.from({ length: pci.gsiCount }, (_, index) => this.ioApic.pin(pci.firstGsi + index)))
  }

  private attachInterruptControllers(layout: MachineLayout): void {
    this.ports.attach(layout.pic.master, 2, this.pic.master)
    this.ports.attach(layout.pic.slave, 2, this.pic.slave)
    this.ports.attach(layout.pic.edgeLevelControl, 2, this.pic.edgeLevel)
    this.ports.attach(layout.coprocessor.port, 1, this.coprocessor)
    this.ports.attach(layout.acpi.pm1aEvent.base, layout.acpi.gpe0.base + layout.acpi.gpe0.size - layout.acpi.pm1aEvent.base, this.acpi)
  }

  private addSerial(place: { readonly port: number; readonly irq: number }, backend: SerialBackend): Uart16550 {
    const uart = new Uart16550(this.sharedIrq(place.irq), backend)
    this.ports.attach(place.port, 8, uart)
    return uart
  }

  /** Two serial ports share each interrupt line. */
  private sharedIrq(number: number): InterruptLine {
    const line = this.sharedLines.get(number) ?? new SharedLine(this.irq(number))
    this.sharedLines.set(number, line)
    return line.input()
  }

  private addTimers({ layout, clock, wallClock }: PlatformParts): Record<string, Stateful> {
    const pit = new Pit8254(this.irq(layout.pit.irq), clock)
    const portB = new SystemControlPortB(pit.counter2, clock)
    const { lowSize, highSize } = layout.ram
    const rtc = new RtcMc146818(this.irq(layout.rtc.irq), clock, { wallClock, cmos: cmosContents(lowSize, highSize) })
    this.ports.attach(layout.pit.port, 4, pit)
    this.ports.attach(layout.pit.gatePort, 1, portB)
    this.ports.attach(layout.rtc.port, 2, rtc)
    return { pit, 'port-b': portB, rtc }
  }

  private addKeyboard({ layout, resetMachine }: PlatformParts): Record<string, Stateful> {
    const { i8042 } = layout
    const keyboard = new I8042({
      keyboardLine: this.irq(i8042.keyboardIrq), auxiliaryLine: this.irq(i8042.mouseIrq), resetMachine,
    })
    const port92 = new Port92(resetMachine)
    const reset = new ResetControl(resetMachine)
    this.ports.attach(i8042.dataPort, 1, keyboard)
    this.ports.attach(i8042.commandPort, 1, keyboard, { offset: KEYBOARD_COMMAND_OFFSET })
    this.ports.attach(0x92, 1, port92)
    this.ports.attach(layout.pci.configPorts.base, layout.pci.configPorts.size, this.pci.configurationPorts)
    this.ports.attach(layout.acpi.resetPort, 1, reset, { inside: true })
    return { keyboard, 'port-92': port92, 'reset-control': reset }
  }

  private addPanic({ layout, panicked }: PlatformParts): PvPanic {
    const device = new PvPanic(panicked)
    this.ports.attach(layout.panic.port, 1, device)
    return device
  }

  private addPci({ layout }: PlatformParts): Record<string, Stateful> {
    const bridge = hostBridge()
    this.pci.attach(0, 0, bridge)
    this.mmio.attach(layout.pci.ecam.base, layout.pci.ecam.size, this.pci.ecam)
    return { pci: this.pci, 'host-bridge': bridge }
  }

  private addVirtio({ memory, frames, virtio }: PlatformParts, messages: ApicBus): VirtioDevices {
    return new VirtioDevices(virtio, { memory, frames, messages, bus: this.pci, router: this.pciInterrupts, mmio: this.mmio })
  }
}
