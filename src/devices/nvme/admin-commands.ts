import type { BlockBackend } from '../../machine/block.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import { gpa } from '../../base/addresses.ts'
import type { AsynchronousEvents } from './async-events.ts'
import { EventType, SmartEvent } from './async-events.ts'
import type { Command } from './command.ts'
import type { Features } from './features.ts'
import { activeNamespaces, identifyController, identifyNamespace, namespaceDescriptors } from './identify.ts'
import type { ControllerIdentity } from './identify.ts'
import { CHANGING_IO_COMMANDS, IO_OPCODES, STARTED } from './io-commands.ts'
import { ALL_NAMESPACES, EVENT_REQUESTS, MAXIMUM_TRANSFER } from './limits.ts'
import { LogPage, commandsSupported, firmwareSlots } from './log-pages.ts'
import type { ControllerLog } from './log-pages.ts'
import { resolvePrps, viewPlaces } from './prp.ts'
import type { QueueSet } from './queue-set.ts'
import { Status } from './status.ts'

/**
 * Admin commands. Source: NVM Express Base Specification 1.4, §5.
 *
 *   00h Delete I/O Submission Queue   01h Create   04h Delete I/O Completion Queue   05h Create     (queue-set.ts)
 *   02h Get Log Page   06h Identify   08h Abort   09h Set Features   0ah Get Features   0ch Asynchronous Event Request
 *
 * Left out on purpose: firmware download, formatting, namespace management, security, self-test, doorbell buffers.
 */
export const AdminOpcode = {
  DELETE_SUBMISSION_QUEUE: 0x00, CREATE_SUBMISSION_QUEUE: 0x01, GET_LOG_PAGE: 0x02, DELETE_COMPLETION_QUEUE: 0x04,
  CREATE_COMPLETION_QUEUE: 0x05, IDENTIFY: 0x06, ABORT: 0x08, SET_FEATURES: 0x09, GET_FEATURES: 0x0a, ASYNCHRONOUS_EVENT_REQUEST: 0x0c,
} as const

export interface AdminContext {
  readonly memory: GuestMemory
  readonly namespaces: readonly BlockBackend[]
  readonly identity: ControllerIdentity
  readonly features: Features
  readonly log: ControllerLog
  readonly events: AsynchronousEvents
  readonly queues: QueueSet
  /** Event requests that wait, in order. */
  readonly eventRequests: Command[]
  /** Ends a command that was STARTED. */
  complete(command: Command, status: number): void
  /** Virtual time in nanoseconds. */
  readonly now: number
}

type Handler = (context: AdminContext, command: Command) => number

const HANDLERS: ReadonlyMap<number, Handler> = new Map<number, Handler>([
  [AdminOpcode.DELETE_SUBMISSION_QUEUE, ({ queues }, command) => queues.deleteSubmissionQueue(command)],
  [AdminOpcode.CREATE_SUBMISSION_QUEUE, ({ queues }, command) => queues.createSubmissionQueue(command)],
  [AdminOpcode.GET_LOG_PAGE, getLogPage],
  [AdminOpcode.DELETE_COMPLETION_QUEUE, ({ queues }, command) => queues.deleteCompletionQueue(command)],
  [AdminOpcode.CREATE_COMPLETION_QUEUE, ({ queues }, command) => queues.createCompletionQueue(command)],
  [AdminOpcode.IDENTIFY, identify],
  [AdminOpcode.ABORT, abort],
  [AdminOpcode.SET_FEATURES, setFeatures],
  [AdminOpcode.GET_FEATURES, getFeatures],
  [AdminOpcode.ASYNCHRONOUS_EVENT_REQUEST, requestEvent],
])

const Structure = { NAMESPACE: 0, CONTROLLER: 1, ACTIVE_NAMESPACES: 2, NAMESPACE_DESCRIPTORS: 3 } as const
const HIGHEST_NAMESPACE = 0xfffffffd
const SAVE = 1 << 31
const SELECT = 0x700
const RETAIN_EVENT = 1 << 15
const NOT_ABORTED = 1

/** Carries a command out. Its Status, or STARTED. */
export function executeAdmin(context: AdminContext, command: Command): number {
  if (command.isFused || command.usesSgl) return Status.INVALID_FIELD
  return HANDLERS.get(command.opcode)?.(context, command) ?? Status.INVALID_OPCODE
}

/** Tells waiting requests of events that there are. */
export function deliverEvents(context: AdminContext): void {
  while (context.eventRequests.length > 0) {
    const event = context.events.take()
    if (event === undefined) return
    const command = context.eventRequests.shift()!
    command.result = event
    context.complete(command, Status.SUCCESS)
  }
}

