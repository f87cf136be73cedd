import { beforeEach, describe, expect, it } from 'vitest'
import type { MessageSink } from '../../machine/interrupts.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { MmioBus } from '../bus/mmio-bus.ts'
import { PortBus } from '../bus/port-bus.ts'
import { deviceContract } from '../testing/contract.ts'
import { RecordedLine } from '../testing/recorded-line.ts'
import { PciConfigSpace } from './config-space.ts'
import { hostBridge } from './host-bridge.ts'
import { Msix } from './msix.ts'
import { PciBus, PciInterruptRouter } from './pci-bus.ts'

const identity = {
  vendorId: 0x1af4, deviceId: 0x1042, revision: 1, classCode: 0x018000, subsystemVendorId: 0x1af4, subsystemId: 0x40,
}
const answering = (value: number) => ({
  readMmio: () => value, writeMmio: () => undefined, readPort: () => value, writePort: () => undefined,
})
const messages: [number, number][] = []
const sink: MessageSink = { sendMessage: (address, data) => { messages.push([address, data]) } }

let ports: PortBus
let memory: MmioBus
let pci: PciBus
let line: RecordedLine
let disk: PciConfigSpace

beforeEach(() => {
  ports = new PortBus()
  memory = new MmioBus()
  pci = new PciBus()
  line = new RecordedLine()
  messages.length = 0
  ports.attach(0xcf8, 8, pci.configurationPorts)
  memory.attach(0xb0000000, 0x10000000, pci.ecam)
  pci.attach(0, 0, hostBridge())
  disk = new PciConfigSpace(identity, {
    bars: [
      { index: 0, kind: 'io', size: 64, window: ports.window(64, answering(0x10)) },
      { index: 1, kind: 'memory32', size: 0x1000, window: memory.window(0x1000, answering(0x32)) },
      { index: 4, kind: 'memory64', size: 0x4000, prefetchable: true, window: memory.window(0x4000, answering(0x64)) },
    ],
    capabilities: [
      { id: 0x09, length: 5, rows: [{ name: 'Vendor', offset: 2, width: 1, reset: 0x77, writable: 0xf0 }] },
      { id: 0x01, length: 8, rows: [] },
    ],
    interrupt: { pin: 1, line },
  })
  pci.attach(3, 0, disk)
})

const select = (device: number, register: number): void => ports.write(0xcf8, 4, 0x80000000 | device << 11 | register & 0xfc)
const read = (device: number, register: number): number => { select(device, register); return ports.read(0xcfc, 4) }
const write = (device: number, register: number, value: number): void => { select(device, register); ports.write(0xcfc, 4, value) }

describe('configuration mechanisms', () => {
  it('show the same registers, in all sizes', () => {
    expect([read(0, 0), read(0, 8), read(3, 0), read(3, 0x2c)]).toEqual([0x29c08086, 0x06000002, 0x10421af4, 0x00401af4])
    select(3, 8)
    expect([ports.read(0xcfe, 2), ports.read(0xcff, 1)]).toEqual([0x0180, 0x01])
    expect([memory.read(0xb0018000, 4), memory.read(0xb0018009, 1), memory.read(0xb001800a, 2)]).toEqual([0x10421af4, 0, 0x0180])
    expect(memory.read(0xb0018100, 4)).toBe(0)
  })

  it('read all ones where nothing is', () => {
    expect([read(4, 0), memory.read(0xb0100000, 4), memory.read(0xb0001000, 2)]).toEqual([0xffffffff, 0xffffffff, 0xffff])
    ports.write(0xcf8, 4, 0x00001800)
    expect(ports.read(0xcfc, 4)).toBe(0xffffffff)
    ports.write(0xcf8, 4, 0x80010000)
    expect(ports.read(0xcfc, 2)).toBe(0xffff)
  })

  it('take the address in 32-bit accesses only', () => {
    ports.write(0xcf8, 4, 0xffffffff)
    expect(ports.read(0xcf8, 4)).toBe(0x80fffffc)
    ports.write(0xcf8, 1, 0)
    ports.write(0xcfa, 2, 0)
    expect(ports.read(0xcf8, 4)).toBe(0x80fffffc)
  })

  it('refuse a second function in a slot', () => {
    expect(() => pci.attach(3, 0, disk)).toThrow(expect.objectContaining({ code: 'PCI_SLOT_TAKEN' }))
  })
})

