import { gpa } from '../../../base/addresses.ts'
import type { BlockBackend } from '../../../machine/block.ts'
import type { MessageSink } from '../../../machine/interrupts.ts'
import { FrameMap } from '../../../machine/frame-map.ts'
import { MappedMemory } from '../../../machine/mapped-memory.ts'
import { Pool } from '../../../machine/pool.ts'
import { FakeClock } from '../../testing/fake-clock.ts'
import { RecordedLine } from '../../testing/recorded-line.ts'
import { NvmeFunction } from '../pci-function.ts'

/** Registers, as a driver names them. */
export const Register = {
  CAP: 0x00, VS: 0x08, INTMS: 0x0c, INTMC: 0x10, CC: 0x14, CSTS: 0x1c, AQA: 0x24, ASQ: 0x28, ACQ: 0x30, DOORBELLS: 0x1000,
} as const
export const ENABLE = 0x00460001
const MSIX_TABLE = 0x2000
/** Bytes of RAM; the PCI hole begins behind it. */
export const MEMORY = 8 << 20
const MSIX_CONTROL = 0x42
const COMMAND = 0x04

export interface Completion {
  readonly id: number
  /** Status code type and status code. */
  readonly status: number
  readonly doNotRetry: boolean
  readonly result: number
  readonly queue: number
  readonly head: number
}

interface Surroundings {
  readonly clock: FakeClock
  readonly line: RecordedLine
  readonly messages: MessageSink
}

export interface CommandFields {
  readonly opcode: number
  readonly namespace?: number
  readonly prp1?: number
  readonly prp2?: number
  /** From dword 10. */
  readonly dwords?: readonly number[]
  readonly flags?: number
  readonly id?: number
}

/** One queue pair, as its driver sees it. */
export class DriverQueue {
  readonly id: number
  readonly submissionBase: number
  readonly completionBase: number
  readonly size: number
  tail = 0
  head = 0
  phase = 1
  nextId = 1

  constructor(id: number, submissionBase: number, completionBase: number, size: number) {
    this.id = id
    this.submissionBase = submissionBase
    this.completionBase = completionBase
    this.size = size
  }
}

/** A controller in a small machine, and what a driver does with it. */
export class NvmeDriver {
  readonly memory: MappedMemory
  readonly device: NvmeFunction
  readonly clock: FakeClock
  readonly line: RecordedLine
  /** Vectors of the messages that came; message data is the vector. */
  readonly messages: number[] = []
  /** Where BAR0 was placed last. */
  placed: number | null = null
  readonly admin = new DriverQueue(0, 0x10000, 0x20000, 16)

  constructor(disks: readonly BlockBackend[], memory = newMemory(), surroundings: Partial<Surroundings> = {}) {
    this.memory = memory
    this.clock = surroundings.clock ?? new FakeClock()
    this.line = surroundings.line ?? new RecordedLine()
    this.device = new NvmeFunction(disks, {
      memory: this.memory, line: this.line, clock: this.clock,
      messages: surroundings.messages ?? { sendMessage: (_, data) => this.messages.push(data) },
      window: () => ({ moveTo: (address) => { this.placed = address } }),
    })
  }

  readRegister(offset: number): number { return this.device.registers.readMmio(offset, 4) }
  writeRegister(offset: number, value: number): void { this.device.registers.writeMmio(offset, 4, value) }

  /** Bus mastering and MSI-X on, or INTx. */
  configure(interrupts: 'msix' | 'intx' = 'msix'): void {
    this.device.writeConfig(COMMAND, 2, 6)
    if (interrupts === 'intx') return
    this.device.writeConfig(MSIX_CONTROL, 2, 0x8000)
    for (let vector = 0; vector < 17; vector++) {
      [0xfee00000, 0, vector, 0].forEach((word, index) => this.writeRegister(MSIX_TABLE + 16 * vector + 4 * index, word))
    }
  }

  /** Enables the controller with its admin queues. */
  enable(): void {
    const { admin } = this
    this.writeRegister(Register.AQA, admin.size - 1 << 16 | admin.size - 1)
    for (const [register, base] of [[Register.ASQ, admin.submissionBase], [Register.ACQ, admin.completionBase]]) {
      this.writeRegister(register, base)
      this.writeRegister(register + 4, 0)
    }
    this.writeRegister(Register.CC, ENABLE)
  }

  /** As Linux does it: configuration, enabling, one I/O queue pair. */
  start(interrupts: 'msix' | 'intx' = 'msix', size = 64): DriverQueue {
    this.configure(interrupts)
    this.enable()
    return this.createQueue(1, size)
  }

