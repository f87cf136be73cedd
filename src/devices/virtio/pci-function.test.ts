import { beforeEach, describe, expect, it } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import { DeviceStatus, Feature } from './bits.ts'
import { VirtioEntropy } from './entropy.ts'
import { VirtioDriver } from './testing/driver.ts'
import { attach } from './testing/function.ts'
import type { AttachedFunction } from './testing/function.ts'
import { PlainMemory } from './testing/plain-memory.ts'

const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, DEVICE_NEEDS_RESET, FAILED } = DeviceStatus

let memory: PlainMemory
let attached: AttachedFunction
let driver: VirtioDriver

beforeEach(() => {
  memory = new PlainMemory(1 << 20)
  attached = attach(new VirtioEntropy({ fill: (bytes) => bytes.fill(0x5a) }), memory)
  driver = new VirtioDriver(attached.device, memory)
})

const config = (offset: number, size: 1 | 2 | 4): number => attached.device.readConfig(offset, size)
const configure = (offset: number, size: 1 | 2 | 4, value: number): void => attached.device.writeConfig(offset, size, value)

/** Offsets of the capabilities, by their IDs. */
function capabilities(): { id: number, at: number }[] {
  const found: { id: number, at: number }[] = []
  for (let at = config(0x34, 1); at !== 0; at = config(at + 1, 1)) found.push({ id: config(at, 1), at })
  return found
}

/** A buffer made available on queue 0, and the device told. */
function ask(count = 1): void {
  for (let n = 0; n < count; n++) driver.queues[0].add([{ address: driver.allocate(8), length: 8, writable: true }])
  driver.queues[0].notify()
}

describe('the PCI function', () => {
  it('is what a modern driver looks for', () => {
    expect([config(0, 4), config(8, 4), config(0x2c, 4), config(0x3d, 1)]).toEqual([0x10441af4, 0x00ff0001, 0x11001af4, 1])
  })

  it('says where its structures are', () => {
    const structures = capabilities().filter(({ id }) => id === 9)
      .map(({ at }) => [config(at + 3, 1), config(at + 2, 1), config(at + 4, 1), config(at + 8, 4), config(at + 12, 4)])
    expect(structures).toEqual([
      [5, 20, 0, 0, 0], [1, 16, 0, 0, 0x38], [2, 20, 0, 0x3000, 4], [3, 16, 0, 0x1000, 1], [4, 16, 0, 0x2000, 0x1000],
    ])
    const msix = capabilities().at(-1)!
    expect([msix.id, config(msix.at + 2, 2), config(msix.at + 4, 4), config(msix.at + 8, 4)]).toEqual([0x11, 1, 0x4000, 0x5000])
  })

  it('can be reached through configuration space', () => {
    const { at } = capabilities()[0]
    configure(at + 8, 4, 0x14)
    configure(at + 12, 4, 1)
    configure(at + 16, 4, ACKNOWLEDGE | DRIVER)
    expect([driver.status, config(at + 16, 4), config(at + 16, 1)]).toEqual([3, 3, 3])
    for (const [offset, length, bar] of [[0x14, 3, 0], [0x13, 2, 0], [0x14, 1, 1], [0x8000, 4, 0], [0xfffffffc, 4, 0], [0x14, 0, 0]]) {
      configure(at + 4, 1, bar)
      configure(at + 8, 4, offset)
      configure(at + 12, 4, length)
      configure(at + 16, 4, 0)
      expect([config(at + 16, 4), driver.status]).toEqual([0, 3])
    }
  })
})

describe('the device status', () => {
  it('goes its way', () => {
    driver.start()
    expect(driver.status).toBe(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)
    driver.status = FAILED
    expect(driver.status).toBe(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK | FAILED)
    driver.status = 0
    expect([driver.status, driver.read(0x1c, 2), driver.read(0x18, 2)]).toEqual([0, 0, 64])
  })

  it('refuses features that were not offered, and drivers of the old kind', () => {
    for (const features of [[], [Feature.VERSION_1, 50], [Feature.RING_EVENT_IDX], [Feature.VERSION_1, 0]]) {
      driver.status = 0
      driver.status = ACKNOWLEDGE | DRIVER
      driver.chooseFeatures(features)
      driver.status = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK
      expect(driver.status).toBe(ACKNOWLEDGE | DRIVER)
    }
    driver.chooseFeatures([Feature.VERSION_1])
    driver.status |= FEATURES_OK
    driver.chooseFeatures([Feature.VERSION_1, Feature.RING_EVENT_IDX])
    driver.write(8, 4, 0)
    expect([driver.status & FEATURES_OK, driver.read(12, 4)]).toEqual([FEATURES_OK, 0])
  })

  it('shows no features beyond the 64 that there are', () => {
    expect(driver.offered()).toEqual([Feature.RING_INDIRECT_DESC, Feature.RING_EVENT_IDX, Feature.VERSION_1])
    driver.write(0, 4, 2)
    driver.write(8, 4, 0xffffffff)
    driver.write(12, 4, 0xffffffff)
    expect([driver.read(4, 4), driver.read(12, 4)]).toEqual([0, 0])
  })

  it('lets no buffer be used before DRIVER_OK, nor without bus mastering', () => {
    driver.start()
    configure(4, 2, 2)
    ask()
    expect(driver.queues[0].poll()).toEqual([])
    configure(4, 2, 6)
    expect(driver.queues[0].poll().length).toBe(1)
  })
})

