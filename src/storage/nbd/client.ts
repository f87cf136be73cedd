/**
 * A disk that an NBD server exports, as a node. Protocol: protocol.ts.
 *
 * Commands of a call that touches much are sent in pieces, up to 16 at a time. A server with blocks larger than a byte is read and
 * written around. Not used: FUA (a node has `flush`), multiple connections, resizing.
 */
import type { BlockNode, Extent } from '../block-node.ts'
import { byteLength, sliceBuffers, zeroBuffers, type Buffers } from '../buffers.ts'
import { storageError, type StorageErrorCode } from '../errors.ts'
import { Gate } from '../gate.ts'
import { RangeLock } from '../range-lock.ts'
import type { ClientCommand, CommandResult } from './connection.ts'
import { NbdLink, type NbdLinkOptions } from './link.ts'
import { AllocationState, Command, CommandFlag, NbdError, TransmissionFlag } from './protocol.ts'
import { Slots } from './slots.ts'

export interface NbdClientOptions extends Omit<NbdLinkOptions, 'timeout' | 'retries'> {
  /** Milliseconds, default 30,000. */
  readonly timeout?: number
  /** Default 5. */
  readonly retries?: number
  /** Never writes, even where the server would let it. */
  readonly readOnly?: boolean
}

/** Commands in flight. */
const DEPTH = 16
/** Bytes of a read or write: small enough to come in time over a slow line. */
const PIECE = 1 << 20
/** Bytes of the commands without data: small enough for a server that has to write zeros. */
const RANGE_PIECE = 128 << 20

/** Connects. Rejects with DISK_PEER_FAILED, DISK_NOT_FOUND or DISK_UNSUPPORTED; nothing is tried twice. */
export async function openNbdClient(options: NbdClientOptions): Promise<BlockNode> {
  const link = await NbdLink.open({ ...options, timeout: options.timeout ?? 30_000, retries: options.retries ?? 5 })
  return new NbdClientNode(link, options.name, options.readOnly === true)
}

class NbdClientNode implements BlockNode {
  readonly kind = 'nbd'
  readonly size: number
  readonly readOnly: boolean
  readonly children = {}
  private readonly link: NbdLink
  private readonly name: string
  private readonly gate: Gate
  private readonly slots = new Slots(DEPTH)
  private readonly lock = new RangeLock()
  private readonly block: number
  private readonly piece: number
  /** Whether something was written since the last flush. */
  private isDirty = false

  constructor(link: NbdLink, name: string, readOnly: boolean) {
    const { size, flags, minimumBlock, maximumPayload } = link.export
    this.link = link
    this.name = name
    this.gate = new Gate(name)
    this.size = size
    this.readOnly = readOnly || (flags & TransmissionFlag.READ_ONLY) !== 0
    this.block = minimumBlock
    this.piece = floorTo(Math.min(PIECE, maximumPayload), minimumBlock)
  }

  read(offset: number, into: Buffers): Promise<void> {
    return this.gate.access(this, offset, byteLength(into), false, () => this.readAround(offset, into))
  }

  write(offset: number, from: Buffers): Promise<void> {
    return this.gate.access(this, offset, byteLength(from), true, () => this.writeAround(offset, from))
  }

  flush(): Promise<void> { return this.gate.run(() => this.flushNow()) }

  discard(offset: number, length: number): Promise<void> {
    return this.gate.access(this, offset, length, true, async () => {
      const start = ceilTo(offset, this.block)
      const end = floorTo(offset + length, this.block)
      if (this.has(TransmissionFlag.SEND_TRIM) && end > start) await this.ranges(Command.TRIM, 0, start, end - start)
    })
  }

  writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    return this.gate.access(this, offset, length, true, async () => {
      const start = Math.min(offset + length, ceilTo(offset, this.block))
      const end = Math.max(start, floorTo(offset + length, this.block))
      const canZero = this.has(TransmissionFlag.SEND_WRITE_ZEROES)
      await this.writeZeroData(offset, canZero ? start - offset : length)
      if (!canZero) return
      if (end > start) await this.ranges(Command.WRITE_ZEROES, mayUnmap ? 0 : CommandFlag.NO_HOLE, start, end - start)
      await this.writeZeroData(end, offset + length - end)
    })
  }

  extent(offset: number, length: number): Promise<Extent> {
    return this.gate.access(this, offset, length, false, async () => {
      if (length === 0) throw storageError('DISK_OUT_OF_RANGE', `${this.name}: an extent of no bytes at ${offset} has no state`)
      if (this.link.export.allocationContext === null) return { state: 'data', length }
      const start = floorTo(offset, this.block)
      const asked = Math.min(ceilTo(offset + length, this.block) - start, floorTo(0xffffffff, this.block))
      const { status } = await this.command({
        type: Command.BLOCK_STATUS, flags: CommandFlag.REQ_ONE, offset: start, length: asked, buffers: [],
      })
      return this.toExtent(status!, offset - start, length)
    })
  }

  resize(): Promise<void> {
    return this.gate.run(async () => {
      throw storageError('DISK_UNSUPPORTED', `${this.name} cannot change its size: resize it at its server`)
    })
  }

  close(): Promise<void> {
    return this.gate.close(async () => {
      try {
        if (this.isDirty) await this.flushNow()
      } finally {
        await this.link.close()
      }
    })
  }

  private has(flag: number): boolean { return (this.link.export.flags & flag) !== 0 }

  private toExtent(status: { readonly length: number, readonly flags: number }, skipped: number, length: number): Extent {
    const known = Math.min(status.length - skipped, length)
    // A server may answer for less than a block of ours; then nothing is known.
    if (known <= 0 || (status.flags & AllocationState.ZERO) === 0) return { state: 'data', length: Math.max(known, 1) }
    return { state: (status.flags & AllocationState.HOLE) === 0 ? 'zero' : 'hole', length: known }
  }

  private async flushNow(): Promise<void> {
    const wasDirty = this.isDirty
    this.isDirty = false
    try {
      if (this.has(TransmissionFlag.SEND_FLUSH)) await this.command({ type: Command.FLUSH, flags: 0, offset: 0, length: 0, buffers: [] })
    } catch (error) {
      this.isDirty ||= wasDirty
      throw error
    }
  }

  private readAround(offset: number, into: Buffers): Promise<void> {
    const length = byteLength(into)
    const [before, after] = this.padding(offset, length)
    const padded = before + after === 0 ? into : [new Uint8Array(before), ...into, new Uint8Array(after)]
    return this.pieces(Command.READ, offset - before, length + before + after, padded)
  }

  /** Only whole blocks can be written: the rest of the first and of the last is read before, and nobody may write it meanwhile. */
  private writeAround(offset: number, from: Buffers): Promise<void> {
    const length = byteLength(from)
    if (this.block === 1) return this.pieces(Command.WRITE, offset, length, from)
    const [before, after] = this.padding(offset, length)
    return this.lock.run(offset - before, length + before + after, true, async () => {
      const head = new Uint8Array(before)
      const tail = new Uint8Array(after)
      if (before > 0) await this.readAround(offset - before, [head])
      if (after > 0) await this.readAround(offset + length, [tail])
      await this.pieces(Command.WRITE, offset - before, length + before + after, [head, ...from, tail])
    })
  }

  /** Bytes that lack to whole blocks, before and after. */
  private padding(offset: number, length: number): [number, number] {
    if (length === 0) return [0, 0]
    return [offset % this.block, ceilTo(offset + length, this.block) - offset - length]
  }

  private async writeZeroData(offset: number, length: number): Promise<void> {
    for (let at = 0; at < length; at += PIECE) await this.writeAround(offset + at, zeroBuffers(Math.min(PIECE, length - at)))
  }

  private pieces(type: number, offset: number, length: number, buffers: Buffers): Promise<void> {
    return this.each(length, this.piece, (at, part) => ({ type, flags: 0, offset: offset + at, length: part, buffers: sliceBuffers(buffers, at, part) }))
  }

  private ranges(type: number, flags: number, offset: number, length: number): Promise<void> {
    const whole = () => this.each(length, RANGE_PIECE, (at, part) => ({ type, flags, offset: offset + at, length: part, buffers: [] }))
    return this.block === 1 ? whole() : this.lock.run(offset, length, true, whole)
  }

  /** Sends commands for all of a range and waits for every one, so that no buffer is in use once this has settled. */
  private async each(length: number, piece: number, commandAt: (at: number, part: number) => ClientCommand): Promise<void> {
    const results: Promise<unknown>[] = []
    const failures: unknown[] = []
    for (let at = 0; at < length && failures.length === 0; at += piece) {
      await this.slots.take()
      const done = this.commandInSlot(commandAt(at, Math.min(piece, length - at)))
      results.push(done.catch((error: unknown) => failures.push(error)))
    }
    await Promise.all(results)
    if (failures.length > 0) throw failures[0]
  }

  private async command(command: ClientCommand): Promise<CommandResult> {
    await this.slots.take()
    return this.commandInSlot(command)
  }

  private async commandInSlot(command: ClientCommand): Promise<CommandResult> {
    try {
      const result = await this.link.send(command)
      if (result.error !== 0) throw this.failed(command, result)
      return result
    } finally {
      if (command.type !== Command.READ && command.type !== Command.BLOCK_STATUS && command.type !== Command.FLUSH) this.isDirty = true
      this.slots.give()
    }
  }

  private failed({ type, offset, length }: ClientCommand, { error, message }: CommandResult): Error {
    const what = type === Command.FLUSH ? 'a flush' : `a ${VERBS.get(type)} of ${length} bytes at ${offset}`
    const said = message === '' ? '' : ` ("${message}")`
    return storageError(codeOf(error, type), `${this.name}: the server could not do ${what}, error ${error}${said}`)
  }
}

const VERBS = new Map<number, string>([
  [Command.READ, 'read'], [Command.WRITE, 'write'], [Command.TRIM, 'discard'], [Command.WRITE_ZEROES, 'write of zeros'],
  [Command.BLOCK_STATUS, 'query'],
])

function codeOf(error: number, type: number): StorageErrorCode {
  if (error === NbdError.ENOSPC) return 'DISK_FULL'
  if (error === NbdError.EPERM) return 'DISK_READ_ONLY'
  if (error === NbdError.ENOTSUP) return 'DISK_UNSUPPORTED'
  return type === Command.READ || type === Command.BLOCK_STATUS ? 'DISK_READ_FAILED' : 'DISK_WRITE_FAILED'
}

function floorTo(value: number, unit: number): number { return Math.floor(value / unit) * unit }

function ceilTo(value: number, unit: number): number { return Math.ceil(value / unit) * unit }