describe('base addresses', () => {
  it('tell their sizes', () => {
    for (const register of [0x10, 0x14, 0x18, 0x20, 0x24]) write(3, register, 0xffffffff)
    expect([0x10, 0x14, 0x18, 0x20, 0x24].map((register) => read(3, register)))
      .toEqual([0xffffffc1, 0xfffff000, 0, 0xffffc00c, 0xffffffff])
  })

  it('move the windows while decoding is on', () => {
    write(3, 0x10, 0xc041)
    write(3, 0x14, 0xe0001000)
    write(3, 0x20, 0xc000)
    write(3, 0x24, 0x8)
    const seen = (): number[] => [ports.read(0xc040, 1), memory.read(0xe0001000, 4), memory.read(0x8_0000_c000, 4)]
    expect(seen()).toEqual([0xff, 0xffffffff, 0xffffffff])
    write(3, 4, 1)
    expect(seen()).toEqual([0x10, 0xffffffff, 0xffffffff])
    write(3, 4, 3)
    expect(seen()).toEqual([0x10, 0x32, 0x64])
    write(3, 0x14, 0xe0005000)
    expect([memory.read(0xe0001000, 4), memory.read(0xe0005000, 4)]).toEqual([0xffffffff, 0x32])
    disk.reset()
    expect(memory.read(0xe0005000, 4)).toBe(0xffffffff)
  })

  it('are mapped again by a restore', () => {
    write(3, 0x14, 0xe0001000)
    write(3, 4, 2)
    const moves: (number | null)[] = []
    const copy = new PciConfigSpace(identity, {
      bars: [{ index: 1, kind: 'memory32', size: 0x1000, window: { moveTo: (address) => { moves.push(address) } } }],
    })
    copy.restore({ registers: { ...disk.save().registers } })
    expect(moves).toEqual([0xe0001000])
  })

  it('must be possible', () => {
    const window = { moveTo: () => undefined }
    for (const [index, kind, size] of [[5, 'memory64', 16], [0, 'io', 512], [0, 'memory32', 48]] as const) {
      const build = () => new PciConfigSpace(identity, { bars: [{ index, kind, size, window }] })
      expect(build).toThrow(expect.objectContaining({ code: 'BAR_INVALID' }))
    }
  })
})

it('links capabilities and keeps their read-only bits', () => {
  expect([read(3, 4) >>> 16, read(3, 0x34), read(3, 0x40), read(3, 0x48)]).toEqual([0x10, 0x40, 0x00774809, 0x01])
  write(3, 0x40, 0xffffffff)
  expect([read(3, 0x40), disk.register('Vendor')]).toEqual([0x00f74809, 0xf7])
})

it('drives INTx through status and the disable bit, shared and swizzled', () => {
  disk.setInterrupt(true)
  expect([line.asserted, read(3, 4) >>> 16]).toEqual([true, 0x18])
  write(3, 4, 0x400)
  expect(line.asserted).toBe(false)
  const lines = [0, 1, 2, 3].map(() => new RecordedLine())
  const router = new PciInterruptRouter(lines)
  const inputs = [router.input(1, 1), router.input(5, 1), router.input(2, 4)]
  inputs[0].setLevel(true)
  inputs[1].setLevel(true)
  inputs[0].setLevel(false)
  expect(lines.map((each) => each.asserted)).toEqual([false, true, false, false])
  inputs[1].setLevel(false)
  inputs[2].setLevel(true)
  expect(lines.map((each) => each.asserted)).toEqual([false, true, false, false])
  expect(lines[1].rises).toBe(2)
})

