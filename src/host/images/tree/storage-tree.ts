import type { Directory, TreeNode as StorageNode } from '../../../storage/filesystems/tree.ts'
import type { DirectoryNode, FileNode, TreeNode } from './file-tree.ts'

/** The tree as the writers of file systems take it; a file with several names stays one. Contents are shared, not copied. */
export function toStorageTree(root: DirectoryNode): Directory {
  return directoryOf(root, new Map())
}

function directoryOf({ permissions, uid, gid, modified, children }: DirectoryNode, files: Map<FileNode, StorageNode>): Directory {
  const names = [...children.keys()].sort()
  return { kind: 'directory', permissions, uid, gid, modified, children: new Map(names.map(name => [name, nodeOf(children.get(name)!, files)])) }
}

function nodeOf(node: TreeNode, files: Map<FileNode, StorageNode>): StorageNode {
  if (node.kind === 'directory') return directoryOf(node, files)
  if (node.kind === 'file') return fileOf(node, files)
  const { permissions, uid, gid, modified } = node
  const common = { permissions, uid, gid, modified }
  switch (node.kind) {
    case 'symlink': return { ...common, kind: 'symbolic-link', target: node.target }
    case 'fifo': return { ...common, kind: 'fifo' }
    default: return { ...common, kind: node.kind, ...node.device }
  }
}

function fileOf(node: FileNode, files: Map<FileNode, StorageNode>): StorageNode {
  const { permissions, uid, gid, modified, content } = node
  const known = files.get(node)
  if (known !== undefined) return known
  const made: StorageNode = { permissions, uid, gid, modified, kind: 'file', size: content.size, content: () => content.chunks() }
  files.set(node, made)
  return made
}
