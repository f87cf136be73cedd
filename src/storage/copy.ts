/**
 * Copies what one node reads as to another, without the zeros: for conversion between formats and for flat copies of chains.
 */
import type { BlockNode } from './block-node.ts'
import { isZero } from './buffers.ts'
import { storageError } from './errors.ts'
import { contentExtent } from './extents.ts'
import { checkWritable } from './gate.ts'

/** The part of an AbortSignal that is needed; the room is portable. */
export interface Abort {
  readonly aborted: boolean
  readonly reason: unknown
}

export interface CopyOptions {
  /** The target reads as zeros already: zeros are skipped. */
  readonly targetIsZero?: boolean
  /** Zeros are left out of data in pieces of so many bytes, aligned; default 4096. A power of two, 512 to 1 MiB. */
  readonly sparseUnit?: number
  /** Called as it goes on, with the bytes that are done. */
  readonly progress?: (done: number, total: number) => void
  readonly signal?: Abort
}

export interface CopyResult {
  /** Bytes that were written as data. */
  readonly written: number
  /** Bytes that are zeros. */
  readonly zeros: number
}

/** So many bytes are read at once, by each of a few workers. */
const CHUNK = 1 << 20
const WORKERS = 4
/** Zeros are written in such pieces, so that progress is seen and an abort is heard. */
const ZEROES_AT_ONCE = 1 << 30

/**
 * The target must be at least as large; what it has behind the source's end becomes zeros. Flushes the target. Rejects with the signal's
 * reason when it is aborted: the target is then unfinished.
 */
export async function copyNode(source: BlockNode, target: BlockNode, options: CopyOptions = {}): Promise<CopyResult> {
  checkWritable(`the target of the copy, a ${target.kind} disk`, target)
  if (target.size < source.size) {
    throw storageError('DISK_OUT_OF_RANGE', `a disk of ${source.size} bytes does not fit into ${target.size} bytes: make the target larger`)
  }
  const copy = new Copy(source, target, options)
  await Promise.all(Array.from({ length: WORKERS }, () => copy.work()))
  await target.flush()
  return copy.result
}

interface Piece {
  readonly offset: number
  readonly length: number
  readonly isData: boolean
}

class Copy {
  private readonly source: BlockNode
  private readonly target: BlockNode
  private readonly options: CopyOptions
  private readonly unit: number
  private next = 0
  private asking: Promise<unknown> = Promise.resolve()
  private failed = false
  private written = 0
  private zeros = 0

  constructor(source: BlockNode, target: BlockNode, options: CopyOptions) {
    this.source = source
    this.target = target
    this.options = options
    this.unit = options.sparseUnit ?? 4096
  }

  get result(): CopyResult { return { written: this.written, zeros: this.zeros } }

  /** Takes pieces until there are none, or until it or another worker fails. */
  async work(): Promise<void> {
    const buffer = new Uint8Array(CHUNK)
    try {
      for (let piece = await this.take(); piece !== null && !this.failed; piece = await this.take()) {
        if (piece.isData) await this.copyData(piece, buffer.subarray(0, piece.length))
        else await this.zero(piece.offset, piece.length)
        this.options.progress?.(this.written + this.zeros, this.target.size)
      }
    } catch (error) {
      this.failed = true
      throw error
    }
  }

  /** One worker at a time asks where the next piece ends. */
  private take(): Promise<Piece | null> {
    const taken = this.asking.then(() => this.takeNow())
    this.asking = taken.catch(() => {})
    return taken
  }

  private async takeNow(): Promise<Piece | null> {
    const { signal } = this.options
    if (signal?.aborted === true) throw signal.reason
    const offset = this.next
    const left = this.target.size - offset
    if (left === 0) return null
    const { isData, length } = await this.known(offset, left)
    this.next += length
    return { offset, length, isData }
  }

  private async known(offset: number, left: number): Promise<Omit<Piece, 'offset'>> {
    if (offset >= this.source.size) return { isData: false, length: Math.min(left, ZEROES_AT_ONCE) }
    const { state, length } = await contentExtent(this.source, offset, Math.min(ZEROES_AT_ONCE, this.source.size - offset))
    return state === 'data' ? { isData: true, length: Math.min(length, CHUNK - offset % CHUNK) } : { isData: false, length }
  }

  private async copyData({ offset }: Piece, bytes: Uint8Array): Promise<void> {
    await this.source.read(offset, [bytes])
    for (const run of runs(offset, bytes, this.unit)) {
      if (run.isData) {
        await this.target.write(run.offset, [bytes.subarray(run.offset - offset, run.offset - offset + run.length)])
        this.written += run.length
      } else await this.zero(run.offset, run.length)
    }
  }

  private async zero(offset: number, length: number): Promise<void> {
    if (this.options.targetIsZero !== true) await this.target.writeZeroes(offset, length, true)
    this.zeros += length
  }
}

/** Divides bytes into runs that are zeros and runs that are not, at multiples of `unit` on the disk. */
function runs(offset: number, bytes: Uint8Array, unit: number): Piece[] {
  const found: Piece[] = []
  for (let at = 0; at < bytes.length;) {
    const part = bytes.subarray(at, at + unit - (offset + at) % unit)
    const isData = !isZero(part)
    const last = found.at(-1)
    if (last?.isData === isData) found[found.length - 1] = { ...last, length: last.length + part.length }
    else found.push({ offset: offset + at, length: part.length, isData })
    at += part.length
  }
  return found
}
