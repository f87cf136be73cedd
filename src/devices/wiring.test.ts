import { expect, it } from 'vitest'
import type { PlainData, Stateful } from '../machine/lifecycle.ts'
import { StateReader } from '../machine/state-reader.ts'
import { AcpiFixedHardware } from './acpi/fixed-hardware.ts'
import { ResetControl } from './acpi/reset-control.ts'
import { ApicBus } from './apic/apic-bus.ts'
import { IoApic } from './apic/io-apic.ts'
import { LocalApic } from './apic/local-apic.ts'
import { MmioBus } from './bus/mmio-bus.ts'
import { PortBus } from './bus/port-bus.ts'
import { CoprocessorError } from './coprocessor/coprocessor-error.ts'
import { I8042 } from './keyboard/i8042.ts'
import { Port92 } from './keyboard/port-92.ts'
import { fanOut } from './lines/lines.ts'
import { hostBridge } from './pci/host-bridge.ts'
import { PciBus, PciInterruptRouter } from './pci/pci-bus.ts'
import { PicPair } from './pic/pic-pair.ts'
import { Pit8254 } from './pit/pit-8254.ts'
import { SystemControlPortB } from './pit/system-control-port-b.ts'
import { cmosContents } from './rtc/cmos-contents.ts'
import { RtcMc146818 } from './rtc/rtc-mc146818.ts'
import { VirtioEntropy } from './virtio/entropy.ts'
import { VirtioPciFunction } from './virtio/pci-function.ts'
import { VirtioDriver } from './virtio/testing/driver.ts'
import { PlainMemory } from './virtio/testing/plain-memory.ts'
import { World, deviceContract } from './testing/contract.ts'
import { Uart16550 } from './uart/uart-16550.ts'

/** All devices, wired as a PC wires them. Its parts are restored in the given order. */
class Pc implements Stateful {
  readonly schema = 'pc'
  readonly version = 1
  readonly ports = new PortBus()
  readonly memory = new MmioBus()
  readonly apic: LocalApic
  readonly ioApic: IoApic
  readonly pic: PicPair
  readonly uart: Uart16550
  readonly ram = new PlainMemory(0x8000)
  readonly entropy: VirtioPciFunction
  private readonly parts: readonly [string, Stateful][]

  constructor(world: World, backwards: boolean) {
    const { clock } = world
    const bus = new ApicBus()
    const intr = world.line()
    this.apic = new LocalApic({
      id: 0, bootProcessor: true, physicalAddressBits: 40, clock, bus,
      pins: {
        interrupt: (pending) => intr.setLevel(pending), nonMaskableInterrupt: world.event('NMI'), initialize: world.event('INIT'),
        startUp: world.event('SIPI'),
      },
      acknowledgeExternal: () => this.pic.acknowledge(), timeOfTsc: Number, relocated: () => undefined,
    })
    this.ioApic = new IoApic(bus, 0)
    this.pic = new PicPair(this.apic.lint0)
    const irq = (number: number) => fanOut(this.pic.irq(number), this.ioApic.pin(number || 2))
    const resetMachine = world.event('reset')
    const pit = new Pit8254(irq(0), clock)
    const portB = new SystemControlPortB(pit.counter2, clock)
    const rtc = new RtcMc146818(irq(8), clock, { wallClock: () => 1e12 + clock.now() / 1e6, cmos: cmosContents(2 ** 28, 0) })
    const keyboard = new I8042({ keyboardLine: irq(1), auxiliaryLine: irq(12), resetMachine })
    const port92 = new Port92(resetMachine)
    const coprocessor = new CoprocessorError(irq(13))
    const acpi = new AcpiFixedHardware({ sci: irq(9), clock, powerOff: world.event('off') })
    const reset = new ResetControl(resetMachine)
    const pci = new PciBus()
    const bridge = hostBridge()
    this.uart = new Uart16550(irq(4), { transmit: () => true, receive: () => clock.now() % 3 === 0 ? 0x41 : -1 })
    pci.attach(0, 0, bridge)
    const router = new PciInterruptRouter(Array.from({ length: 8 }, (_, index) => this.ioApic.pin(16 + index)))
    this.entropy = new VirtioPciFunction(new VirtioEntropy({ fill: (bytes) => bytes.fill(0x5a) }), {
      memory: this.ram, messages: bus, line: router.input(3, 1), window: (length, registers) => this.memory.window(length, registers),
    })
    pci.attach(3, 0, this.entropy)
    const places: [number, number, Parameters<PortBus['attach']>[2], Parameters<PortBus['attach']>[3]?][] = [
      [0x20, 2, this.pic.master], [0xa0, 2, this.pic.slave], [0x4d0, 2, this.pic.edgeLevel], [0x40, 4, pit], [0x61, 1, portB],
      [0x60, 1, keyboard], [0x64, 1, keyboard, { offset: 4 }], [0x70, 2, rtc], [0x92, 1, port92], [0xf0, 1, coprocessor],
      [0x3f8, 8, this.uart],
      [0x600, 0x28, acpi], [0xcf8, 8, pci.configurationPorts], [0xcf9, 1, reset, { inside: true }],
    ]
    for (const place of places) this.ports.attach(...place)
    this.memory.attach(0xfee00000, 0x1000, this.apic)
    this.memory.attach(0xfec00000, 0x1000, this.ioApic)
    this.memory.attach(0xb0000000, 0x10000000, pci.ecam)
    const parts = {
      apic: this.apic, ioApic: this.ioApic, pic: this.pic, pit, portB, rtc, keyboard, port92, coprocessor, acpi, reset, pci, bridge,
      uart: this.uart, entropy: this.entropy,
    }
    this.parts = backwards ? Object.entries(parts).reverse() : Object.entries(parts)
  }