describe('MSI-X', () => {
  let msix: Msix
  let config: PciConfigSpace
  const control = (value: number): void => config.writeConfig(0x42, 2, value)

  beforeEach(() => {
    msix = new Msix(3, { bar: 1, tableOffset: 0, pendingOffset: 0x800 }, sink)
    config = new PciConfigSpace(identity, { capabilities: [msix.capability] })
    msix.table.writeMmio(0x10, 4, 0xfee01003)
    msix.table.writeMmio(0x18, 4, 0x4041)
  })

  it('describes itself', () => {
    expect([config.readConfig(0x40, 4), config.readConfig(0x44, 4), config.readConfig(0x48, 4)]).toEqual([0x00020011, 1, 0x801])
    expect(msix.table.readMmio(0x1c, 4)).toBe(1)
  })

  it('sends when enabled and unmasked', () => {
    msix.table.writeMmio(0x1c, 4, 0)
    msix.notify(1)
    expect(messages).toEqual([])
    control(0x8000)
    msix.notify(1)
    msix.notify(7)
    expect([messages, msix.enabled]).toEqual([[[0xfee01000, 0x4041]], true])
  })

  it('keeps a masked message pending until it is unmasked', () => {
    control(0x8000)
    msix.notify(1)
    expect([messages.length, msix.pendingBits.readMmio(0, 4)]).toEqual([0, 2])
    msix.table.writeMmio(0x1c, 4, 0)
    expect([messages.length, msix.pendingBits.readMmio(0, 4)]).toEqual([1, 0])
    control(0xc000)
    msix.notify(1)
    control(0x8000)
    expect(messages.length).toBe(2)
  })
})

deviceContract('PCI root bus', () => {
  const device = new PciBus()
  device.attach(0, 0, { readConfig: (offset, size) => offset % 2 ** (8 * size), writeConfig: () => undefined })
  return {
    device,
    ports: [{ device: device.configurationPorts, length: 8 }],
    mmio: [{ device: device.ecam, length: 2 ** 28 }],
    actions: [(random) => device.configurationPorts.writePort(0, 4, 0x80000000 | random.below(64))],
  }
})

const accesses = (config: PciConfigSpace) => ({
  readMmio: (offset: number, size: 1 | 2 | 4) => config.readConfig(offset, size),
  writeMmio: (offset: number, size: 1 | 2 | 4, value: number) => config.writeConfig(offset, size, value),
})

deviceContract('PCI configuration space', (world) => {
  const window = { moveTo: (address: number | null) => { world.events.push(`move ${address}`) } }
  const device = new PciConfigSpace(identity, {
    bars: [{ index: 0, kind: 'io', size: 64, window }, { index: 1, kind: 'memory64', size: 2 ** 33, window }],
    capabilities: [{ id: 9, length: 4, rows: [{ name: 'Vendor', offset: 2, width: 2, writable: 0xffff }] }],
    interrupt: { pin: 2, line: world.line() },
  })
  const likely = [4, 4, 0x10, 0x14, 0x18, 0x3c, 0x40]
  return {
    device,
    mmio: [{ device: accesses(device), length: 4096, likely }],
    actions: [(random) => device.setInterrupt(random.below(2) === 1)],
  }
})

/** A function with MSI-X, as a device composes it. */
class MsixFunction implements Stateful {
  readonly schema = 'msix-function'
  readonly version = 1
  readonly msix: Msix
  readonly config: PciConfigSpace

  constructor(messageSink: MessageSink) {
    this.msix = new Msix(40, { bar: 0, tableOffset: 0, pendingOffset: 0x800 }, messageSink)
    this.config = new PciConfigSpace(identity, { capabilities: [this.msix.capability] })
  }

  save(): PlainData { return { msix: this.msix.save(), config: this.config.save() } }
  restore(saved: PlainData): void {
    const state = new StateReader(this.schema, saved)
    this.msix.restore(state.child('msix'))
    this.config.restore((saved as { config: PlainData }).config)
  }
  reset(): void { this.msix.reset(); this.config.reset() }
}

deviceContract('MSI-X', (world) => {
  const device = new MsixFunction({ sendMessage: (address, data) => { world.events.push(`${address} ${data}`) } })
  return {
    device,
    mmio: [
      { device: device.msix.table, length: 1024 }, { device: device.msix.pendingBits, length: 16 },
      { device: accesses(device.config), length: 256, likely: [0x40] },
    ],
    actions: [
      (random) => device.msix.notify(random.below(41)),
      (random) => device.config.writeConfig(0x42, 2, 0x8000 | random.value() & 0xffff),
    ],
  }
})
