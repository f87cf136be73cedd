import { gpa } from '../../../base/addresses.ts'
import type { PortSize } from '../../../machine/io.ts'
import { PciCommand } from '../../pci/config-space.ts'
import { DescriptorFlag, DeviceStatus, Feature } from '../bits.ts'
import { Region } from '../pci-capabilities.ts'
import type { VirtioPciFunction } from '../pci-function.ts'
import type { PlainMemory } from './plain-memory.ts'

/**
 * A driver of virtio devices, for tests: what a guest's kernel does, in small. It finds its way by fixed offsets, as our devices have
 * them; that they are announced rightly is tested apart, and by real guests.
 */
export class VirtioDriver {
  readonly queues: DriverQueue[] = []
  readonly memory: PlainMemory
  private readonly device: VirtioPciFunction
  private top: number

  /** Memory from `base` on is the driver's. */
  constructor(device: VirtioPciFunction, memory: PlainMemory, base = 0x1000) {
    this.device = device
    this.memory = memory
    this.top = base
  }

  read(offset: number, size: PortSize): number { return this.device.registers.readMmio(offset, size) }
  write(offset: number, size: PortSize, value: number): void { this.device.registers.writeMmio(offset, size, value) }

  get status(): number { return this.read(0x14, 1) }
  set status(value: number) { this.write(0x14, 1, value) }
  get isr(): number { return this.read(Region.ISR, 1) }

  offered(): number[] {
    return Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => {
      this.write(0, 4, bit >> 5)
      return (this.read(4, 4) >>> (bit & 31) & 1) !== 0
    })
  }

  /** §3.1.1: from reset to DRIVER_OK, with these features and VERSION_1, and with queues of this size. */
  start(features: readonly number[] = [], queueSize = 16): this {
    this.device.writeConfig(4, 2, PciCommand.MEMORY_SPACE | PciCommand.BUS_MASTER)
    this.status = 0
    this.status = DeviceStatus.ACKNOWLEDGE
    this.status |= DeviceStatus.DRIVER
    this.chooseFeatures([...features, Feature.VERSION_1])
    this.status |= DeviceStatus.FEATURES_OK
    this.queues.length = 0
    const count = this.read(0x12, 2)
    for (let index = 0; index < count; index++) this.queues.push(this.setUp(index, queueSize, features))
    this.status |= DeviceStatus.DRIVER_OK
    return this
  }

  chooseFeatures(features: readonly number[]): void {
    for (const word of [0, 1]) {
      this.write(8, 4, word)
      this.write(12, 4, features.filter((bit) => bit >> 5 === word).reduce((bits, bit) => (bits | 1 << (bit & 31)) >>> 0, 0))
    }
  }

  allocate(length: number, alignment = 16): number {
    const at = Math.ceil(this.top / alignment) * alignment
    this.top = at + length
    if (this.top > this.memory.lowSize) throw new Error('the test needs more memory')
    return at
  }

  private setUp(index: number, size: number, features: readonly number[]): DriverQueue {
    this.write(0x16, 2, index)
    const most = this.read(0x18, 2)
    const queue = new DriverQueue(this, index, Math.min(size, most), features)
    this.write(0x18, 2, queue.size)
    for (const [offset, address] of [[0x20, queue.descriptors], [0x28, queue.available], [0x30, queue.used]]) {
      this.write(offset, 4, address)
      this.write(offset + 4, 4, 0)
    }
    this.write(0x1a, 2, index + 1)
    this.write(0x1c, 2, 1)
    return queue
  }
}

export interface UsedElement { readonly head: number, readonly length: number }

/** A buffer of a chain. */
export interface DriverBuffer { readonly address: number, readonly length: number, readonly writable: boolean }

export class DriverQueue {
  readonly descriptors: number
  readonly available: number
  readonly used: number
  readonly size: number
  readonly index: number
  private readonly driver: VirtioDriver
  private readonly eventIndex: boolean
  private readonly free: number[]
  private readonly chains = new Map<number, number[]>()
  private added = 0
  private seen = 0

