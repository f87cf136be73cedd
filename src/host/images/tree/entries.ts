import type { FileContent } from './content.ts'
import type { Attributes, DirectoryNode, FileNode, FileTree, TreeNode } from './file-tree.ts'

/**
 * A tree as a list, for those who write it somewhere: parents before children, names in the order of their UTF-16 codes, and of a file
 * with several names the first with its content, the others as links to it.
 */
export type TreeEntry = Attributes & { /** Without a leading slash; empty for the root. */ readonly path: string } & (
  | { readonly kind: 'directory' | 'fifo' }
  | { readonly kind: 'file', readonly content: FileContent }
  | { readonly kind: 'symlink', readonly target: string }
  | { readonly kind: 'hardlink', /** The first name's path. */ readonly target: string }
  | { readonly kind: 'character-device' | 'block-device', readonly device: { readonly major: number, readonly minor: number } }
)

export function* listTree(tree: FileTree): Generator<TreeEntry> {
  yield { ...attributesOf(tree.root), kind: 'directory', path: '' }
  yield* listDirectory(tree.root, '', new Map())
}

function* listDirectory(directory: DirectoryNode, prefix: string, files: Map<FileNode, string>): Generator<TreeEntry> {
  for (const name of [...directory.children.keys()].sort()) {
    const node = directory.children.get(name)!
    const path = `${prefix}${name}`
    yield entryOf(node, path, files)
    if (node.kind === 'directory') yield* listDirectory(node, `${path}/`, files)
  }
}

function entryOf(node: TreeNode, path: string, files: Map<FileNode, string>): TreeEntry {
  if (node.kind === 'directory') return { ...attributesOf(node), kind: 'directory', path }
  if (node.kind !== 'file') return { ...node, path }
  const target = files.get(node)
  if (target !== undefined) return { ...attributesOf(node), kind: 'hardlink', path, target }
  files.set(node, path)
  return { ...node, path }
}

function attributesOf({ permissions, uid, gid, modified }: Attributes): Attributes {
  return { permissions, uid, gid, modified }
}