  save(): PlainData { return Object.fromEntries(this.parts.map(([name, part]) => [name, part.save()])) }
  restore(saved: PlainData): void {
    const state = saved as Record<string, PlainData>
    const reader = new StateReader(this.schema, saved)
    for (const [name, part] of this.parts) {
      reader.child(name)
      part.restore(state[name])
    }
  }
  reset(): void { for (const [, part] of this.parts) part.reset() }
}

const PORTS = [
  0x20, 0x20, 0x21, 0xa0, 0xa1, 0x40, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x92, 0x3f8, 0x3f9, 0x3fa, 0x3fc, 0x4d0,
  0x600, 0x602, 0x604, 0x620, 0x624, 0xcf8, 0xcf9, 0xcfc,
]

for (const backwards of [false, true]) {
  deviceContract(`a PC, restored ${backwards ? 'back to front' : 'front to back'}`, (world) => {
    const pc = new Pc(world, backwards)
    const all = { readPort: pc.ports.read.bind(pc.ports), writePort: pc.ports.write.bind(pc.ports) }
    const at = (base: number) => ({
      readMmio: (offset: number, size: 1 | 2 | 4) => pc.memory.read(base + offset, size),
      writeMmio: (offset: number, size: 1 | 2 | 4, value: number) => pc.memory.write(base + offset, size, value),
    })
    return {
      device: pc,
      ports: [{ device: all, length: 0x10000 }],
      mmio: [
        { device: at(0xfee00000), length: 0x1000, likely: [0xb0, 0xb0, 0xf0, 0x80, 0x320, 0x350, 0x380] },
        { device: at(0xfec00000), length: 0x1000, likely: [0, 0, 0x10, 0x10] },
      ],
      actions: [
        (random) => pc.ports.write(random.pick(PORTS), 1, random.value() & 0xff),
        (random) => pc.ports.write(random.pick(PORTS), 1, random.value() & 0xff),
        (random) => pc.ports.read(random.pick(PORTS), 1),
        () => pc.apic.acknowledge(),
        () => pc.uart.receiveReady(),
        () => pc.apic.enterVirtualWireMode(),
        () => { for (const value of [0x11, 0x20, 4, 1]) pc.ports.write(value === 0x11 ? 0x20 : 0x21, 1, value) },
      ],
    }
  })
}

it('brings a serial interrupt through the PIC and through the I/O APIC', () => {
  const world = new World(0)
  const pc = new Pc(world, false)
  for (const [port, value] of [[0x20, 0x11], [0x21, 0x20], [0x21, 4], [0x21, 1]]) pc.ports.write(port, 1, value)
  pc.apic.enterVirtualWireMode()
  pc.ports.write(0x3fc, 1, 0x0b)
  pc.ports.write(0x3f9, 1, 2)
  expect([pc.apic.hasPending(), pc.apic.acknowledge()]).toEqual([true, 0x24])
  pc.ports.write(0x20, 1, 0x20)
  pc.ports.write(0x21, 1, 0xff)
  pc.memory.write(0xfec00000, 4, 0x18)
  pc.memory.write(0xfec00010, 4, 0x44)
  pc.ports.write(0x3f8, 1, 0x41)
  expect(pc.apic.acknowledge()).toBe(0x44)
})

it('brings the interrupts of a virtio device through the I/O APIC, and as messages', () => {
  const pc = new Pc(new World(0), false)
  const ask = (driver: VirtioDriver): void => {
    driver.queues[0].add([{ address: driver.allocate(8), length: 8, writable: true }])
    driver.queues[0].notify()
  }
  const driver = new VirtioDriver(pc.entropy, pc.ram).start()
  pc.memory.write(0xfee000f0, 4, 0x1ff)
  for (const [register, value] of [[0x10 + 2 * 19, 0x8055], [0x11 + 2 * 19, 0]]) {
    pc.memory.write(0xfec00000, 4, register)
    pc.memory.write(0xfec00010, 4, value)
  }
  ask(driver)
  expect([pc.apic.acknowledge(), driver.isr]).toEqual([0x55, 1])
  pc.memory.write(0xfee000b0, 4, 0)
  expect(pc.apic.hasPending()).toBe(false)
  const entry = [0xfee00000, 0, 0x66, 0]
  entry.forEach((value, word) => driver.write(0x4010 + 4 * word, 4, value))
  for (let at = pc.entropy.readConfig(0x34, 1); at !== 0; at = pc.entropy.readConfig(at + 1, 1)) {
    if (pc.entropy.readConfig(at, 1) === 0x11) pc.entropy.writeConfig(at + 2, 2, 0x8000)
  }
  ask(driver)
  expect([pc.apic.acknowledge(), driver.isr]).toEqual([0x66, 0])
})
