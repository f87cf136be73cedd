import type { BlockNode } from './block-node.ts'
import type { StorageFile } from './storage-file.ts'

/** The two ends of a file, by which formats are known. Shorter where the file is. */
export interface Probe {
  /** The first 4096 bytes. */
  readonly head: Uint8Array
  /** The last 512 bytes. */
  readonly tail: Uint8Array
}

/** What a disk needs from the world around this room. The host gives it; see `openDisk`. */
export interface StorageEnvironment {
  /** Opens a file; rejects with DISK_NOT_FOUND, DISK_IN_USE, DISK_READ_ONLY and so on. It may refuse paths that it does not like. */
  openFile(path: string, options: { readonly readOnly: boolean }): Promise<StorageFile>
  /**
   * The path that `reference` means where it stands in the file `from` (null: in a description), in its one true form: two references to
   * one file give the same text.
   */
  resolvePath(from: string | null, reference: string): Promise<string>
  /** SHA-256, 32 bytes; dedup needs it. */
  sha256?(bytes: Uint8Array): Uint8Array
  /** Raw DEFLATE, zlib and zstd, each to exactly `length` bytes; formats with compressed clusters need them. They throw on damage. */
  readonly decompress?: Readonly<Record<'deflate' | 'zlib' | 'zstd', (bytes: Uint8Array, length: number) => Uint8Array>>
  /** Milliseconds that only ever rise, and a wait; limits need them. */
  readonly timer?: Timer
  /** Kinds of node that are not this room's: a disk over the network. */
  readonly kinds?: Readonly<Record<string, KindOpener>>
  /** Told of what a user should know: a mirror that has lost a child. */
  notice?(message: string): void
}

export interface Timer {
  /** Milliseconds, in fractions if it can; never goes back. */
  now(): number
  /** Calls back once, after so many milliseconds or later. Returns how to call it off. */
  after(milliseconds: number, callback: () => void): () => void
}

/** Opens a node of a kind that the environment brings; the fields are those of the description, unchecked. */
export type KindOpener = (fields: Readonly<Record<string, unknown>>, readOnly: boolean) => Promise<BlockNode>

/** How a format is opened; what it opens besides its own file is closed by `openDisk` if it fails. */
export interface FormatContext {
  readonly readOnly: boolean
  readonly environment: StorageEnvironment
  /** The backing node that the description gives in place of the one that the file names. */
  readonly backing?: BlockNode
  /**
   * Opens what the file names as its backing disk, for reading. Null for `format`: it is probed. Refuses circles and chains of over 200.
   */
  openBacking(reference: string, format: string | null): Promise<BlockNode>
  /** Opens another file that belongs to this disk: an extent of a VMDK. */
  openPart(reference: string, readOnly: boolean): Promise<StorageFile>
}

/** A format of disk files. */
export interface DiskFormat {
  /** As descriptions and users name it, and as the node's `kind`. */
  readonly name: string
  /** Whether these are a file's ends in this format. False for raw, which everything is. */
  recognises(probe: Probe): boolean
  /** The node owns the file and what it opened, from its success on. */
  open(file: StorageFile, context: FormatContext): Promise<BlockNode>
}
