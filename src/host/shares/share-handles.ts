import { closeSync } from 'node:fs'
import { FuseError } from '../../storage/fuse/errors.ts'
import type { OpenMode } from '../../storage/fuse/file-system.ts'
import type { FolderStream } from './folder-stream.ts'
import type { ShareNode } from './share-node.ts'

/** Files and folders that a guest may have open at once, each a descriptor of the host. */
export const MAXIMUM_HANDLES = 2048

export interface FileHandle {
  readonly kind: 'file'
  readonly node: ShareNode
  readonly how: OpenMode
  /** Undefined after a restore, until it is used. */
  descriptor: number | undefined
}

export interface FolderHandle {
  readonly kind: 'folder'
  readonly node: ShareNode
  readonly stream: FolderStream
}

export type ShareHandle = FileHandle | FolderHandle

/** What a guest has open, by number. Numbers are not used again. */
export class HandleTable {
  private readonly byId = new Map<number, ShareHandle>()
  private nextId = 1

  get next(): number { return this.nextId }
  get entries(): Iterable<[number, ShareHandle]> { return this.byId }

  /** @throws FuseError ENFILE: to be called before anything is opened. */
  checkRoom(): void {
    if (this.byId.size >= MAXIMUM_HANDLES) throw new FuseError('ENFILE')
  }

  add(handle: ShareHandle): number {
    this.byId.set(this.nextId, handle)
    return this.nextId++
  }

  /** @throws FuseError EBADF. */
  get(id: number): ShareHandle {
    const handle = this.byId.get(id)
    if (handle === undefined) throw new FuseError('EBADF')
    return handle
  }

  /** @throws FuseError EBADF. */
  file(id: number): FileHandle {
    const handle = this.get(id)
    if (handle.kind !== 'file') throw new FuseError('EBADF')
    return handle
  }

  /** @throws FuseError EBADF. */
  folder(id: number): FolderHandle {
    const handle = this.get(id)
    if (handle.kind !== 'folder') throw new FuseError('EBADF')
    return handle
  }

  /** An open file of this node: all that is left of one that was removed. */
  anyOf(node: ShareNode): FileHandle | undefined {
    for (const handle of this.byId.values()) {
      if (handle.kind === 'file' && handle.node === node && handle.descriptor !== undefined) return handle
    }
    return undefined
  }

  release(id: number): void {
    const handle = this.byId.get(id)
    this.byId.delete(id)
    if (handle?.kind === 'folder') handle.stream.close()
    else if (handle?.descriptor !== undefined) closeSync(handle.descriptor)
  }

  clear(): void { for (const id of this.byId.keys()) this.release(id) }

  /** For a restore, into a table that is empty. */
  put(id: number, handle: ShareHandle): void { this.byId.set(id, handle) }
  continueFrom(next: number): void { this.nextId = next }
}
