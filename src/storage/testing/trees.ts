import { emptyDirectory } from '../filesystems/tree.ts'
import type { Directory, RegularFile, TreeNode } from '../filesystems/tree.ts'

/** Of everything in test trees, in seconds since 1970: 2023-11-14 22:13:20. */
export const TREE_TIME = 1_700_000_000

/** What a test's files have that it does not care about. */
export const PLAIN = { permissions: 0o644, uid: 0, gid: 0, modified: TREE_TIME }

export function file(content: Uint8Array | string, fields: Partial<RegularFile> = {}): RegularFile {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content
  return { kind: 'file', ...PLAIN, size: bytes.length, content: () => [bytes], ...fields }
}

export function directory(children: Record<string, TreeNode>, fields: Partial<Directory> = {}): Directory {
  return { ...emptyDirectory(0o755, TREE_TIME), children: new Map(Object.entries(children)), ...fields }
}
