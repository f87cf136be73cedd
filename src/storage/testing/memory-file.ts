/**
 * Files in memory that remember in which order they were written, so that a test can ask what a host's crash would have left.
 *
 * A crash keeps what a completed flush covers: every write that had *completed* when the flush began. Of the rest it keeps any subset,
 * each write torn at sectors of 512 bytes; changes of the size and holes are kept or lost whole. All files of a store share one order.
 */
import type { Random } from '../../base/testing/random.ts'
import { byteLength, gather } from '../buffers.ts'
import { storageError, type StorageErrorCode } from '../errors.ts'
import { checkWritable, Gate } from '../gate.ts'
import type { StorageFile } from '../storage-file.ts'

const PAGE = 4096
const SECTOR = 512

export type FileOperation = 'read' | 'write' | 'flush' | 'truncate' | 'punch'

type Change =
  | { readonly kind: 'write', readonly name: string, readonly offset: number, readonly bytes: Uint8Array }
  | { readonly kind: 'truncate', readonly name: string, readonly size: number }
  | { readonly kind: 'punch', readonly name: string, readonly offset: number, readonly length: number }
  /** All changes of this file before the entry `covers` are on stable storage. */
  | { readonly kind: 'flush', readonly name: string, readonly covers: number }

/** What a file holds; pages that are not there read as zeros. */
class Content {
  size = 0
  readonly pages = new Map<number, Uint8Array>()

  copy(): Content {
    const copy = new Content()
    copy.size = this.size
    for (const [page, bytes] of this.pages) copy.pages.set(page, bytes.slice())
    return copy
  }

  read(offset: number, into: Uint8Array): void {
    forEachPage(offset, into.length, (page, start, at, length) => {
      const bytes = this.pages.get(page)
      if (bytes === undefined) into.fill(0, at, at + length)
      else into.set(bytes.subarray(start, start + length), at)
    })
  }

  write(offset: number, from: Uint8Array): void {
    forEachPage(offset, from.length, (page, start, at, length) => {
      let bytes = this.pages.get(page)
      if (bytes === undefined) this.pages.set(page, bytes = new Uint8Array(PAGE))
      bytes.set(from.subarray(at, at + length), start)
    })
    if (from.length > 0) this.size = Math.max(this.size, offset + from.length)
  }

  punch(offset: number, length: number): void {
    forEachPage(offset, length, (page, start, _, part) => {
      if (part === PAGE) this.pages.delete(page)
      else this.pages.get(page)?.fill(0, start, start + part)
    })
  }

  truncate(size: number): void {
    for (const page of this.pages.keys()) if (page * PAGE >= size) this.pages.delete(page)
    this.pages.get(Math.floor(size / PAGE))?.fill(0, size % PAGE)
    this.size = size
  }

  apply(change: Change): void {
    if (change.kind === 'write') this.write(change.offset, change.bytes)
    else if (change.kind === 'punch') this.punch(change.offset, change.length)
    else if (change.kind === 'truncate') this.truncate(change.size)
  }
}

function forEachPage(offset: number, length: number, visit: (page: number, start: number, at: number, length: number) => void): void {
  for (let at = 0; at < length;) {
    const start = (offset + at) % PAGE
    const part = Math.min(PAGE - start, length - at)
    visit(Math.floor((offset + at) / PAGE), start, at, part)
    at += part
  }
}

/** A host's folder of files in memory. */
export class MemoryStore {
  /**
   * Asked before each operation: a code makes it fail. Of a write that fails, some sectors may have arrived, as on a real disk.
   *
   * `store.fail = (operation) => operation === 'write' ? 'DISK_FULL' : null`
   */
  fail: ((operation: FileOperation, name: string, offset: number, length: number) => StorageErrorCode | null) | null = null
  /** Operations so far, by kind. */
  readonly counts: Record<FileOperation, number> = { read: 0, write: 0, flush: 0, truncate: 0, punch: 0 }
  /** Turns of the promise queue that an operation takes, at most: calls that overlap then end in any order. */
  delay = 3
  /** Whether files can have holes at all. */
  canPunch = true
  private readonly files = new Map<string, Content>()
  private base = new Map<string, Content>()
  private changes: Change[] = []
  private turns = 1

  /** The place in the order of changes: crashes can be asked for from 0 to here. */
  get now(): number { return this.changes.length }

  has(name: string): boolean { return this.files.has(name) }

  /** Opens a file, an empty one if it is not there. A file may be opened again after it was closed, or abandoned. */
  file(name: string, readOnly = false): MemoryFile {
    if (!this.files.has(name)) this.files.set(name, new Content())
    return new MemoryFile(this, name, readOnly)
  }

  /** The bytes of a file as they are now. */
  bytes(name: string): Uint8Array {
    const content = this.content(name)
    const bytes = new Uint8Array(content.size)
    content.read(0, bytes)
    return bytes
  }

  setBytes(name: string, bytes: Uint8Array): void {
    const content = new Content()
    content.write(0, bytes)
    this.files.set(name, content)
    this.base.set(name, content.copy())
  }

  /** Bytes of pages that a file occupies. */
  occupied(name: string): number { return this.content(name).pages.size * PAGE }

  /** From here on crashes are counted from 0; all there is now is on stable storage. */
  settle(): void {
    this.base = new Map([...this.files].map(([name, content]) => [name, content.copy()]))
    this.changes = []
  }

