import { TenonError } from '../../../base/errors.ts'
import type { BlockBackend, BlockStatus } from '../../../machine/block.ts'
import type { PortSize } from '../../../machine/io.ts'
import type { PlainData } from '../../../machine/lifecycle.ts'
import { StateReader } from '../../../machine/state-reader.ts'
import { DeviceId } from '../bits.ts'
import { ConfigBytes } from '../config-bytes.ts'
import { DescriptorChain } from '../descriptor-chain.ts'
import type { VirtioDevice, VirtioTransport } from '../device.ts'
import { DISK_LIMITS } from '../disk-limits.ts'
import { DiskTransfer } from '../disk-transfer.ts'
import type { Virtqueue } from '../virtqueue.ts'
import { Command, CommandBlock } from './command-block.ts'
import { standardInquiry } from './inquiry.ts'
import { LogicalUnit, dataOf } from './logical-unit.ts'
import type { Outcome, PatternOutcome, TransferOutcome } from './logical-unit.ts'
import { COMMAND_HEADER, RESPONSE_HEADER, Response, ScsiStatus, readAddress } from './request.ts'
import { Senses, senseData, senseOf } from './sense.ts'
import type { Sense } from './sense.ts'
import { TaskManager } from './task-manager.ts'

/**
 * SCSI host device: one target with logical units. Source: VIRTIO 1.2, §5.6.
 *
 *   configuration   0x00 num_queues   0x04 seg_max   0x08 max_sectors   0x0c cmd_per_lun   0x10 event_info_size
 *     0x14 sense_size, 0x18 cdb_size (the driver may change both)   0x1c max_channel (2)   0x1e max_target (2)   0x20 max_lun
 *   queues          0 control, 1 events, from 2 commands
 *
 * Commands go to the back ends as they come; those under way at a snapshot are submitted again after a restore. Task management does
 * not break off what is under way, but is answered when it is done.
 *
 * Left out on purpose: units that come and go, and their events; commands with data both ways; protection information.
 */
const QUEUE_SIZE = 256
const CONTROL_QUEUE_SIZE = 64
const FIRST_COMMAND_QUEUE = 2
const CONFIGURATION_SIZE = 0x24
const [SENSE_SIZE, CDB_SIZE] = [0x14, 0x18]
const MOST_UNITS = 256
const USUAL_SENSE_SIZE = 96
const USUAL_CDB_SIZE = 32
/** Larger than any command or sense data. */
const LARGEST_SIZE = 260

/** A command in its back end's hands. */
export class ScsiTransfer extends DiskTransfer {
  unit = 0
  /** The driver's name for it, in halves. */
  idLow = 0
  idHigh = 0
  /** Bytes of data that the initiator gave or has room for. */
  area = 0
}

export class VirtioScsi implements VirtioDevice {
  readonly schema = 'virtio-scsi'
  readonly version = 1
  readonly deviceId = DeviceId.SCSI
  readonly classCode = 0x010000
  readonly features = []
  readonly queueSizes: readonly number[]
  readonly transfers = true
  private readonly units: readonly LogicalUnit[]
  private readonly config = new ConfigBytes(CONFIGURATION_SIZE)
  private readonly cdb = new Uint8Array(LARGEST_SIZE)
  private readonly response = new Uint8Array(RESPONSE_HEADER + LARGEST_SIZE)
  private readonly responseView = new DataView(this.response.buffer)
  private readonly idle: ScsiTransfer[] = []
  private readonly whenEnded = (transfer: DiskTransfer, status: BlockStatus): void => this.ended(transfer as ScsiTransfer, status)
  private readonly tasks: TaskManager
  private transport!: VirtioTransport
  private chain!: DescriptorChain
  /** Transfers started before this changed are abandoned: their answers go nowhere. */
  private life = 0
  private senseSize = USUAL_SENSE_SIZE
  private cdbSize = USUAL_CDB_SIZE

  /** Logical units 0 and up, 256 at most; `queues` for commands, 1 to 64. @throws TenonError SCSI_UNITS_INVALID. */
  constructor(disks: readonly BlockBackend[], { queues = 1 }: { readonly queues?: number } = {}) {
    if (disks.length > MOST_UNITS) {
      throw new TenonError('SCSI_UNITS_INVALID', `a SCSI device has ${MOST_UNITS} logical units at most, not ${disks.length}`)
    }
    this.units = disks.map((disk) => new LogicalUnit(disk))
    this.queueSizes = [CONTROL_QUEUE_SIZE, CONTROL_QUEUE_SIZE, ...Array.from({ length: queues }, () => QUEUE_SIZE)]
    this.tasks = new TaskManager(disks.length)
    const words = [queues, DISK_LIMITS.SEGMENTS, DISK_LIMITS.TRANSFER / 512, QUEUE_SIZE / 2, 16, 0, 0, 0, MOST_UNITS - 1]
    words.forEach((word, index) => this.config.u32(4 * index, word))
    this.setSizes(USUAL_SENSE_SIZE, USUAL_CDB_SIZE)
  }

