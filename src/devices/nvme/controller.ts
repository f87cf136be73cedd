import type { BlockBackend } from '../../machine/block.ts'
import type { PortSize } from '../../machine/io.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import type { RegisterMap } from '../registers/register-map.ts'
import { deliverEvents, executeAdmin } from './admin-commands.ts'
import type { AdminContext } from './admin-commands.ts'
import { AsynchronousEvents, ErrorEvent, EventType } from './async-events.ts'
import { Command } from './command.ts'
import { Features } from './features.ts'
import type { ControllerIdentity } from './identify.ts'
import { IoOpcode, STARTED, bytesMoved, executeIo } from './io-commands.ts'
import { COMMANDS_IN_FLIGHT } from './limits.ts'
import { ControllerLog } from './log-pages.ts'
import { QueueSet } from './queue-set.ts'
import type { Completion, CompletionQueue, SubmissionQueue } from './queues.ts'
import { Configuration, ControllerStatus, DOORBELLS, controllerRegisters } from './registers.ts'
import { Status, statusField } from './status.ts'

/** What a controller's place in the machine gives it. */
export interface ControllerSurroundings {
  readonly memory: GuestMemory
  /** False while the controller may not access memory. */
  readonly busMaster: boolean
  /** A completion was put into a queue with this interrupt vector. */
  interrupt(vector: number): void
  /** What `pendingVectors` says may have changed. */
  pendingChanged(): void
  /** Virtual time in nanoseconds. */
  now(): number
}

/** Bits that a controller of ours cannot but have 0: other command sets, page sizes, arbitration. */
const UNSUPPORTED = Configuration.CSS | Configuration.MPS | Configuration.AMS
const SUBMISSION_ENTRY_SIZE = 6 << 16
const COMPLETION_ENTRY_SIZE = 4 << 20
const NO_QUEUE = 0xffff

/**
 * An NVMe controller: registers, doorbells, and what becomes of commands. Source: NVM Express Base Specification 1.4, §3.1, §4.1, §7.3
 * to §7.6.
 *
 *     disabled ──CC.EN──▶ ready ──CC.EN cleared──▶ resetting (until the disks have answered) ──▶ disabled
 *                 └─▶ fatal (CSTS.CFS): what cannot be enabled; left by clearing CC.EN
 *
 * A command is taken from its queue when the controller may and its completion will find room, is executed at once (admin) or given to
 * the disks, and is completed. While CSTS.RDY is set after CC.EN was cleared, disks may still write to memory.
 */
export class NvmeController implements AdminContext {
  readonly memory: GuestMemory
  readonly namespaces: readonly BlockBackend[]
  readonly identity: ControllerIdentity
  readonly registers: RegisterMap
  readonly features = new Features()
  readonly log = new ControllerLog()
  readonly events = new AsynchronousEvents()
  readonly queues: QueueSet
  readonly eventRequests: Command[] = []
  /** Commands that were taken and are not completed, in order. */
  readonly inFlight = new Set<Command>()
  /** CC.EN was seen, and the controller has tried. */
  enabled = false
  resetting = false
  private readonly surroundings: ControllerSurroundings
  /** Of `inFlight`, those from I/O queues. */
  private ioInFlight = 0
  /** The flush at shutdown that is under way. */
  private shutdownFlush: object | undefined
  private isServing = false

  constructor(namespaces: readonly BlockBackend[], identity: ControllerIdentity, surroundings: ControllerSurroundings) {
    this.namespaces = namespaces
    this.identity = identity
    this.surroundings = surroundings
    this.memory = surroundings.memory
    this.registers = controllerRegisters({ configured: () => this.configured(), masked: () => surroundings.pendingChanged() })
    this.queues = new QueueSet(this.memory, (kind) => this.entrySizesFit(kind))
  }

  get now(): number { return this.surroundings.now() }

  /** Interrupt vectors with completions that the host has not taken, for INTx: bits 0 to 31, less the masked ones. */
  get pendingVectors(): number {
    let vectors = 0
    for (const queue of this.queues.completion) {
      if (queue !== undefined && queue.config.interrupts && !queue.isEmpty) vectors |= 1 << queue.config.vector
    }
    return (vectors & ~this.registers.get('INTMS')) >>> 0
  }

  read(offset: number, size: PortSize): number { return offset < DOORBELLS ? this.registers.read(offset, size) : 0 }

  write(offset: number, size: PortSize, value: number): void {
    if (offset < DOORBELLS) this.registers.write(offset, size, value)
    else if (size === 4) this.ring(offset - DOORBELLS >> 3, (offset & 4) !== 0, value & 0xffff)
  }

