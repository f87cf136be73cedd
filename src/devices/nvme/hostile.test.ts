import { expect, test } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import { deviceContract } from '../testing/contract.ts'
import type { World } from '../testing/contract.ts'
import { Random } from '../../base/testing/random.ts'
import { DriverQueue, NvmeDriver, Register, newMemory } from './testing/driver.ts'
import { FakeDisk } from './testing/fake-disk.ts'

/** Random accesses and commands, mostly nonsense. */
function disturb(driver: NvmeDriver, random: Random): void {
  const offset = random.pick([0x14, 0x1c, 0x24, 0x28, 0x30, 0x1000, 0x1004, 0x1008, 0x100c, 0x1010, random.below(0x4000) & ~3])
  switch (random.below(8)) {
    case 0: return driver.writeRegister(offset, random.value())
    case 1: return driver.writeRegister(0x1000 + 4 * random.below(6), random.below(70))
    case 2: return driver.memory.write(gpa(random.below(driver.memory.lowSize)), Uint8Array.from({ length: 64 }, () => random.u32()))
    case 3: return void driver.readRegister(offset)
    default: return command(driver, random)
  }
}

const QUEUES = [0, 1, 2].map((id) => new DriverQueue(id, 0x10000 + id * 0x2000, 0x20000 + id * 0x2000, id === 0 ? 16 : 64))

function command(driver: NvmeDriver, random: Random): void {
  const size = driver.memory.lowSize
  const queue = random.pick(QUEUES)
  queue.tail = random.below(queue.size - 1)
  const address = (): number => random.pick([random.below(size) & ~7, random.below(size) & ~0xfff, random.value(), size - 8])
  const dwords = [random.value(), random.pick([0, 3, 0x10003, random.value()]), random.pick([0, random.below(64), random.value()])]
  driver.submit(queue, {
    opcode: random.pick([0, 1, 2, 5, 6, 8, 9, 10, 12, random.below(256)]), namespace: random.pick([1, 2, 0, random.value()]),
    prp1: address(), prp2: address(), dwords: random.below(2) ? dwords : [random.below(2100), 0, dwords[2]],
    flags: random.below(8) ? 0 : random.below(256), id: random.below(65536),
  })
}

/** Reads, writes and flushes as a driver may ask for them, of a page at most. Some come again, from before in the ring. */
function plainCommand(driver: NvmeDriver, random: Random): void {
  const queue = random.pick(QUEUES.slice(1))
  queue.tail = random.below(16)
  driver.submit(queue, {
    opcode: random.pick([0, 1, 1, 2, 2, 8]), namespace: 1, prp1: 0x1000 * random.below(16),
    dwords: [random.below(100), 0, random.below(8)], id: random.below(65536),
  })
  driver.writeRegister(Register.DOORBELLS + 8 * queue.id + 4, random.below(queue.size))
}

/** A controller with queues 1 and 2, whatever it was before; its disks have answered. */
function restart(driver: NvmeDriver, disks: readonly FakeDisk[] = []): void {
  driver.writeRegister(Register.CC, 0)
  answerAll(disks)
  Object.assign(driver.admin, QUEUES[0], { tail: 0, head: 0, phase: 1, nextId: 1 })
  driver.memory.write(gpa(driver.admin.completionBase), new Uint8Array(4096))
  driver.configure()
  driver.enable()
  for (const { id, size, submissionBase, completionBase } of QUEUES.slice(1)) {
    driver.run({ opcode: 0x05, prp1: completionBase, dwords: [size - 1 << 16 | id, id << 16 | 3] })
    driver.run({ opcode: 0x01, prp1: submissionBase, dwords: [size - 1 << 16 | id, id << 16 | 1] })
  }
}

function answerAll(disks: readonly FakeDisk[]): void {
  while (disks.some(({ waiting }) => waiting.length > 0)) for (const disk of disks) disk.answer()
}