  constructor(driver: VirtioDriver, index: number, size: number, features: readonly number[]) {
    this.driver = driver
    this.index = index
    this.size = size
    this.eventIndex = features.includes(Feature.RING_EVENT_IDX)
    this.descriptors = driver.allocate(16 * size)
    this.available = driver.allocate(6 + 2 * size)
    this.used = driver.allocate(6 + 8 * size)
    driver.memory.bytes.fill(0, this.descriptors, this.used + 6 + 8 * size)
    this.free = Array.from({ length: size }, (_, head) => size - 1 - head)
  }

  /** Descriptors that are not in use. */
  get room(): number { return this.free.length }

  /** Makes a chain available, and returns its head. With `table`, an address, the chain is an indirect table there. */
  add(buffers: readonly DriverBuffer[], table?: number): number {
    const heads = buffers.slice(0, table === undefined ? undefined : 1).map(() => this.free.pop()!)
    if (table === undefined) this.writeTable(this.descriptors, buffers, heads)
    else {
      this.writeTable(table, buffers, buffers.map((_, index) => index))
      this.writeDescriptor(this.descriptors + 16 * heads[0], table, 16 * buffers.length, DescriptorFlag.INDIRECT, 0)
    }
    this.chains.set(heads[0], heads)
    this.publish(heads[0])
    return heads[0]
  }

  /** Puts a head into the ring, whatever it is. */
  publish(head: number): void {
    const { memory } = this.driver
    memory.writeU16(gpa(this.available + 4 + 2 * (this.added % this.size)), head)
    this.added = this.added + 1 & 0xffff
    memory.writeU16(gpa(this.available + 2), this.added)
  }

  writeDescriptor(at: number, address: number, length: number, flags: number, next: number): void {
    const { memory } = this.driver
    memory.writeU64(gpa(at), BigInt(address))
    memory.writeU32(gpa(at + 8), length)
    memory.writeU16(gpa(at + 12), flags)
    memory.writeU16(gpa(at + 14), next)
  }

  notify(): void { this.driver.write(Region.NOTIFY + 4 * this.index, 2, this.index) }

  /** Whether the device asked to be notified of the next chain. */
  get notificationWanted(): boolean {
    const { memory } = this.driver
    if (!this.eventIndex) return (memory.readU16(gpa(this.used)) & 1) === 0
    return memory.readU16(gpa(this.used + 4 + 8 * this.size)) === this.added
  }

  /** Asks for an interrupt once `ahead` more chains than were seen have been used; -1 for none, without event indices. */
  wantInterrupt(ahead: number): void {
    const { memory } = this.driver
    if (this.eventIndex) memory.writeU16(gpa(this.available + 4 + 2 * this.size), this.seen + ahead & 0xffff)
    else memory.writeU16(gpa(this.available), ahead < 0 ? 1 : 0)
  }

  /** Chains that came back since the last call. */
  poll(): UsedElement[] {
    const { memory } = this.driver
    const elements: UsedElement[] = []
    for (const end = memory.readU16(gpa(this.used + 2)); this.seen !== end; this.seen = this.seen + 1 & 0xffff) {
      const at = this.used + 4 + 8 * (this.seen % this.size)
      const head = memory.readU32(gpa(at))
      this.free.push(...this.chains.get(head) ?? [])
      this.chains.delete(head)
      elements.push({ head, length: memory.readU32(gpa(at + 4)) })
    }
    return elements
  }

  private writeTable(table: number, buffers: readonly DriverBuffer[], places: readonly number[]): void {
    buffers.forEach(({ address, length, writable }, index) => {
      const flags = (index + 1 < buffers.length ? DescriptorFlag.NEXT : 0) | (writable ? DescriptorFlag.WRITE : 0)
      this.writeDescriptor(table + 16 * places[index], address, length, flags, places[index + 1] ?? 0)
    })
  }
}