  /** The files that a crash at the place `at` leaves, all settled. Without `random` nothing is left but what was flushed. */
  crashed(at: number = this.now, random: Random | null = null): MemoryStore {
    const after = new MemoryStore()
    after.canPunch = this.canPunch
    for (const name of this.files.keys()) after.files.set(name, this.base.get(name)?.copy() ?? new Content())
    const durable = this.durableChanges(at)
    for (const [place, change] of this.changes.slice(0, at).entries()) {
      const content = after.content(change.name)
      if (place < (durable.get(change.name) ?? 0)) content.apply(change)
      else if (random !== null) applyPart(content, change, random)
    }
    after.settle()
    return after
  }

  private durableChanges(at: number): Map<string, number> {
    const durable = new Map<string, number>()
    for (const change of this.changes.slice(0, at)) {
      if (change.kind === 'flush') durable.set(change.name, Math.max(durable.get(change.name) ?? 0, change.covers))
    }
    return durable
  }

  /** For MemoryFile. */
  content(name: string): Content {
    const content = this.files.get(name)
    if (content === undefined) throw storageError('DISK_NOT_FOUND', `there is no file ${name}`)
    return content
  }

  /** For MemoryFile. */
  change(change: Change): void {
    this.content(change.name).apply(change)
    this.changes.push(change)
  }

  /** For MemoryFile: lets other calls run, then says whether the operation fails. */
  async begin(operation: FileOperation, name: string, offset = 0, length = 0): Promise<StorageErrorCode | null> {
    this.counts[operation]++
    this.turns = (this.turns * 5 + 3) % 16
    for (let turn = this.turns % (this.delay + 1); turn > 0; turn--) await Promise.resolve()
    return this.fail?.(operation, name, offset, length) ?? null
  }
}

function applyPart(content: Content, change: Change, random: Random): void {
  const fate = random.below(3)
  if (fate === 0) return
  if (change.kind !== 'write' || fate === 1) content.apply(change)
  else tear(change.offset, change.bytes, random, (offset, bytes) => content.write(offset, bytes))
}

/** Passes on some sectors of a write. */
function tear(offset: number, bytes: Uint8Array, random: Random, keep: (offset: number, bytes: Uint8Array) => void): void {
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + SECTOR - (offset + at) % SECTOR)
    if (random.below(2) === 1) keep(offset + at, bytes.subarray(at, end))
    at = end
  }
}

/** A file of a MemoryStore. Made by `MemoryStore.file`. */
export class MemoryFile implements StorageFile {
  readonly path: string
  readonly readOnly: boolean
  private readonly store: MemoryStore
  private readonly gate: Gate

  constructor(store: MemoryStore, path: string, readOnly: boolean) {
    this.store = store
    this.path = path
    this.readOnly = readOnly
    this.gate = new Gate(path)
  }

  get size(): number { return this.store.content(this.path).size }

  read(offset: number, into: readonly Uint8Array[]): Promise<void> {
    return this.operate('read', offset, byteLength(into), () => {
      let at = offset
      for (const buffer of into) {
        this.store.content(this.path).read(at, buffer)
        at += buffer.length
      }
    })
  }

  write(offset: number, from: readonly Uint8Array[]): Promise<void> {
    return this.operate('write', offset, byteLength(from), () => {
      this.store.change({ kind: 'write', name: this.path, offset, bytes: gather(from).slice() })
    }, () => {
      const bytes = gather(from)
      const arrived = bytes.slice(0, Math.floor(bytes.length / 2 / SECTOR) * SECTOR)
      this.store.change({ kind: 'write', name: this.path, offset, bytes: arrived })
    })
  }

  async flush(): Promise<void> {
    const covers = this.store.now
    await this.operate('flush', 0, 0, () => this.store.change({ kind: 'flush', name: this.path, covers }))
  }

  truncate(size: number): Promise<void> {
    return this.operate('truncate', size, 0, () => this.store.change({ kind: 'truncate', name: this.path, size }))
  }

  async punchHole(offset: number, length: number): Promise<boolean> {
    await this.operate('punch', offset, length, () => {
      if (this.store.canPunch) this.store.change({ kind: 'punch', name: this.path, offset, length })
    })
    return this.store.canPunch
  }

  async extent(offset: number, length: number): Promise<{ readonly data: boolean, readonly length: number }> {
    const { pages } = this.store.content(this.path)
    const data = pages.has(Math.floor(offset / PAGE))
    let end = PAGE - offset % PAGE
    while (end < length && pages.has(Math.floor((offset + end) / PAGE)) === data) end += PAGE
    return { data, length: Math.min(end, length) }
  }

  close(): Promise<void> { return this.gate.close(async () => {}) }

  private operate(kind: FileOperation, offset: number, length: number, work: () => void, failing: () => void = () => {}): Promise<void> {
    return this.gate.run(async () => {
      if (kind !== 'read' && kind !== 'flush') checkWritable(this.path, this)
      if (!Number.isSafeInteger(offset) || offset < 0) throw storageError('DISK_OUT_OF_RANGE', `${this.path}: there is no offset ${offset}`)
      const code = await this.store.begin(kind, this.path, offset, length)
      if (code !== null) {
        failing()
        throw storageError(code, `${this.path}: ${kind} of ${length} bytes at ${offset} failed, as the test wants it`)
      }
      work()
    })
  }
}