test('no guest hurts the controller', () => {
  let written = 0
  for (let seed = 1; seed <= 12; seed++) {
    const random = new Random(seed)
    const disks = [new FakeDisk(1 << 20), new FakeDisk(1 << 16, { blockSize: 4096 })]
    let driver = new NvmeDriver(disks)
    restart(driver)
    for (let step = 0; step < 1500; step++) {
      for (const disk of disks) {
        disk.isDeferred = random.below(2) === 1
        disk.status = random.pick(['ok', 'ok', 'io-error', 'no-space', 'unsupported'])
        if (random.below(4) === 0 && disk.waiting.length > 0) disk.answer(random.below(disk.waiting.length))
      }
      disturb(driver, random)
      if (random.below(200) === 0) {
        driver = driver.moved(disks)
        driver.device.resume()
      }
      if (random.below(100) !== 0) continue
      restart(driver, disks)
      expect(driver.readRegister(Register.CSTS)).toBe(1)
    }
    written += disks[0].log.filter((line) => line.startsWith('write')).length
  }
  expect(written).toBeGreaterThan(100)
})

const CONTRACT_MEMORY = 0x30000

/** A controller, its guest's memory and its disk: what comes of a command depends on all three. */
class ControllerWithMemory implements Stateful {
  readonly schema = 'nvme-with-memory'
  readonly version = 1
  readonly driver: NvmeDriver
  private readonly disk: FakeDisk

  constructor(driver: NvmeDriver, disk: FakeDisk) {
    this.driver = driver
    this.disk = disk
    disk.content.fill(0)
  }

  save(): PlainData {
    const ram = Buffer.from(this.driver.bytes(0, CONTRACT_MEMORY)).toString('latin1')
    return { device: this.driver.device.save(), ram, disk: Buffer.from(this.disk.content).toString('latin1') }
  }

  restore(state: PlainData): void {
    const { device, ram, disk } = Object(state) as { device: PlainData, ram: PlainData, disk: PlainData }
    this.driver.memory.write(gpa(0), Buffer.from(String(ram), 'latin1').subarray(0, CONTRACT_MEMORY))
    this.disk.content.set(Buffer.from(String(disk), 'latin1').subarray(0, this.disk.size))
    this.driver.device.restore(device)
  }

  reset(): void {
    this.driver.memory.write(gpa(0), new Uint8Array(CONTRACT_MEMORY))
    this.driver.device.reset()
    this.disk.content.fill(0)
    this.disk.waiting.length = 0
  }

  resume(): void { this.driver.device.resume() }
}

const LIKELY = [0x14, 0x24, 0x28, 0x30, 0x0c, 0x10, 0x1000, 0x1004, 0x1008, 0x2000, 0x200c]

function contractDriver(world: World, disk: FakeDisk): NvmeDriver {
  return new NvmeDriver([disk], newMemory(CONTRACT_MEMORY), {
    line: world.line(), clock: world.clock, messages: { sendMessage: (address, data) => world.events.push(`${address} ${data}`) },
  })
}

deviceContract('NVMe', (world) => {
  const disk = new FakeDisk(1 << 16)
  const driver = contractDriver(world, disk)
  const configRegister = (random: Random): number => random.below(0x50) & ~3
  return {
    device: new ControllerWithMemory(driver, disk),
    mmio: [{ device: driver.device.registers, length: 0x4000, likely: LIKELY }],
    actions: [
      (random) => random.below(8) === 0 ? restart(driver) : command(driver, random), (random) => command(driver, random),
      (random) => driver.device.writeConfig(configRegister(random), 4, random.value()),
      (random) => driver.device.readConfig(configRegister(random), 4),
    ],
  }
})

deviceContract('NVMe, with requests outstanding', (world) => {
  const disk = new FakeDisk(1 << 16)
  disk.isDeferred = true
  const driver = contractDriver(world, disk)
  const ask = (random: Random): void => plainCommand(driver, random)
  const answer = (): number => {
    const { length } = disk.waiting
    answerAll([disk])
    return length
  }
  return {
    device: new ControllerWithMemory(driver, disk),
    mmio: [{ device: driver.device.registers, length: 0x4000, likely: [...LIKELY, 0x1000, 0x1000] }],
    actions: [(random) => random.below(2) === 0 ? restart(driver, [disk]) : ask(random), ask, ask, ask, ask, ask, ask, answer],
  }
})
