import type { PlainData } from '../../machine/lifecycle.ts'
import type { StateReader } from '../../machine/state-reader.ts'
import { AdminOpcode } from './admin-commands.ts'
import type { NvmeController } from './controller.ts'
import { COMMANDS_IN_FLIGHT, EVENT_REQUESTS, IO_QUEUES, QUEUE_ENTRIES, VECTORS } from './limits.ts'
import { CompletionQueue, SUBMISSION_ENTRY, SubmissionQueue } from './queues.ts'

/**
 * A controller as plain data, for a snapshot: registers, queues, and the commands in flight as they were taken from their queues.
 * After a restore the disks are given those again (`NvmeController.resume`).
 */
const LARGEST_QUEUE = 4096
const MAXIMUM_COMMANDS = COMMANDS_IN_FLIGHT + EVENT_REQUESTS + IO_QUEUES

export function saveController(controller: NvmeController): PlainData {
  const { queues, registers, features, events, log, enabled, resetting, inFlight } = controller
  return {
    registers: registers.save(), features: features.save(), events: events.save(), log: log.save(), enabled, resetting,
    completion: queues.completion.filter((queue) => queue !== undefined).map(saveCompletionQueue),
    submission: queues.submission.filter((queue) => queue !== undefined)
      .map(({ config, head, tail }) => ({ ...config, head, tail })),
    commands: Array.from(inFlight, ({ queue, bytes }) => ({ queue: queue.config.id, bytes: bytes.slice() })),
  }
}

function saveCompletionQueue({ config, head, tail, phase, waiting }: CompletionQueue): PlainData {
  return { ...config, head, tail, phase, waiting: waiting.map((completion) => ({ ...completion })) }
}

/** Makes a fresh controller what was saved. @throws TenonError SNAPSHOT_INVALID. */
export function restoreController(controller: NvmeController, state: StateReader): void {
  const registers = state.child('registers')
  controller.registers.restore((name) => registers.u32(name))
  controller.features.restore(state.child('features'))
  controller.events.restore(state.child('events'))
  controller.log.restore(state.child('log'))
  controller.enabled = state.boolean('enabled')
  controller.resetting = state.boolean('resetting')
  controller.queues.clear()
  for (const queue of state.childrenAtMost('completion', IO_QUEUES + 1)) restoreCompletionQueue(controller, queue)
  for (const queue of state.childrenAtMost('submission', IO_QUEUES + 1)) restoreSubmissionQueue(controller, queue)
  controller.eventRequests.length = 0
  for (const command of state.childrenAtMost('commands', MAXIMUM_COMMANDS)) restoreCommand(controller, command)
  checkDeletions(controller, state)
}

function restoreCompletionQueue({ queues }: NvmeController, state: StateReader): void {
  const id = state.integer('id', 0, IO_QUEUES)
  const size = state.integer('size', 2, id === 0 ? LARGEST_QUEUE : QUEUE_ENTRIES)
  const vector = state.integer('vector', 0, VECTORS - 1)
  const queue = new CompletionQueue({ id, base: base(state), size, vector, interrupts: state.boolean('interrupts') })
  queue.head = state.integer('head', 0, size - 1)
  queue.tail = state.integer('tail', 0, size - 1)
  queue.phase = state.integer('phase', 0, 1)
  queue.waiting.push(...state.childrenAtMost('waiting', MAXIMUM_COMMANDS).map((completion) => ({
    submissionQueue: completion.integer('submissionQueue', 0, IO_QUEUES), commandId: completion.u16('commandId'),
    status: completion.integer('status', 0, 0x7fff), result: completion.u32('result'),
  })))
  queues.completion[id] = queue
}

function restoreSubmissionQueue({ queues }: NvmeController, state: StateReader): void {
  const id = state.integer('id', 0, IO_QUEUES)
  const size = state.integer('size', 2, id === 0 ? LARGEST_QUEUE : QUEUE_ENTRIES)
  const completionQueue = state.integer('completionQueue', 0, IO_QUEUES)
  if (queues.completion[completionQueue] === undefined) throw state.invalid('completionQueue', 'names none of the queues')
  const queue = new SubmissionQueue({ id, base: base(state), size, completionQueue })
  queue.head = state.integer('head', 0, size - 1)
  queue.tail = state.integer('tail', 0, size - 1)
  queues.submission[id] = queue
}

function base(state: StateReader): number { return state.integer('base', 0, Number.MAX_SAFE_INTEGER) }

function restoreCommand(controller: NvmeController, state: StateReader): void {
  const queue = controller.queues.submission[state.integer('queue', 0, IO_QUEUES)]
  if (queue === undefined) throw state.invalid('queue', 'names none of the queues')
  const command = controller.newCommand(queue)
  command.bytes.set(state.bytes('bytes', SUBMISSION_ENTRY))
  if (queue.config.id !== 0) return
  if (command.opcode === AdminOpcode.ASYNCHRONOUS_EVENT_REQUEST) controller.eventRequests.push(command)
  else if (command.opcode === AdminOpcode.DELETE_SUBMISSION_QUEUE) {
    const deleted = controller.queues.submission[command.dword(10) & 0xffff]
    if (deleted === undefined || deleted.config.id === 0) throw state.invalid('bytes', 'delete a queue that is not there')
    deleted.deletion = command
  } else throw state.invalid('bytes', 'hold a command that is never in flight')
}

/** A queue that is being deleted has commands in flight: nothing else would end the deletion. */
function checkDeletions({ queues }: NvmeController, state: StateReader): void {
  for (const queue of queues.submission) {
    if (queue?.deletion === undefined || queue.inFlight > 0) continue
    throw state.invalid('commands', 'delete a queue that nothing is in flight from')
  }
}