function identify(context: AdminContext, command: Command): number {
  const { namespaces, identity } = context
  const number = command.namespaceId
  const disk = namespaces[number - 1]
  switch (command.dword(10) & 0xff) {
    case Structure.CONTROLLER: return give(context, command, identifyController(identity, namespaces.length))
    case Structure.NAMESPACE: return disk ? give(context, command, identifyNamespace(disk)) : Status.INVALID_NAMESPACE
    case Structure.NAMESPACE_DESCRIPTORS:
      return disk ? give(context, command, namespaceDescriptors(disk, number)) : Status.INVALID_NAMESPACE
    case Structure.ACTIVE_NAMESPACES:
      return number > HIGHEST_NAMESPACE ? Status.INVALID_NAMESPACE : give(context, command, activeNamespaces(number, namespaces.length))
    default: return Status.INVALID_FIELD
  }
}

function getLogPage(context: AdminContext, command: Command): number {
  const page = command.dword(10) & 0xff
  const content = logPage(context, page)
  if (content === undefined) return Status.INVALID_LOG_PAGE
  if (command.namespaceId !== 0 && command.namespaceId !== ALL_NAMESPACES) return Status.INVALID_FIELD
  const length = ((command.dword(11) & 0xffff) * 2 ** 16 + (command.dword(10) >>> 16) + 1) * 4
  const offset = command.quadword(12)
  if (length > MAXIMUM_TRANSFER || offset % 4 !== 0 || offset > content.length) return Status.INVALID_FIELD
  const bytes = new Uint8Array(length)
  bytes.set(content.subarray(offset, offset + length))
  const status = give(context, command, bytes)
  if (status === Status.SUCCESS && (command.dword(10) & RETAIN_EVENT) === 0) context.events.logRead(page)
  return status
}

function logPage({ log, features, identity, now }: AdminContext, page: number): Uint8Array | undefined {
  switch (page) {
    case LogPage.ERROR_INFORMATION: return log.errorInformation()
    case LogPage.SMART: return log.smart(features.criticalWarning, now)
    case LogPage.FIRMWARE_SLOTS: return firmwareSlots(identity.firmware)
    case LogPage.COMMANDS_SUPPORTED: return commandsSupported(HANDLERS.keys(), IO_OPCODES, CHANGING_IO_COMMANDS)
    default: return undefined
  }
}

/** Only requests for events are aborted: disks do what they have begun. */
function abort(context: AdminContext, command: Command): number {
  const [queue, id] = [command.dword(10) & 0xffff, command.dword(10) >>> 16]
  const index = queue === 0 ? context.eventRequests.findIndex((request) => request.id === id) : -1
  command.result = index < 0 ? NOT_ABORTED : 0
  if (index >= 0) context.complete(context.eventRequests.splice(index, 1)[0], Status.ABORT_REQUESTED)
  return Status.SUCCESS
}

function setFeatures(context: AdminContext, command: Command): number {
  if ((command.dword(10) & SAVE) !== 0) return Status.FEATURE_NOT_SAVEABLE
  const { status, result } = context.features.set(command.dword(10) & 0xff, command.dword(11), context.queues.hasIoQueues)
  command.result = result
  if (context.features.reportedWarning !== 0) context.events.raise(EventType.SMART, SmartEvent.TEMPERATURE)
  return status
}

function getFeatures({ features }: AdminContext, command: Command): number {
  if ((command.dword(10) & SELECT) !== 0) return Status.INVALID_FIELD
  const { status, result } = features.get(command.dword(10) & 0xff, command.dword(11))
  command.result = result
  return status
}

function requestEvent({ eventRequests }: AdminContext, command: Command): number {
  if (eventRequests.length >= EVENT_REQUESTS) return Status.ASYNCHRONOUS_EVENT_LIMIT
  eventRequests.push(command)
  return STARTED
}

/** Writes bytes to where the command wants them. */
function give({ memory }: AdminContext, command: Command, bytes: Uint8Array): number {
  const places: number[] = []
  const status = resolvePrps(memory, command.prp1, command.prp2, bytes.length, places)
  if (status !== Status.SUCCESS) return status
  if (viewPlaces(memory, places, true) === null) return Status.DATA_TRANSFER_ERROR
  for (let at = 0, done = 0; at < places.length; at += 2) {
    memory.write(gpa(places[at]), bytes.subarray(done, done + places[at + 1]))
    done += places[at + 1]
  }
  return Status.SUCCESS
}
