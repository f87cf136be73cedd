import { gpa } from '../../../base/addresses.ts'
import type { PlainData, Stateful } from '../../../machine/lifecycle.ts'
import { StateReader } from '../../../machine/state-reader.ts'
import type { Subject } from '../../testing/contract.ts'
import type { Random } from '../../../base/testing/random.ts'
import { DescriptorFlag, DeviceStatus, Feature } from '../bits.ts'
import { Region } from '../pci-capabilities.ts'
import type { VirtioPciFunction } from '../pci-function.ts'
import { PlainMemory } from './plain-memory.ts'

/**
 * A device with the memory of its guest, as one part: for the contract suite, where whatever the outcome depends on must be in what
 * is saved. Its driver keeps nothing outside that memory.
 *
 *   queue q at 0x400 * (q + 1)   descriptors, 0x100 available ring, 0x200 used ring; 16 entries; 0x3f0 what the driver keeps
 *   slot s of queue q            descriptors 4 s to 4 s + 3, buffers of 512 bytes each from 0x4000 + 0x2000 q + 0x800 s
 */
export const GUEST_MEMORY = 1 << 16
const QUEUES = 6
const SIZE = 16
const SLOTS = 4
const [AVAILABLE, USED, SEEN, BUSY] = [0x100, 0x200, 0x3f0, 0x3f4]

/** A back end whose doings belong to what is compared. */
export interface SavedBackend {
  save(): PlainData
  restore(state: PlainData): void
  reset(): void
}

export const NO_BACKEND: SavedBackend = { save: () => null, restore: () => undefined, reset: () => undefined }

/** Lengths of a request's readable and writable buffers; at most four in all. `header` are the first words of the first. */
export interface PlannedRequest {
  readonly readable: readonly number[]
  readonly writable: readonly number[]
  readonly header?: readonly number[]
}

export class GuestPart implements Stateful {
  readonly schema = 'guest-with-device'
  readonly version = 1
  readonly memory: PlainMemory
  readonly function: VirtioPciFunction
  private readonly backend: SavedBackend

  constructor(build: (memory: PlainMemory) => VirtioPciFunction, backend: SavedBackend = NO_BACKEND) {
    this.memory = new PlainMemory(GUEST_MEMORY)
    this.function = build(this.memory)
    this.backend = backend
  }

  save(): PlainData { return { memory: packed(this.memory.bytes), function: this.function.save(), backend: this.backend.save() } }

  restore(saved: PlainData): void {
    unpack(new StateReader(this.schema, saved), saved, 'memory', this.memory.bytes)
    const state = saved as { function: PlainData, backend: PlainData }
    this.backend.restore(state.backend)
    this.function.restore(state.function)
  }

  reset(): void {
    this.memory.bytes.fill(0)
    this.backend.reset()
    this.function.reset()
  }

  resume(): void { this.function.resume() }

  /** From reset to DRIVER_OK, on rings that are empty; only a reset where that takes its time. */
  start(features: readonly number[]): void {
    this.function.writeConfig(4, 2, 6)
    this.write(0x14, 1, 0)
    if (this.function.registers.readMmio(0x14, 1) !== 0) return
    this.write(0x14, 1, DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER)
    for (const word of [0, 1]) {
      this.write(8, 4, word)
      const bits = [...features, Feature.VERSION_1].filter((bit) => bit >> 5 === word)
      this.write(12, 4, bits.reduce((sum, bit) => (sum | 1 << (bit & 31)) >>> 0, 0))
    }
    this.write(0x14, 1, DeviceStatus.FEATURES_OK)
    for (let queue = 0; queue < QUEUES; queue++) this.setUp(queue)
    this.write(0x14, 1, DeviceStatus.DRIVER_OK)
  }

