/**
 * A tree of files that a file system is made of. A node that stands under several names is one file with several hard links; only
 * directories may not.
 */
export type TreeNode = Directory | RegularFile | SymbolicLink | DeviceNode | Special

interface Common {
  /** Permission bits, 0 to 0o7777. */
  readonly permissions: number
  readonly uid: number
  readonly gid: number
  /** Seconds since 1970. */
  readonly modified: number
  /** Extended attributes by their full name, such as `security.capability`. */
  readonly attributes?: ReadonlyMap<string, Uint8Array>
}

export interface Directory extends Common {
  readonly kind: 'directory'
  readonly children: Map<string, TreeNode>
}

export interface RegularFile extends Common {
  readonly kind: 'file'
  /** Bytes that `content` gives. */
  readonly size: number
  /** The content in pieces of any length, so that it need not be in memory. Called once. */
  readonly content: () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

export interface SymbolicLink extends Common {
  readonly kind: 'symbolic-link'
  readonly target: string
}

export interface DeviceNode extends Common {
  readonly kind: 'character-device' | 'block-device'
  readonly major: number
  readonly minor: number
}

export interface Special extends Common {
  readonly kind: 'fifo' | 'socket'
}

/** A directory without children. */
export function emptyDirectory(permissions = 0o755, modified = 0): Directory {
  return { kind: 'directory', permissions, uid: 0, gid: 0, modified, children: new Map() }
}