  connect(transport: VirtioTransport): void {
    this.transport = transport
    this.chain = new DescriptorChain(transport.memory)
    this.tasks.connect(this.chain)
  }

  readConfig(offset: number, size: PortSize): number { return this.config.read(offset, size) }

  writeConfig(offset: number, size: PortSize, value: number): void {
    if (size !== 4 || value > LARGEST_SIZE) return
    if (offset === SENSE_SIZE) this.setSizes(value, this.cdbSize)
    if (offset === CDB_SIZE) this.setSizes(this.senseSize, value)
  }

  notified(queue: Virtqueue): void {
    if (queue.index >= FIRST_COMMAND_QUEUE) while (queue.take(this.chain)) this.handle(queue)
    else if (queue.index === 0) while (queue.take(this.chain)) this.tasks.handle(queue)
    queue.signal()
  }

  reset(): void {
    this.life++
    this.tasks.reset()
    this.setSizes(USUAL_SENSE_SIZE, USUAL_CDB_SIZE)
  }

  /** Commands first: task management waits for them. */
  resume(): void {
    const [control, , ...commands] = this.transport.queues
    for (const queue of commands) queue.retake(this.chain, () => this.handle(queue))
    control.retake(this.chain, () => this.tasks.handle(control))
    for (const queue of this.transport.queues) queue.signal()
  }

  save(): PlainData { return { senseSize: this.senseSize, cdbSize: this.cdbSize } }

  restore(saved: PlainData): void {
    const state = new StateReader(this.schema, saved)
    this.setSizes(state.integer('senseSize', 0, LARGEST_SIZE), state.integer('cdbSize', 0, LARGEST_SIZE))
  }

  private setSizes(senseSize: number, cdbSize: number): void {
    this.senseSize = senseSize
    this.cdbSize = cdbSize
    this.config.u32(SENSE_SIZE, senseSize)
    this.config.u32(CDB_SIZE, cdbSize)
  }

  private get requestLength(): number { return COMMAND_HEADER + this.cdbSize }
  private get responseLength(): number { return RESPONSE_HEADER + this.senseSize }

  /** One command. What cannot even be answered breaks the queue. */
  private handle(queue: Virtqueue): void {
    const { chain } = this
    if (chain.readableLength < this.requestLength || chain.writableLength < this.responseLength) {
      queue.complete(chain.head, 0)
      return this.transport.needsReset()
    }
    const { target, unit } = readAddress(chain, 0)
    if (target !== 0) return this.answer(queue, Response.BAD_TARGET)
    this.cdb.fill(0)
    chain.read(COMMAND_HEADER, this.cdb.subarray(0, this.cdbSize))
    this.perform(queue, unit, this.execute(unit, new CommandBlock(this.cdb)))
  }

  private execute(unit: number, command: CommandBlock): Outcome {
    if (command.operationCode === Command.REPORT_LUNS) return this.reportUnits(command)
    const logicalUnit = this.units[unit]
    if (logicalUnit !== undefined) return logicalUnit.execute(command, this.dataOut)
    // SPC-4 §6.4.2: INQUIRY says that nothing is there, and everything else fails.
    if (command.operationCode === Command.INQUIRY) return dataOf(standardInquiry(false), command.u16(3))
    return { kind: 'failed', sense: Senses.LOGICAL_UNIT_NOT_SUPPORTED }
  }

  private get dataOut(): { length: number, read(offset: number, into: Uint8Array): number } {
    const { chain, requestLength } = this
    return { length: chain.readableLength - requestLength, read: (offset, into) => chain.read(requestLength + offset, into) }
  }

  /** SPC-4 §6.33; no well-known logical units. */
  private reportUnits(command: CommandBlock): Outcome {
    if (command.u8(2) > 2 || command.u32(6) < 16) return { kind: 'failed', sense: Senses.INVALID_FIELD_IN_CDB }
    const count = command.u8(2) === 1 ? 0 : this.units.length
    const bytes = new Uint8Array(8 + 8 * count)
    new DataView(bytes.buffer).setUint32(0, 8 * count)
    for (let unit = 0; unit < count; unit++) bytes[8 + 8 * unit + 1] = unit
    return dataOf(bytes, command.u32(6))
  }