describe('queues', () => {
  it('that are not there have no size and take no settings', () => {
    driver.write(0x16, 2, 1)
    for (const offset of [0x18, 0x1a, 0x1c, 0x20, 0x24]) driver.write(offset, 2, 1)
    expect([0x18, 0x1a, 0x1c, 0x1e, 0x20].map((offset) => driver.read(offset, 2))).toEqual([0, 0xffff, 0, 0, 0])
  })

  it('take sizes that are powers of two and not too large', () => {
    for (const [asked, size] of [[32, 32], [0, 32], [33, 32], [128, 32], [1, 1]]) {
      driver.write(0x18, 2, asked)
      expect(driver.read(0x18, 2)).toBe(size)
    }
  })

  it('must lie in memory, and aligned', () => {
    for (const [offset, address] of [[0x20, 0x1008], [0x28, 0x1001], [0x30, 0x1002], [0x20, 0xffff0], [0x34, 1], [0x24, 0xffffffff]]) {
      driver.start()
      driver.status = 0
      driver.status = ACKNOWLEDGE | DRIVER
      driver.chooseFeatures([Feature.VERSION_1])
      driver.status |= FEATURES_OK
      driver.write(offset, 4, address)
      driver.write(0x1c, 2, 1)
      expect(driver.status & DEVICE_NEEDS_RESET).toBe(DEVICE_NEEDS_RESET)
    }
  })

  it('cannot be moved while they are in use', () => {
    driver.start()
    driver.write(0x20, 4, 0x4000)
    driver.write(0x18, 2, 2)
    expect([driver.read(0x20, 4), driver.read(0x18, 2)]).toEqual([driver.queues[0].descriptors, 16])
  })
})

describe('interrupts', () => {
  it('come by INTx until the status is read', () => {
    driver.start()
    ask()
    expect([attached.line.asserted, config(6, 2) & 8, driver.isr, attached.line.asserted, driver.isr]).toEqual([true, 8, 1, false, 0])
  })

  it('come as messages once MSI-X is on', () => {
    driver.start()
    for (const [vector, data] of [[0, 0x40], [1, 0x41]]) {
      [0xfee00000, 0, data, 0].forEach((value, word) => driver.write(0x4000 + 16 * vector + 4 * word, 4, value))
    }
    const msix = capabilities().at(-1)!.at
    configure(msix + 2, 2, 0x8000)
    ask()
    expect([attached.messages, attached.line.asserted, driver.isr]).toEqual([[[0xfee00000, 0x41]], false, 0])
    driver.write(0x1a, 2, 7)
    expect(driver.read(0x1a, 2)).toBe(0xffff)
    driver.write(0x10, 2, 0)
    driver.queues[0].publish(999)
    driver.queues[0].notify()
    expect([attached.messages.at(-1), driver.status & DEVICE_NEEDS_RESET]).toEqual([[0xfee00000, 0x40], DEVICE_NEEDS_RESET])
  })

  it('are not sent to a driver that wants none', () => {
    driver.start()
    driver.queues[0].wantInterrupt(-1)
    ask()
    expect([driver.isr, driver.queues[0].poll().length]).toEqual([0, 1])
  })

  it('are sent when the event index is passed, and notifications asked for likewise', () => {
    driver.start([Feature.RING_EVENT_IDX])
    const [queue] = driver.queues
    queue.wantInterrupt(2)
    for (const [count, isr] of [[1, 0], [1, 0], [1, 1], [5, 0]]) {
      ask(count)
      expect(driver.isr).toBe(isr)
    }
    expect(queue.poll().length).toBe(8)
    queue.wantInterrupt(0)
    expect(queue.notificationWanted).toBe(true)
    queue.add([{ address: driver.allocate(8), length: 8, writable: true }])
    queue.notify()
    expect(driver.isr).toBe(1)
  })

  it('survive the wrap of the indices', () => {
    driver.start([Feature.RING_EVENT_IDX], 4)
    const [queue] = driver.queues
    const address = driver.allocate(8)
    let interrupts = 0
    for (let round = 0; round < 70_000; round++) {
      queue.wantInterrupt(0)
      queue.add([{ address, length: 8, writable: true }])
      queue.notify()
      interrupts += queue.poll().length & driver.isr
    }
    expect(interrupts).toBe(70_000)
  })
})

it('survives a restore in the middle of things', () => {
  driver.start([Feature.RING_EVENT_IDX])
  ask(3)
  const copy = attach(new VirtioEntropy({ fill: (bytes) => bytes.fill(0x5a) }), memory)
  copy.device.restore(attached.device.save())
  expect(copy.device.save()).toEqual(attached.device.save())
  expect([copy.line.asserted, copy.device.registers.readMmio(0x14, 1)]).toEqual([true, 0x0f])
})

it('gives random bytes, as many as there is room for', () => {
  driver.start()
  const address = driver.allocate(10_000)
  driver.queues[0].add([{ address, length: 3, writable: true }, { address: address + 3, length: 9000, writable: true }])
  driver.queues[0].add([{ address, length: 8, writable: false }])
  driver.queues[0].notify()
  expect(driver.queues[0].poll().map(({ length }) => length)).toEqual([4096, 0])
  expect([memory.readU8(gpa(address + 4095)), memory.readU8(gpa(address + 4096))]).toEqual([0x5a, 0])
})
