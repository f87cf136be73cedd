import { gpa } from '../../base/addresses.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import { isRam } from '../../machine/memory.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import type { StateReader } from '../../machine/state-reader.ts'
import { DESCRIPTOR_SIZE, DescriptorFlag, NO_INTERRUPT, NO_NOTIFY } from './bits.ts'
import { MAXIMUM_CHAIN } from './descriptor-chain.ts'
import type { DescriptorChain } from './descriptor-chain.ts'

/**
 * A split virtqueue, as its device uses it. Source: VIRTIO 1.2, §2.7.
 *
 *   descriptor area   size * { 0 address (8), 8 length (4), 12 flags (2), 14 next (2) }
 *   driver area       0 flags, 2 idx, 4 ring[size], 4 + 2 * size used_event            (the available ring; 16 bits each)
 *   device area       0 flags, 2 idx, 4 ring[size] of { id (4), length (4) }, 4 + 8 * size avail_event   (the used ring)
 *
 * Everything is read and written where it lies in guest memory, and a ring is believed in nothing: what the driver cannot mean
 * breaks the queue (`QueueOwner.broken`), and it gives no more chains. A chain that was taken is *outstanding* until it is completed;
 * no head may be taken twice, which bounds what a device can be made to hold. Outstanding heads are part of the state: after a
 * restore the device gets their chains again.
 *
 * Left out on purpose: packed virtqueues, in-order use.
 */

/** What a queue asks of the device function it belongs to. */
export interface QueueOwner {
  /** The device may use its queues: the driver is ready, and nothing is broken. */
  readonly running: boolean
  readonly indirectDescriptors: boolean
  readonly eventIndex: boolean
  /** Interrupts the driver for this queue. */
  interrupt(queue: Virtqueue): void
  /** The driver has made nonsense of this queue. */
  broken(queue: Virtqueue): void
  /** The last outstanding chain was completed. */
  drained(queue: Virtqueue): void
}

export type VirtqueueState = { readonly [key: string]: PlainData }

const LARGEST_ADDRESS = 2 ** 52

export class Virtqueue {
  readonly index: number
  readonly maximumSize: number
  /** Set by the driver before it enables the queue. */
  size: number
  descriptorArea = 0
  driverArea = 0
  deviceArea = 0
  enabled = false
  /** Chains taken and not completed. */
  outstanding = 0
  private readonly memory: GuestMemory
  private readonly owner: QueueOwner
  private readonly taken: Uint8Array
  /** Free-running 16-bit counters: chains taken, chains completed, and the latter when the driver was interrupted last. */
  private nextAvailable = 0
  private used = 0
  private signalled = 0

  /** `maximumSize` is a power of two up to 32768. */
  constructor(index: number, maximumSize: number, memory: GuestMemory, owner: QueueOwner) {
    this.index = index
    this.maximumSize = maximumSize
    this.size = maximumSize
    this.memory = memory
    this.owner = owner
    this.taken = new Uint8Array(maximumSize)
  }

  /** The three areas are aligned (§2.7) and in RAM. */
  get wellPlaced(): boolean {
    const { size, descriptorArea, driverArea, deviceArea } = this
    return descriptorArea % 16 === 0 && driverArea % 2 === 0 && deviceArea % 4 === 0
      && isRam(this.memory, descriptorArea, size * DESCRIPTOR_SIZE)
      && isRam(this.memory, driverArea, 6 + 2 * size) && isRam(this.memory, deviceArea, 6 + 8 * size)
  }

  /** Chains that the driver has made available and nobody has taken yet; 0 if the queue cannot be used. */
  get waiting(): number {
    if (!this.enabled || !this.owner.running) return 0
    const waiting = (this.memory.readU16(gpa(this.driverArea + 2)) - this.nextAvailable) & 0xffff
    if (waiting <= this.size) return waiting
    this.owner.broken(this)
    return 0
  }

  /** Takes the next chain. False: there is none; the driver will notify when there is. */
  take(chain: DescriptorChain): boolean {
    if (!this.peek(chain)) return false
    this.consume(chain)
    return true
  }

  /** Looks at the next chain, for a device that may have nothing to put into it; `consume` takes it. False as for `take`. */
  peek(chain: DescriptorChain): boolean {
    if (this.waiting === 0) {
      this.wantNotification()
      if (this.waiting === 0) return false
    }
    const head = this.memory.readU16(gpa(this.driverArea + 4 + 2 * (this.nextAvailable & this.size - 1)))
    if (head < this.size && this.taken[head] === 0 && this.walk(head, chain)) return true
    this.owner.broken(this)
    return false
  }

  /** Takes the chain that `peek` showed. */
  consume({ head }: DescriptorChain): void {
    this.nextAvailable = this.nextAvailable + 1 & 0xffff
    this.taken[head] = 1
    this.outstanding++
  }

  /** The last `count` chains that were consumed, in their order, are as if nobody had taken them. */
  putBack(heads: Uint16Array, count: number): void {
    for (let index = 0; index < count; index++) this.taken[heads[index]] = 0
    this.outstanding -= count
    this.nextAvailable = this.nextAvailable - count & 0xffff
  }

  /** Gives a chain back, `length` bytes of it written. The driver is interrupted by `signal`. */
  complete(head: number, length: number): void {
    this.taken[head] = 0
    this.outstanding--
    if (this.owner.running) {
      const element = this.deviceArea + 4 + 8 * (this.used & this.size - 1)
      this.memory.writeU32(gpa(element), head)
      this.memory.writeU32(gpa(element + 4), length)
      this.used = this.used + 1 & 0xffff
      this.memory.writeU16(gpa(this.deviceArea + 2), this.used)
    }
    if (this.outstanding === 0) this.owner.drained(this)
  }