  /** Goes on with what was waiting: for the bus, for room, for other commands. */
  serve(): void {
    if (this.isServing) return
    this.isServing = true
    for (let taken = 1; taken > 0;) {
      taken = 0
      for (const queue of this.queues.submission) if (queue !== undefined) taken += this.serveQueue(queue)
    }
    this.isServing = false
    deliverEvents(this)
  }

  complete(command: Command, status: number): void {
    this.forget(command)
    if (!this.resetting) this.record(command, status)
    if (!this.resetting) this.send(command.queue.config.completionQueue, completionOf(command, status))
    this.deleteEmptied(command.queue)
    this.drained()
    this.serve()
  }

  /** Everything but the power-on state is gone; what disks still do for it is nobody's. */
  reset(): void {
    for (const command of this.inFlight) command.abandoned = true
    this.inFlight.clear()
    this.ioInFlight = 0
    this.registers.reset()
    this.log.reset()
    this.enabled = this.resetting = false
    this.shutdownFlush = undefined
    this.clear()
  }

  /** After a restore: gives the disks again what they had not done. */
  resume(): void {
    if (this.resetting) this.abandonAll()
    for (const command of Array.from(this.inFlight)) if (command.queue.config.id !== 0) this.execute(command)
    this.drained()
    this.serve()
  }

  /** A command that was taken from this queue. */
  newCommand(queue: SubmissionQueue): Command {
    const command = new Command(queue, (ended, status) => this.complete(ended, status))
    this.inFlight.add(command)
    queue.inFlight++
    if (queue.config.id !== 0) this.ioInFlight++
    return command
  }

  private get isReady(): boolean { return this.registers.get('CSTS') === ControllerStatus.RDY && !this.resetting }

  private entrySizesFit(kind: 'submission' | 'completion'): boolean {
    const configuration = this.registers.get('CC')
    return kind === 'submission' ? (configuration & Configuration.IOSQES) === SUBMISSION_ENTRY_SIZE
      : (configuration & Configuration.IOCQES) === COMPLETION_ENTRY_SIZE
  }

  private configured(): void {
    const configuration = this.registers.get('CC')
    const enable = (configuration & Configuration.EN) !== 0
    if (!enable && this.enabled) this.beginReset()
    if (enable && !this.enabled && !this.resetting) this.enable()
    const isShutDown = (this.registers.get('CSTS') & ControllerStatus.SHST) !== 0
    if ((configuration & Configuration.SHN) !== 0 && !isShutDown && !this.resetting) this.shutDown()
  }

  private enable(): void {
    const { registers } = this
    const sizes = registers.get('AQA')
    const address = (name: string): number => registers.get(`${name}_HIGH`) * 2 ** 32 + registers.get(name)
    const submission = { base: address('ASQ'), size: (sizes & 0xfff) + 1 }
    const completion = { base: address('ACQ'), size: (sizes >>> 16) + 1 }
    const isSupported = (registers.get('CC') & UNSUPPORTED) === 0
    this.enabled = true
    const isReady = isSupported && this.queues.createAdminQueues(submission, completion)
    this.setStatus(isReady ? ControllerStatus.RDY : ControllerStatus.CFS)
  }

  private setStatus(status: number): void { this.registers.set('CSTS', status) }

  /** §7.3.2: nothing more is taken or completed. The controller is ready until the disks have answered. */
  private beginReset(): void {
    this.enabled = false
    this.resetting = true
    for (const command of this.inFlight) if (command.queue.config.id === 0) this.forget(command)
    this.drained()
  }

  private abandonAll(): void {
    for (const command of this.inFlight) this.forget(command)
    this.drained()
  }

  private clear(): void {
    this.queues.clear()
    this.features.reset()
    this.events.reset()
    this.eventRequests.length = 0
    this.setStatus(0)
    this.registers.set('INTMS', 0)
    this.surroundings.pendingChanged()
  }

  private forget(command: Command): void {
    if (!this.inFlight.delete(command)) return
    command.queue.inFlight--
    if (command.queue.config.id !== 0) this.ioInFlight--
  }

  /** If the disks owe nothing: what waits for that. */
  private drained(): void {
    if (this.ioInFlight > 0) return
    if (this.resetting) {
      this.resetting = false
      this.shutdownFlush = undefined
      this.clear()
      this.configured()
    }
    if ((this.registers.get('CSTS') & ControllerStatus.SHST) === ControllerStatus.SHST_OCCURRING) this.flushAll()
  }

  /** §7.6.2: what was taken is completed, and all is flushed. */
  private shutDown(): void {
    this.setStatus(this.registers.get('CSTS') | ControllerStatus.SHST_OCCURRING)
    this.drained()
  }