  createQueue(id: number, size: number, vector = id): DriverQueue {
    const queue = new DriverQueue(id, 0x100000 + id * 0x20000, 0x110000 + id * 0x20000, size)
    this.mustSucceed({ opcode: 0x05, prp1: queue.completionBase, dwords: [size - 1 << 16 | id, vector << 16 | 3] })
    this.mustSucceed({ opcode: 0x01, prp1: queue.submissionBase, dwords: [size - 1 << 16 | id, id << 16 | 1] })
    return queue
  }

  /** Puts a command into a queue, without telling. Gives its CID. */
  put(queue: DriverQueue, fields: CommandFields): number {
    const id = fields.id ?? queue.nextId++ & 0xffff
    const entry = new DataView(new ArrayBuffer(64))
    entry.setUint32(0, (fields.opcode | (fields.flags ?? 0) << 8 | id << 16) >>> 0, true)
    entry.setUint32(4, fields.namespace ?? 0, true)
    entry.setBigUint64(24, BigInt(fields.prp1 ?? 0), true)
    entry.setBigUint64(32, BigInt(fields.prp2 ?? 0), true)
    fields.dwords?.forEach((dword, index) => entry.setUint32(40 + 4 * index, dword >>> 0, true))
    this.memory.write(gpa(queue.submissionBase + 64 * queue.tail), new Uint8Array(entry.buffer))
    queue.tail = (queue.tail + 1) % queue.size
    return id
  }

  /** Rings the tail doorbell. */
  ring(queue: DriverQueue): void { this.writeRegister(Register.DOORBELLS + 8 * queue.id, queue.tail) }

  submit(queue: DriverQueue, fields: CommandFields): number {
    const id = this.put(queue, fields)
    this.ring(queue)
    return id
  }

  /** Takes the completions that there are, and rings the head doorbell. */
  reap(queue: DriverQueue): Completion[] {
    const completions: Completion[] = []
    for (let entry = this.peek(queue); entry !== undefined; entry = this.peek(queue)) {
      completions.push(entry)
      queue.head = (queue.head + 1) % queue.size
      if (queue.head === 0) queue.phase ^= 1
    }
    this.writeRegister(Register.DOORBELLS + 8 * queue.id + 4, queue.head)
    return completions
  }

  /** The next completion, if it is there. */
  peek(queue: DriverQueue): Completion | undefined {
    const place = queue.completionBase + 16 * queue.head
    const [result, position, last] = [0, 8, 12].map((offset) => this.memory.readU32(gpa(place + offset)))
    if ((last >>> 16 & 1) !== queue.phase) return undefined
    const status = last >>> 17 & 0x7ff
    return { id: last & 0xffff, status, doNotRetry: last >>> 31 === 1, result, queue: position >>> 16, head: position & 0xffff }
  }

  /** Submits a command that is completed at once. */
  run(fields: CommandFields, queue = this.admin): Completion {
    const id = this.submit(queue, fields)
    const completions = this.reap(queue)
    if (completions.length === 1 && completions[0].id === id) return completions[0]
    throw new Error(`expected one completion, of ${id}: ${JSON.stringify(completions)}`)
  }

  /** Identify or Get Log Page, with its 4096 bytes. */
  data(fields: CommandFields, address = 0x30000): Uint8Array {
    this.mustSucceed({ prp1: address, ...fields })
    return this.bytes(address, 4096)
  }

  /** A read or write of whole blocks, with a PRP list for these pages. */
  transfer(queue: DriverQueue, operation: 'read' | 'write', block: number, blocks: number, pages: readonly number[]): number {
    const LIST = 0x40000
    pages.slice(1).forEach((page, index) => this.memory.writeU64(gpa(LIST + 8 * index), BigInt(page)))
    const prp2 = pages.length === 1 ? 0 : pages.length === 2 ? pages[1] : LIST
    const opcode = operation === 'read' ? 2 : 1
    return this.submit(queue, { opcode, namespace: 1, prp1: pages[0], prp2, dwords: [block, 0, blocks - 1] })
  }

  bytes(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    this.memory.read(gpa(address), bytes)
    return bytes
  }

  /** Another machine with the same memory and this one's state. */
  moved(disks: readonly BlockBackend[]): NvmeDriver {
    const copy = new NvmeDriver(disks, this.memory)
    copy.device.restore(this.device.save())
    Object.assign(copy.admin, this.admin)
    return copy
  }

  private mustSucceed(fields: CommandFields): void {
    const { status } = this.run(fields)
    if (status !== 0) throw new Error(`command 0x${fields.opcode.toString(16)} ended with status 0x${status.toString(16)}`)
  }
}

export function newMemory(size = MEMORY): MappedMemory {
  const pool = Pool.create(size + (6 << 20))
  return new MappedMemory(FrameMap.create(pool, { lowPages: size / 4096, highPages: 0 }))
}
