import { gpa } from '../../../base/addresses.ts'
import type { FileSystemBackend, FileSystemRequest } from '../../../machine/file-system.ts'
import type { GuestMemory } from '../../../machine/memory.ts'
import type { DescriptorChain } from '../descriptor-chain.ts'
import type { Virtqueue } from '../virtqueue.ts'

/**
 * A request in the server's hands: what must be kept from its chain until it is done. It is itself the request that the server sees, and
 * is used again for the next one.
 */
export class FileSystemTransfer implements FileSystemRequest {
  message: Uint8Array[] = []
  reply: Uint8Array[] = []
  queue!: Virtqueue
  head = 0
  /** Which life of its device it belongs to. */
  life = 0
  private readonly memory: GuestMemory
  /** Where the reply goes: pairs of address and length. */
  private readonly places: number[] = []
  private transferNumber = 0
  private readonly ended: (transfer: FileSystemTransfer, length: number) => void

  /** `ended` is called once for each request that was submitted. */
  constructor(memory: GuestMemory, ended: (transfer: FileSystemTransfer, length: number) => void) {
    this.memory = memory
    this.ended = ended
  }

  /** Finds the chain's memory. False: some of it cannot be used. */
  begin(queue: Virtqueue, chain: DescriptorChain, life: number): boolean {
    this.queue = queue
    this.head = chain.head
    this.life = life
    this.clear()
    return chain.collect(false, 0, chain.readableLength, this.message)
      && chain.collect(true, 0, chain.writableLength, this.reply, this.places)
  }

  submit(backend: FileSystemBackend): void {
    this.transferNumber = this.memory.transfers.begin()
    backend.submit(this)
  }

  done(length: number): void {
    this.memory.transfers.end(this.transferNumber)
    let left = length
    for (let place = 0; place < this.places.length && left > 0; place += 2) {
      const written = Math.min(left, this.places[place + 1])
      this.memory.written(gpa(this.places[place]), written)
      left -= written
    }
    this.clear()
    this.ended(this, length)
  }

  private clear(): void {
    this.message = []
    this.reply = []
    this.places.length = 0
  }
}