  private flushAll(): void {
    if (this.shutdownFlush !== undefined) return
    const flush = this.shutdownFlush = {}
    let left = this.namespaces.length
    let hasFailed = false
    const end = (): void => {
      if (left > 0 || this.shutdownFlush !== flush) return
      this.shutdownFlush = undefined
      const status = this.registers.get('CSTS') & ~ControllerStatus.SHST | ControllerStatus.SHST_COMPLETE
      this.setStatus(hasFailed ? status | ControllerStatus.CFS : status)
    }
    for (const disk of this.namespaces) {
      disk.submit({
        operation: 'flush', offset: 0, length: 0, segments: [],
        done: (status) => {
          left--
          hasFailed ||= status !== 'ok'
          end()
        },
      })
    }
    end()
  }

  private ring(id: number, isCompletion: boolean, value: number): void {
    if (!this.isReady) return
    const queue = isCompletion ? this.queues.completion[id] : this.queues.submission[id]
    if (queue === undefined) this.complain(ErrorEvent.INVALID_DOORBELL_REGISTER)
    else if (!('moveHead' in queue ? queue.moveHead(value) : queue.moveTail(value))) this.complain(ErrorEvent.INVALID_DOORBELL_VALUE)
    else if ('moveHead' in queue) this.makeRoom(queue)
    this.serve()
  }

  private complain(event: number): void {
    this.log.recordError({ submissionQueue: NO_QUEUE, commandId: NO_QUEUE, status: 0, namespaceId: 0, block: 0 })
    this.events.raise(EventType.ERROR, event)
  }

  private serveQueue(queue: SubmissionQueue): number {
    const { burst } = this.features
    let taken = 0
    for (; taken < burst && this.mayTake(queue); taken++) {
      const command = this.newCommand(queue)
      queue.take(this.memory, command.bytes)
      this.execute(command)
    }
    return taken
  }

  private mayTake(queue: SubmissionQueue): boolean {
    if (queue.isEmpty || queue.deletion !== undefined || !this.isReady || !this.surroundings.busMaster) return false
    if (this.queues.completion[queue.config.completionQueue]!.waiting.length > 0) return false
    return queue.config.id === 0 || this.ioInFlight < COMMANDS_IN_FLIGHT
  }

  private execute(command: Command): void {
    const status = command.queue.config.id === 0 ? executeAdmin(this, command) : executeIo(this, command)
    if (status !== STARTED) this.complete(command, status)
  }

  private record(command: Command, status: number): void {
    const isIo = command.queue.config.id !== 0
    if (status === Status.WRITE_FAULT || status === Status.UNRECOVERED_READ_ERROR) this.log.counts.mediaErrors++
    if (status !== Status.SUCCESS && status !== Status.ABORT_REQUESTED) {
      const block = isIo ? Math.min(command.quadword(10), Number.MAX_SAFE_INTEGER) : 0
      const { id, namespaceId, queue } = command
      this.log.recordError({ submissionQueue: queue.config.id, commandId: id, status: statusField(status), namespaceId, block })
    } else if (isIo && (command.opcode === IoOpcode.READ || command.opcode === IoOpcode.WRITE)) {
      const bytes = bytesMoved(command, this.namespaces[command.namespaceId - 1])
      this.log.recordTransfer(command.opcode === IoOpcode.READ ? 'read' : 'write', bytes)
    }
  }

  private send(id: number, completion: Completion): void {
    const queue = this.queues.completion[id]!
    if (queue.isFull || queue.waiting.length > 0) queue.waiting.push(completion)
    else this.post(queue, completion)
  }

  private post(queue: CompletionQueue, completion: Completion): void {
    queue.post(this.memory, completion, this.queues.submission[completion.submissionQueue]?.head ?? 0)
    if (!queue.config.interrupts) return
    this.surroundings.interrupt(queue.config.vector)
    this.surroundings.pendingChanged()
  }

  private makeRoom(queue: CompletionQueue): void {
    while (queue.waiting.length > 0 && !queue.isFull) this.post(queue, queue.waiting.shift()!)
    this.surroundings.pendingChanged()
  }

  private deleteEmptied(queue: SubmissionQueue): void {
    const { deletion } = queue
    if (deletion === undefined || queue.inFlight > 0 || this.resetting) return
    queue.deletion = undefined
    this.queues.submission[queue.config.id] = undefined
    this.complete(deletion, Status.SUCCESS)
  }
}

function completionOf(command: Command, status: number): Completion {
  return { submissionQueue: command.queue.config.id, commandId: command.id, status: statusField(status), result: command.result }
}