  /** Makes a request available, if its slot is not in use. */
  post(queue: number, slot: number, { readable, writable, header = [] }: PlannedRequest): void {
    const buffers = [...readable.map((length) => [length, 0]), ...writable.map((length) => [length, DescriptorFlag.WRITE])]
    const base = 0x400 * (queue + 1)
    this.poll(base)
    if (this.memory.readU8(gpa(base + BUSY + slot)) !== 0) return
    this.memory.writeU8(gpa(base + BUSY + slot), 1)
    buffers.forEach(([length, flag], index) => {
      const at = base + 16 * (4 * slot + index)
      const address = 0x4000 + 0x2000 * queue + 0x800 * slot + 0x200 * index
      this.memory.writeU64(gpa(at), BigInt(address))
      this.memory.writeU32(gpa(at + 8), length)
      this.memory.writeU16(gpa(at + 12), flag | (index + 1 < buffers.length ? DescriptorFlag.NEXT : 0))
      this.memory.writeU16(gpa(at + 14), 4 * slot + index + 1)
      if (index === 0) header.forEach((word, place) => this.memory.writeU32(gpa(address + 4 * place), word))
    })
    const index = this.memory.readU16(gpa(base + AVAILABLE + 2))
    this.memory.writeU16(gpa(base + AVAILABLE + 4 + 2 * (index % SIZE)), 4 * slot)
    this.memory.writeU16(gpa(base + AVAILABLE + 2), index + 1 & 0xffff)
    this.write(Region.NOTIFY + 4 * queue, 2, queue)
  }

  /** Slots whose requests came back are free again. */
  private poll(base: number): void {
    const end = this.memory.readU16(gpa(base + USED + 2))
    for (let seen = this.memory.readU16(gpa(base + SEEN)); seen !== end; seen = seen + 1 & 0xffff) {
      const head = this.memory.readU32(gpa(base + USED + 4 + 8 * (seen % SIZE)))
      this.memory.writeU8(gpa(base + BUSY + (head >> 2) % SLOTS), 0)
    }
    this.memory.writeU16(gpa(base + SEEN), end)
  }

  private setUp(queue: number): void {
    const base = 0x400 * (queue + 1)
    this.memory.bytes.fill(0, base, base + 0x400)
    this.write(0x16, 2, queue)
    this.write(0x18, 2, SIZE);
    [base, 0, base + AVAILABLE, 0, base + USED, 0].forEach((word, index) => this.write(0x20 + 4 * index, 4, word))
    this.write(0x1a, 2, queue % 2)
    this.write(0x1c, 2, 1)
  }

  private write(offset: number, size: 1 | 2 | 4, value: number): void { this.function.registers.writeMmio(offset, size, value) }
}

/** Bytes as a string: many of them are compared faster so. */
export function packed(bytes: Uint8Array): string { return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1') }

export function unpack(reader: StateReader, saved: PlainData, field: string, into: Uint8Array): void {
  const value = (saved as Record<string, unknown>)[field]
  if (typeof value !== 'string' || value.length !== into.length) throw reader.invalid(field, `does not hold ${into.length} bytes`)
  for (let index = 0; index < into.length; index++) into[index] = value.charCodeAt(index)
}

/** A device under the contract suite: random registers, and requests that `plan` gives for each queue. */
export function guestSubject(
  part: GuestPart, features: readonly number[], queues: number, plan: (random: Random, queue: number) => PlannedRequest,
  actions: Subject['actions'] = [], wires: Subject['wires'] = undefined,
): Subject {
  const post = (random: Random): void => {
    const queue = random.below(queues)
    part.post(queue, random.below(SLOTS), plan(random, queue))
  }
  const start = (random: Random): void => part.start(features.filter(() => random.below(4) !== 0))
  const config = {
    readMmio: (offset: number, size: 1 | 2 | 4) => part.function.readConfig(offset, size),
    writeMmio: (offset: number, size: 1 | 2 | 4, value: number) => part.function.writeConfig(offset, size, value),
  }
  return {
    device: part, wires,
    mmio: [
      { device: part.function.registers, length: Region.END, likely: [0, 4, 0x14, 0x16, 0x1000, 0x2000, 0x2020, 0x3000] },
      { device: config, length: 256, likely: [0x04, 0x50, 0x98] },
    ],
    actions: [start, post, post, post, post, post, post, post, ...actions, ...actions],
  }
}
