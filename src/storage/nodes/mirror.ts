/**
 * Several nodes with the same content (RAID 1): what one loses, another has.
 *
 * Every write goes to all children; it has succeeded when one that is up to date has it, and those that failed are dropped first, in the
 * state too, so that nobody ever reads from them again. The last child that is up to date is never dropped. Reads go to whichever child
 * is least busy. A dropped or new child is rebuilt in the background (`rebuilding`), while the mirror is in use.
 *
 * The children never differ where it could be seen: overlapping writes go one after another, and where a crash may have caught writes
 * half way, the first child is copied over the others when the mirror is opened (see MirrorState).
 *
 * Discards are passed on as zeros (`discard: 'zeroes'`) or not at all: after a plain discard children could read differently.
 */
import type { TenonError } from '../../base/errors.ts'
import type { BlockNode, Extent } from '../block-node.ts'
import { byteLength, type Buffers } from '../buffers.ts'
import { storageError } from '../errors.ts'
import { contentExtent } from '../extents.ts'
import { Gate } from '../gate.ts'
import { RangeLock } from '../range-lock.ts'
import { settleAll } from '../settle.ts'
import type { StorageFile } from '../storage-file.ts'
import { copyRegion, equalise } from './mirror-copy.ts'
import { MAXIMUM_CHILDREN, MirrorState } from './mirror-state.ts'

export interface MirrorOptions {
  /** The same in the same order each time; null for one that is not there. */
  readonly nodes: readonly (BlockNode | null)[]
  /** Where the mirror's own state is kept: some 17 KiB. */
  readonly state: StorageFile
  readonly readOnly?: boolean
  readonly discard?: 'zeroes' | 'ignore'
  /** Told when a child is dropped, and when one has been rebuilt. */
  readonly notice?: (message: string) => void
}

export type ChildState = 'up-to-date' | 'rebuilding' | 'failed' | 'missing'

class Child {
  node: BlockNode | null
  state: ChildState = 'missing'
  reading = 0
  /** Where its last read ended: a read that goes on there is cheaper for it. */
  position = 0

  constructor(node: BlockNode | null) { this.node = node }
}

const REBUILD_STEP = 1 << 20

export class MirrorNode implements BlockNode {
  readonly kind = 'mirror'
  readonly readOnly: boolean
  readonly size: number
  private readonly all: readonly Child[]
  private readonly state: MirrorState
  private readonly passDiscards: boolean
  private readonly notice: (message: string) => void
  private readonly locks = new RangeLock()
  private readonly gate = new Gate('the mirror')
  private rebuilds: Promise<void> = Promise.resolve()
  private sweeping: Promise<void> | null = null
  private stopping = false

  private constructor(options: MirrorOptions, state: MirrorState) {
    this.readOnly = options.readOnly === true
    this.size = state.size
    this.state = state
    this.passDiscards = options.discard === 'zeroes'
    this.notice = options.notice ?? (() => {})
    this.all = options.nodes.map((node, at) => this.newChild(node, at))
  }

  /**
   * A new mirror. `contents`: the children are `equal` (all new, or all zeros), or the `first` is to be copied over the others.
   */
  static async create(options: MirrorOptions, contents: 'equal' | 'first'): Promise<MirrorNode> {
    checkCount(options.nodes)
    const nodes = options.nodes.filter(node => node !== null)
    if (nodes.length < options.nodes.length) throw storageError('DISK_NOT_FOUND', 'a new mirror needs all of its disks')
    const size = contents === 'first' ? nodes[0].size : Math.min(...nodes.map(node => node.size))
    const state = await MirrorState.create(options.state, size, nodes.map((_, at) => contents === 'equal' || at === 0))
    return new MirrorNode(options, state).begin()
  }

  /** Opens one that was created before. Rejects with DISK_CORRUPT if no child that is there is up to date. */
  static async open(options: MirrorOptions): Promise<MirrorNode> {
    checkCount(options.nodes)
    const state = await MirrorState.open(options.state, options.nodes.length)
    return new MirrorNode(options, state).begin()
  }

  get children(): Readonly<Record<string, BlockNode>> {
    return Object.fromEntries(this.all.flatMap(({ node }, at) => node === null ? [] : [[`mirror.${at}`, node]]))
  }

  /** What has become of each child. */
  get childStates(): readonly ChildState[] { return this.all.map(child => child.state) }

  read(offset: number, into: Buffers): Promise<void> {
    return this.gate.access(this, offset, byteLength(into), false, () => this.readFromAny(offset, into))
  }

  write(offset: number, from: Buffers): Promise<void> {
    return this.change(offset, byteLength(from), node => node.write(offset, from))
  }

  writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    return this.change(offset, length, node => node.writeZeroes(offset, length, mayUnmap))
  }

  discard(offset: number, length: number): Promise<void> {
    if (this.passDiscards) return this.writeZeroes(offset, length, true)
    return this.gate.access(this, offset, length, true, async () => {})
  }

  flush(): Promise<void> { return this.gate.run(() => this.flushChildren()) }

  extent(offset: number, length: number): Promise<Extent> {
    return this.gate.access(this, offset, length, false, () => contentExtent(this.primary.node as BlockNode, offset, length))
  }

  resize(): Promise<void> {
    return this.gate.run(async () => {
      throw storageError('DISK_UNSUPPORTED', 'the size of a mirror cannot change: copy it to a larger one')
    })
  }

  /** Puts a new node in the place of a child that failed or is missing, and rebuilds it in the background. Closes what was there. */
  replace(at: number, node: BlockNode): Promise<void> {
    return this.gate.run(async () => {
      const child = this.all[at]
      if (child === undefined || child.state === 'up-to-date' || child.state === 'rebuilding') {
        throw storageError('DISK_IN_USE', `disk ${at} of the mirror is not to be replaced: it is ${child?.state ?? 'not there'}`)
      }
      this.checkChild(node, at)
      await this.saveIfNeeded()
      await child.node?.close().catch(() => {})
      child.node = node
      this.rebuild(child)
    })
  }

  /** When no child is being rebuilt any more. */
  async rebuilt(): Promise<void> { await this.rebuilds }

  close(): Promise<void> {
    this.stopping = true
    return this.gate.close(async () => {
      await this.rebuilds
      try {
        if (!this.readOnly) await this.settle()
      } finally {
        await settleAll([...this.all.map(child => closeChild(child)), this.state.close()])
      }
    })
  }

  private newChild(node: BlockNode | null, at: number): Child {
    const child = new Child(node)
    if (node !== null) {
      this.checkChild(node, at)
      child.state = this.state.upToDate[at] ? 'up-to-date' : 'failed'
    }
    return child
  }

  private checkChild(node: BlockNode, at: number): void {
    if (node.size < this.size) {
      throw storageError('DISK_OUT_OF_RANGE', `disk ${at} of the mirror has ${node.size} bytes, fewer than the mirror's ${this.size}`)
    }
    if (node.readOnly && !this.readOnly) throw storageError('DISK_READ_ONLY', `disk ${at} of the mirror cannot be written`)
  }

  /** Makes the children equal where a crash may have left them different, and starts rebuilding. */
  private async begin(): Promise<MirrorNode> {
    if (this.upToDate.length === 0) {
      throw storageError('DISK_CORRUPT', 'none of the mirror\'s disks that are there is up to date: bring the one that was used last')
    }
    if (this.readOnly) {
      // Nothing can be mended, so only one child may answer.
      if (this.state.marked().length > 0) for (const child of this.upToDate.slice(1)) child.state = 'failed'
      return this
    }
    for (const child of this.all) if (child.node === null) this.state.setUpToDate(this.all.indexOf(child), false)
    await this.equaliseMarked()
    await this.saveIfNeeded()
    for (const child of this.all) if (child.state === 'failed') this.rebuild(child)
    return this
  }

  private async equaliseMarked(): Promise<void> {
    const { regionSize } = this.state
    for (const region of this.state.marked()) {
      const offset = region * regionSize
      const length = Math.min(regionSize, this.size - offset)
      await this.equaliseRegion(offset, length)
    }
    await this.takeMarksAway()
  }

  private async equaliseRegion(offset: number, length: number): Promise<void> {
    const { primary } = this
    for (const child of this.upToDate.slice(1)) {
      const failure = await equalise(primary.node as BlockNode, child.node as BlockNode, offset, length)
      if (failure !== null) this.drop(failure.side === 'from' ? primary : child, failure.error)
      // The next child leads now; those that follow were made equal to it, or will be.
      if (failure?.side === 'from') return this.equaliseRegion(offset, length)
    }
  }

  private get upToDate(): readonly Child[] { return this.all.filter(child => child.state === 'up-to-date') }
  private get primary(): Child { return this.upToDate[0] }

  private async readFromAny(offset: number, into: Buffers): Promise<void> {
    const failures: { readonly child: Child, readonly error: unknown }[] = []
    const order = [...this.upToDate].sort((a, b) => cost(a, offset) - cost(b, offset))
    for (const child of order) {
      child.reading++
      try {
        await (child.node as BlockNode).read(offset, into)
        child.position = offset + byteLength(into)
        for (const failure of failures) this.drop(failure.child, failure.error)
        return
      } catch (error) {
        failures.push({ child, error })
      } finally {
        child.reading--
      }
    }
    throw failures[0].error
  }

  private change(offset: number, length: number, operation: (node: BlockNode) => Promise<void>): Promise<void> {
    return this.gate.access(this, offset, length, true, () => this.locks.run(offset, length, true, async () => {
      if (this.state.hasManyMarks) await (this.sweeping ??= this.takeMarksAway().finally(() => { this.sweeping = null }))
      this.state.enter(offset, length)
      try {
        await this.saveIfNeeded()
        await this.onAll(operation)
      } finally {
        this.state.leave(offset, length)
      }
    }))
  }

  private async flushChildren(): Promise<void> {
    await this.onAll(node => node.flush())
  }

  /** Carries out an operation on every child that takes part, and draws the consequences. */
  private async onAll(operation: (node: BlockNode) => Promise<void>): Promise<void> {
    const children = this.all.filter(child => child.state === 'up-to-date' || child.state === 'rebuilding')
    const results = await Promise.allSettled(children.map(child => operation(child.node as BlockNode)))
    const failed = children.flatMap((child, at) => {
      const result = results[at]
      return result.status === 'rejected' ? [{ child, error: result.reason as unknown }] : []
    })
    if (failed.length === 0) return
    const isDone = children.some(child => child.state === 'up-to-date' && failed.every(failure => failure.child !== child))
    if (isDone) {
      for (const { child, error } of failed) this.drop(child, error)
      await this.saveIfNeeded()
    } else await this.failAll(failed)
  }

  /** Nobody that is up to date has done it, and some may have half of it: from now on only one of them counts. */
  private async failAll(failed: readonly { readonly child: Child, readonly error: unknown }[]): Promise<never> {
    const { primary } = this
    const { error } = failed.find(({ child }) => child === primary) ?? failed[0]
    for (const child of this.all) if (child !== primary && child.node !== null) this.drop(child, error)
    await this.saveIfNeeded().catch(() => {})
    throw error
  }

  /** Never the last one that is up to date. */
  private drop(child: Child, error: unknown): void {
    if (child.state === 'failed' || child.state === 'missing' || (child.state === 'up-to-date' && this.upToDate.length === 1)) return
    const at = this.all.indexOf(child)
    child.state = 'failed'
    if (!this.readOnly) this.state.setUpToDate(at, false)
    this.notice(`the mirror goes on without its disk ${at}: ${(error as TenonError).message}`)
  }

  private async saveIfNeeded(): Promise<void> { if (this.state.isUnsaved && !this.readOnly) await this.state.save() }

  private async takeMarksAway(): Promise<void> {
    const before = this.state.idleMarks()
    await this.flushChildren()
    this.state.unmark(before)
  }

  private async settle(): Promise<void> {
    await this.takeMarksAway()
    await this.saveIfNeeded()
  }

  private rebuild(child: Child): void {
    child.state = 'rebuilding'
    this.rebuilds = this.rebuilds.then(() => this.rebuildNow(child)).catch((error: unknown) => this.drop(child, error))
  }

  /** Region by region, each while nothing is written there; writes elsewhere go to the child as well. */
  private async rebuildNow(child: Child): Promise<void> {
    for (let offset = 0; offset < this.size; offset += REBUILD_STEP) {
      if (this.stopping || child.state !== 'rebuilding') return
      const length = Math.min(REBUILD_STEP, this.size - offset)
      await this.locks.run(offset, length, true, () => this.copyTo(child, offset, length))
    }
    await child.node?.flush()
    if (child.state !== 'rebuilding') return
    child.state = 'up-to-date'
    this.state.setUpToDate(this.all.indexOf(child), true)
    await this.saveIfNeeded()
    this.notice(`disk ${this.all.indexOf(child)} of the mirror is up to date again`)
  }

  private copyTo(child: Child, offset: number, length: number): Promise<void> {
    const read = (at: number, into: Buffers): Promise<void> => this.readFromAny(at, into)
    return copyRegion(this.primary.node as BlockNode, read, child.node as BlockNode, offset, length)
  }
}

async function closeChild({ node, state }: Child): Promise<void> {
  // One that has failed may not close well either; that is no news.
  await node?.close().catch((error: unknown) => { if (state !== 'failed') throw error })
}

function checkCount(nodes: readonly unknown[]): void {
  if (nodes.length >= 1 && nodes.length <= MAXIMUM_CHILDREN) return
  throw storageError('DISK_UNSUPPORTED', `a mirror has 1 to ${MAXIMUM_CHILDREN} disks, not ${nodes.length}`)
}

/** A read that goes on where the last one ended is half of one that does not. */
function cost(child: Child, offset: number): number { return child.reading * 2 + (child.position === offset ? 0 : 1) }
