import { gpa } from '../../../base/addresses.ts'
import { Random } from '../../../base/testing/random.ts'
import { DescriptorFlag, DeviceStatus, Feature } from '../bits.ts'
import type { VirtioDevice } from '../device.ts'
import type { VirtioPciFunction } from '../pci-function.ts'
import { VirtioDriver } from './driver.ts'
import { attach } from './function.ts'
import { PlainMemory } from './plain-memory.ts'

/**
 * A driver that does what comes into its mind: chains that are nearly right, random memory as rings, random registers, restores in
 * between. A device that throws or does not come back fails the test; whatever else it does is the guest's own fault.
 */
export const HOSTILE_MEMORY = 1 << 18

const ROUNDS = 400
const STEPS = 40
const QUEUE_SIZE = 16
const { NEXT, WRITE, INDIRECT } = DescriptorFlag

/** What requests of a device look like: how many readable and writable buffers, the length of the first, and words it often begins with. */
export interface RequestShape {
  readonly buffers: readonly (readonly [readable: number, writable: number])[]
  readonly header: number
  readonly words?: readonly (readonly number[])[]
}

/** `build` makes the device, again for each restore; `between` is what the host does. */
export function surviveHostileDriver(
  build: () => VirtioDevice, shape: RequestShape, seed: number, between: (random: Random) => void = () => undefined,
): void {
  const random = new Random(seed)
  const memory = new PlainMemory(HOSTILE_MEMORY)
  let device = build()
  let pciFunction = attach(device, memory).device
  for (let round = 0; round < ROUNDS; round++) {
    for (let n = 0; n < 4 * QUEUE_SIZE; n++) between(random)
    const features = [Feature.RING_INDIRECT_DESC, Feature.RING_EVENT_IDX, ...device.features].filter(() => random.below(3) !== 0)
    const driver = new VirtioDriver(pciFunction, memory).start(features, QUEUE_SIZE)
    for (let step = 0; step < STEPS && (driver.status & DeviceStatus.DEVICE_NEEDS_RESET) === 0; step++) {
      harass(random, shape, driver, pciFunction)
      between(random)
    }
    if (random.below(4) !== 0) continue
    const saved = pciFunction.save()
    device = build()
    pciFunction = attach(device, memory).device
    pciFunction.restore(saved)
    pciFunction.resume()
  }
}

function harass(random: Random, shape: RequestShape, driver: VirtioDriver, pciFunction: VirtioPciFunction): void {
  const queue = random.pick(driver.queues)
  const head = random.below(QUEUE_SIZE)
  writeChain(random, shape, driver, queue.descriptors, head)
  if (random.below(10) === 0) driver.memory.writeU32(gpa(0x1000 + random.below(0x2000) & ~3), random.value())
  if (random.below(20) === 0) pciFunction.registers.writeMmio(random.below(0x6000) & ~3, 4, plausible(random))
  queue.publish(random.below(20) === 0 ? random.below(20) : head)
  queue.notify()
}

/** A request, or an indirect table with one; now and then something is wrong with it. */
function writeChain(random: Random, shape: RequestShape, driver: VirtioDriver, table: number, head: number): void {
  if (random.below(4) !== 0) return writeRequest(random, shape, driver, table, head)
  const inner = randomAddress(random)
  driver.queues[0].writeDescriptor(table + 16 * head, inner, 16 * QUEUE_SIZE, INDIRECT ^ slip(random), random.below(QUEUE_SIZE))
  writeRequest(random, shape, driver, inner, 0)
}

function writeRequest(random: Random, shape: RequestShape, driver: VirtioDriver, table: number, head: number): void {
  const [readable, writable] = random.pick(shape.buffers)
  let at = head
  for (let index = 0; index < readable + writable; index++) {
    const next = at + 1 + random.below(3) & QUEUE_SIZE - 1
    const flags = (index < readable ? 0 : WRITE) | (index + 1 < readable + writable ? NEXT : 0)
    const address = randomAddress(random)
    const usual = index === 0 && random.below(12) !== 0 ? shape.header : random.pick(LENGTHS)
    const length = random.below(40) === 0 ? plausible(random) : usual
    driver.queues[0].writeDescriptor(table + 16 * at, address, length, flags ^ slip(random), next)
    if (index === 0) writeHeader(random, shape, driver, address)
    at = next
  }
}

const LENGTHS = [1, 16, 32, 44, 512, 513, 1024, 4096]

function randomAddress(random: Random): number { return 0x4000 + random.below(HOSTILE_MEMORY / 16 - 0x800) * 16 }

/** Wrong flags, seldom. */
function slip(random: Random): number { return random.below(40) === 0 ? random.below(8) : 0 }

function writeHeader(random: Random, { words = [] }: RequestShape, driver: VirtioDriver, address: number): void {
  const some = random.below(4) === 0 || words.length === 0
  const chosen = some ? Array.from({ length: 12 }, () => plausible(random)) : random.pick(words)
  chosen.forEach((word, index) => driver.memory.writeU32(gpa(address + 4 * index), word))
}

function plausible(random: Random): number {
  switch (random.below(5)) {
    case 0: return random.below(16)
    case 1: return random.below(HOSTILE_MEMORY)
    case 2: return random.below(8) | random.below(16) << 16
    case 3: return random.pick([0, 1, 512, 4096, 0xffff])
    default: return random.value()
  }
}