  private perform(queue: Virtqueue, unit: number, outcome: Outcome): void {
    switch (outcome.kind) {
      case 'done': return this.answer(queue, Response.OK)
      case 'failed': return this.answer(queue, Response.OK, outcome.sense)
      case 'data': return this.giveData(queue, outcome.bytes)
      case 'transfer': return this.transfer(queue, unit, outcome)
      case 'flush': return this.begin(queue, unit, 0).submit(this.units[unit].disk, 'flush', 0, 0)
      case 'ranges': return this.begin(queue, unit, 0).submitRanges(this.units[unit].disk, outcome.operation, outcome.ranges)
      case 'pattern': return this.writePattern(queue, unit, outcome)
    }
  }

  private giveData(queue: Virtqueue, bytes: Uint8Array): void {
    const area = this.chain.writableLength - this.responseLength
    const written = this.chain.write(this.responseLength, bytes)
    this.answer(queue, written < bytes.length ? Response.OVERRUN : Response.OK, Senses.NONE, area - written, written)
  }

  private transfer(queue: Virtqueue, unit: number, { operation, offset, length, forceUnitAccess }: TransferOutcome): void {
    const { chain, requestLength, responseLength } = this
    const area = operation === 'read' ? chain.writableLength - responseLength : chain.readableLength - requestLength
    if (length > area) return this.answer(queue, Response.OVERRUN)
    const transfer = this.begin(queue, unit, area)
    if (!transfer.collect(chain, operation, operation === 'read' ? responseLength : requestLength, length)) {
      this.ended(transfer, 'io-error')
      return this.transport.needsReset()
    }
    transfer.forceUnitAccess = operation === 'write' && forceUnitAccess
    transfer.submit(this.units[unit].disk, operation, offset, length)
  }

  private writePattern(queue: Virtqueue, unit: number, { offset, length, block }: PatternOutcome): void {
    const transfer = this.begin(queue, unit, block.length)
    for (let done = 0; done < length; done += block.length) transfer.segments.push(block)
    transfer.submit(this.units[unit].disk, 'write', offset, length)
  }

  private begin(queue: Virtqueue, unit: number, area: number): ScsiTransfer {
    const transfer = this.idle.pop() ?? new ScsiTransfer(this.transport.memory, this.whenEnded)
    transfer.begin(queue, this.chain, this.life)
    transfer.unit = unit
    transfer.area = area
    transfer.idLow = this.chain.readU32(8)
    transfer.idHigh = this.chain.readU32(12)
    this.tasks.started(transfer)
    return transfer
  }

  private ended(transfer: ScsiTransfer, status: BlockStatus): void {
    if (transfer.life !== this.life) return
    const { queue, head, operation, length, area } = transfer
    const reads = operation === 'read'
    const moved = status === 'ok' && area > 0 ? Math.min(length, area) : 0
    // The chain is read again. A driver that has changed it meanwhile gets its answer elsewhere, or breaks the device.
    if (queue.again(head, this.chain) && this.chain.writableLength >= this.responseLength) {
      this.answer(queue, Response.OK, senseOf(status, reads), area - moved, reads ? moved : 0)
    } else {
      queue.complete(head, 0)
      this.transport.needsReset()
    }
    this.tasks.finished(transfer)
    this.idle.push(transfer)
    queue.signal()
  }

  /** `written` are the bytes of data behind the response. */
  private answer(queue: Virtqueue, response: number, sense: Sense = Senses.NONE, residual = 0, written = 0): void {
    const failed = sense !== Senses.NONE
    const data = failed ? senseData(sense) : NO_SENSE
    const length = Math.min(data.length, this.senseSize)
    this.response.fill(0, 0, this.responseLength)
    this.responseView.setUint32(0, length, true)
    this.responseView.setUint32(4, residual, true)
    this.response[10] = failed ? ScsiStatus.CHECK_CONDITION : ScsiStatus.GOOD
    this.response[11] = response
    this.response.set(data.subarray(0, length), RESPONSE_HEADER)
    this.chain.write(0, this.response.subarray(0, this.responseLength))
    queue.complete(this.chain.head, this.responseLength + written)
  }
}

const NO_SENSE = new Uint8Array(0)
