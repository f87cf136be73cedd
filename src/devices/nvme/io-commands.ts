import type { BlockBackend } from '../../machine/block.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import type { Command, DiskStep } from './command.ts'
import type { Features } from './features.ts'
import { ALL_NAMESPACES, MAXIMUM_TRANSFER } from './limits.ts'
import { resolvePrps, viewPlaces } from './prp.ts'
import { Status } from './status.ts'

/**
 * Commands of the NVM command set. Source: NVM Express Base Specification 1.4, §6.
 *
 *   00h Flush   01h Write   02h Read   08h Write Zeroes   09h Dataset Management
 *   Read, Write, Write Zeroes: dwords 10 and 11 first block, 12 blocks - 1 15:0, DEAC 25, FUA 30
 *   Dataset Management: dword 10 ranges - 1 7:0, dword 11 AD (deallocate) 2; a range: attributes 4 bytes, blocks 4, first block 8
 *
 * Left out on purpose: metadata and protection information, Compare, Verify, Write Uncorrectable, reservations, fused operations. The
 * hints of Dataset Management are taken and have no effect.
 */
export const IoOpcode = { FLUSH: 0x00, WRITE: 0x01, READ: 0x02, WRITE_ZEROES: 0x08, DATASET_MANAGEMENT: 0x09 } as const

export const CHANGING_IO_COMMANDS: ReadonlySet<number> = new Set([IoOpcode.WRITE, IoOpcode.WRITE_ZEROES, IoOpcode.DATASET_MANAGEMENT])

/** A command's result where it is not known yet: `Command.finish` tells it. */
export const STARTED = -1

export interface IoContext {
  readonly memory: GuestMemory
  readonly namespaces: readonly BlockBackend[]
  readonly features: Features
}

type Handler = (context: IoContext, command: Command, disk: BlockBackend) => number

const DEALLOCATE = 4
const DEALLOCATE_ZEROES = 1 << 25
const FORCE_UNIT_ACCESS = 1 << 30
const RANGE_SIZE = 16

const HANDLERS: ReadonlyMap<number, Handler> = new Map<number, Handler>([
  [IoOpcode.WRITE, (context, command, disk) => transfer(context, command, disk, 'write')],
  [IoOpcode.READ, (context, command, disk) => transfer(context, command, disk, 'read')],
  [IoOpcode.WRITE_ZEROES, writeZeroes],
  [IoOpcode.DATASET_MANAGEMENT, manageDataset],
])
export const IO_OPCODES: readonly number[] = [IoOpcode.FLUSH, ...HANDLERS.keys()]

/** Starts a command. A Status if it has ended already, or STARTED. */
export function executeIo(context: IoContext, command: Command): number {
  if (command.isFused || command.usesSgl) return Status.INVALID_FIELD
  if (command.opcode === IoOpcode.FLUSH) return flush(context, command)
  const handler = HANDLERS.get(command.opcode)
  if (handler === undefined) return Status.INVALID_OPCODE
  const disk = context.namespaces[command.namespaceId - 1]
  if (disk === undefined) return Status.INVALID_NAMESPACE
  return CHANGING_IO_COMMANDS.has(command.opcode) && disk.readOnly ? Status.NAMESPACE_WRITE_PROTECTED : handler(context, command, disk)
}

function flush({ memory, namespaces }: IoContext, command: Command): number {
  const disks = command.namespaceId === ALL_NAMESPACES ? namespaces : namespaces.slice(command.namespaceId - 1, command.namespaceId)
  if (command.namespaceId === 0 || disks.length === 0) return Status.INVALID_NAMESPACE
  command.perform(memory, disks.map((backend) => ({ backend, operation: 'flush', offset: 0, length: 0 })))
  return STARTED
}

function transfer({ memory, features }: IoContext, command: Command, backend: BlockBackend, operation: 'read' | 'write'): number {
  const { offset, length } = blocksOf(command, backend)
  if (length > MAXIMUM_TRANSFER) return Status.INVALID_FIELD
  if (offset + length > backend.size) return Status.LBA_OUT_OF_RANGE
  const places: number[] = []
  const status = resolvePrps(memory, command.prp1, command.prp2, length, places)
  if (status !== Status.SUCCESS) return status
  const segments = viewPlaces(memory, places, operation === 'read')
  if (segments === null) return Status.DATA_TRANSFER_ERROR
  const forceUnitAccess = operation === 'write' && isForced(features, command)
  command.perform(memory, [{ backend, operation, offset, length, forceUnitAccess }], segments, places)
  return STARTED
}

function writeZeroes({ memory, features }: IoContext, command: Command, backend: BlockBackend): number {
  const range = blocksOf(command, backend)
  if (range.offset + range.length > backend.size) return Status.LBA_OUT_OF_RANGE
  const mayUnmap = (command.dword(12) & DEALLOCATE_ZEROES) !== 0
  command.perform(memory, [{ backend, operation: 'write-zeroes', ...range, mayUnmap, forceUnitAccess: isForced(features, command) }])
  return STARTED
}

function manageDataset({ memory }: IoContext, command: Command, backend: BlockBackend): number {
  const length = ((command.dword(10) & 0xff) + 1) * RANGE_SIZE
  const places: number[] = []
  const status = resolvePrps(memory, command.prp1, command.prp2, length, places)
  if (status !== Status.SUCCESS) return status
  const views = viewPlaces(memory, places, false)
  if (views === null) return Status.DATA_TRANSFER_ERROR
  const steps = readRanges(concatenate(views, length), backend)
  if (steps.some((step) => step.offset + step.length > backend.size)) return Status.LBA_OUT_OF_RANGE
  command.perform(memory, (command.dword(11) & DEALLOCATE) !== 0 ? steps : [])
  return STARTED
}

function readRanges(bytes: Uint8Array, backend: BlockBackend): DiskStep[] {
  const view = new DataView(bytes.buffer)
  const steps: DiskStep[] = []
  for (let at = 0; at < bytes.length; at += RANGE_SIZE) {
    const length = view.getUint32(at + 4, true) * backend.blockSize
    const offset = (view.getUint32(at + 12, true) * 2 ** 32 + view.getUint32(at + 8, true)) * backend.blockSize
    if (length > 0) steps.push({ backend, operation: 'discard', offset, length })
  }
  return steps
}

function concatenate(views: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let at = 0
  for (const view of views) {
    bytes.set(view, at)
    at += view.length
  }
  return bytes
}

/** What a Read or Write that has been done moved, in bytes. */
export function bytesMoved(command: Command, disk: BlockBackend): number { return blocksOf(command, disk).length }

/** In bytes. The sum is exact where it is inside any disk. */
function blocksOf(command: Command, { blockSize }: BlockBackend): { offset: number, length: number } {
  return { offset: command.quadword(10) * blockSize, length: ((command.dword(12) & 0xffff) + 1) * blockSize }
}

function isForced(features: Features, command: Command): boolean {
  return !features.writeCache || (command.dword(12) & FORCE_UNIT_ACCESS) !== 0
}
