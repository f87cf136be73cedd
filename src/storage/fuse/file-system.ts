/**
 * What stands behind the protocol: files and folders, by numbers. Every call does its work at once, on the server's thread, one after
 * another. It throws a FuseError, or the host's own error with its name in `code`, and the guest gets that error.
 *
 * A *node* is a file or folder that the guest knows by number; it was counted once for each `FileEntry` that the guest got of it, and is
 * dropped when `forget` has taken them all back. A *handle* is an open file or folder.
 */
import type { Buffers } from '../buffers.ts'
import type { ByteString } from './names.ts'

export interface FileAttributes {
  readonly inode: bigint
  readonly size: bigint
  /** Of 512 bytes. */
  readonly blocks: bigint
  /** Nanoseconds since 1970. */
  readonly accessed: bigint
  readonly modified: bigint
  readonly changed: bigint
  /** Type and permissions, as Linux has them. */
  readonly mode: number
  readonly links: number
  readonly user: number
  readonly group: number
  readonly blockSize: number
}

/** A node with its attributes, counted once more. */
export interface FileEntry {
  readonly node: number
  readonly attributes: FileAttributes
}

/** A time to set, in seconds since 1970, or the present. */
export type NewTime = number | 'now'

export interface AttributeChanges {
  readonly mode?: number
  readonly user?: number
  readonly group?: number
  readonly size?: number
  readonly accessed?: NewTime
  readonly modified?: NewTime
}

export interface CreatedFile {
  readonly entry: FileEntry
  readonly handle: number
}

/** How to open a file. */
export interface OpenMode {
  readonly reads: boolean
  readonly writes: boolean
  readonly appends: boolean
  readonly truncates: boolean
  /** Writes are on stable storage when they are answered: the data, or all of it. */
  readonly synchronous: 'no' | 'data' | 'all'
}

/** A name in a folder. */
export interface FolderEntry {
  readonly name: ByteString
  readonly attributes: FileAttributes
  /** Counts it as `lookup` does. Gives its node. */
  count(): number
}

/** Of the file system that the share is in; sizes in blocks. */
export interface FileSystemFigures {
  readonly blockSize: number
  readonly blocks: bigint
  readonly free: bigint
  readonly available: bigint
  readonly files: bigint
  readonly freeFiles: bigint
}

export interface FuseFileSystem {
  /** Changes are refused before they come here. */
  readonly readOnly: boolean
  lookup(folder: number, name: ByteString): FileEntry
  forget(node: number, count: number): void
  attributes(node: number, handle: number | undefined): FileAttributes
  setAttributes(node: number, changes: AttributeChanges, handle: number | undefined): FileAttributes
  readLink(node: number): Uint8Array
  makeLink(folder: number, name: ByteString, target: ByteString): FileEntry
  makeFile(folder: number, name: ByteString, mode: number): FileEntry
  makeFolder(folder: number, name: ByteString, mode: number): FileEntry
  removeFile(folder: number, name: ByteString): void
  removeFolder(folder: number, name: ByteString): void
  rename(folder: number, name: ByteString, newFolder: number, newName: ByteString, mayReplace: boolean): void
  link(node: number, folder: number, name: ByteString): FileEntry
  /** Whether the host lets us read (4), write (2), execute (1); 0: whether it is there. */
  access(node: number, mask: number): void
  open(node: number, how: OpenMode): number
  /** `exclusive`: the name must be free. */
  create(folder: number, name: ByteString, mode: number, how: OpenMode, exclusive: boolean): CreatedFile
  /** Fewer bytes than asked for only at the file's end. */
  read(handle: number, offset: number, into: Buffers): number
  write(handle: number, offset: number, from: Buffers): number
  synchronize(handle: number, dataOnly: boolean): void
  release(handle: number): void
  openFolder(node: number): number
  /**
   * Calls `take` with entries from the one that is number `from`, `.` and `..` first, until it returns false (that one comes again the
   * next time) or there are no more.
   */
  readFolder(handle: number, from: number, take: (entry: FolderEntry, next: number) => boolean): void
  figures(node: number): FileSystemFigures
  /** The guest has unmounted, or mounts anew: nodes and handles are gone. */
  reset(): void
}