  /** Interrupts the driver if chains were completed that it wants to hear of. §2.7.7. */
  signal(): void {
    if (this.used === this.signalled || !this.owner.running) return
    const wanted = this.interruptWanted()
    this.signalled = this.used
    if (wanted) this.owner.interrupt(this)
  }

  /** Tells the driver that the device does not care for further chains. `take` takes it back when it finds none. §2.7.10. */
  suppressNotification(): void {
    if (this.enabled && this.owner.running && !this.owner.eventIndex) this.memory.writeU16(gpa(this.deviceArea), NO_NOTIFY)
  }

  /** Reads an outstanding chain again. False: its driver has spoilt it. */
  again(head: number, chain: DescriptorChain): boolean { return this.walk(head, chain) }

  /** Calls `handle` with each outstanding chain again: after a restore. */
  retake(chain: DescriptorChain, handle: () => void): void {
    for (let head = 0; head < this.size; head++) {
      if (this.taken[head] === 0) continue
      if (this.walk(head, chain)) handle()
      else this.forget(head)
    }
  }

  reset(): void {
    this.size = this.maximumSize
    this.descriptorArea = this.driverArea = this.deviceArea = 0
    this.nextAvailable = this.used = this.signalled = this.outstanding = 0
    this.enabled = false
    this.taken.fill(0)
  }

  save(): VirtqueueState {
    const { size, descriptorArea, driverArea, deviceArea, enabled, nextAvailable, used, signalled } = this
    const outstanding = new Uint8Array(Math.ceil(this.maximumSize / 8))
    this.taken.forEach((taken, head) => { outstanding[head >> 3] |= taken << (head & 7) })
    return { size, descriptorArea, driverArea, deviceArea, enabled, nextAvailable, used, signalled, outstanding }
  }

  restore(state: StateReader): void {
    this.reset()
    this.size = state.integer('size', 1, this.maximumSize)
    if ((this.size & this.size - 1) !== 0) throw state.invalid('size', 'is not a power of two')
    this.descriptorArea = state.integer('descriptorArea', 0, LARGEST_ADDRESS)
    this.driverArea = state.integer('driverArea', 0, LARGEST_ADDRESS)
    this.deviceArea = state.integer('deviceArea', 0, LARGEST_ADDRESS)
    this.enabled = state.boolean('enabled')
    if (this.enabled && !this.wellPlaced) throw state.invalid('descriptorArea', 'or another area is not where memory is')
    this.nextAvailable = state.u16('nextAvailable')
    this.used = state.u16('used')
    this.signalled = state.u16('signalled')
    this.restoreOutstanding(state.bytes('outstanding', Math.ceil(this.maximumSize / 8)))
  }

  /** A chain that its driver spoilt while it was outstanding. */
  private forget(head: number): void {
    this.owner.broken(this)
    this.complete(head, 0)
  }

  private restoreOutstanding(bits: Uint8Array): void {
    for (let head = 0; head < this.size; head++) {
      this.taken[head] = this.enabled ? bits[head >> 3] >> (head & 7) & 1 : 0
      this.outstanding += this.taken[head]
    }
  }

  /** The driver shall notify when it makes the next chain available. §2.7.10. */
  private wantNotification(): void {
    if (!this.enabled || !this.owner.running) return
    if (this.owner.eventIndex) this.memory.writeU16(gpa(this.deviceArea + 4 + 8 * this.size), this.nextAvailable)
    else this.memory.writeU16(gpa(this.deviceArea), 0)
  }

  /** Whether the driver asked to hear of one of the chains completed since it was interrupted last. §2.7.7. */
  private interruptWanted(): boolean {
    if (!this.owner.eventIndex) return (this.memory.readU16(gpa(this.driverArea)) & NO_INTERRUPT) === 0
    const event = this.memory.readU16(gpa(this.driverArea + 4 + 2 * this.size))
    return (this.used - event - 1 & 0xffff) < (this.used - this.signalled & 0xffff)
  }

  /** Reads the chain that begins at `head`. False: it is malformed. */
  private walk(head: number, chain: DescriptorChain): boolean {
    const { memory } = this
    let [table, entries, index, indirect] = [this.descriptorArea, this.size, head, false]
    chain.begin(head)
    for (let steps = 0; steps < entries && index < entries; steps++) {
      const at = table + index * DESCRIPTOR_SIZE
      const address = memory.readU32(gpa(at + 4)) * 2 ** 32 + memory.readU32(gpa(at))
      const length = memory.readU32(gpa(at + 8))
      const flags = memory.readU16(gpa(at + 12))
      if ((flags & DescriptorFlag.INDIRECT) !== 0) {
        if (indirect || !this.permitsIndirect(address, length, flags)) return false
        table = address
        entries = length / DESCRIPTOR_SIZE
        index = 0
        steps = -1
        indirect = true
        continue
      }
      if (length > 0 && !chain.append(address, length, (flags & DescriptorFlag.WRITE) !== 0)) return false
      if ((flags & DescriptorFlag.NEXT) === 0) return true
      index = memory.readU16(gpa(at + 14))
    }
    return false
  }

  /** §2.7.5.3.1: a table of whole descriptors, nothing after it, and the feature agreed on. */
  private permitsIndirect(address: number, length: number, flags: number): boolean {
    return this.owner.indirectDescriptors && (flags & DescriptorFlag.NEXT) === 0
      && length % DESCRIPTOR_SIZE === 0 && length > 0 && length <= MAXIMUM_CHAIN * DESCRIPTOR_SIZE && isRam(this.memory, address, length)
  }
}
