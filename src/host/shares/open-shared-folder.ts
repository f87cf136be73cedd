import { accessSync, constants, existsSync, fstatSync, lstatSync, realpathSync, statSync } from 'node:fs'
import { hostError } from '../errors.ts'
import { CheckedPaths, DescriptorPaths, hostPath, openFolder, rootPath } from './folder-paths.ts'
import type { FolderPaths } from './folder-paths.ts'
import type { ShareOrder } from './share-order.ts'
import { NodeTable } from './share-node.ts'
import { SharedFolder } from './shared-folder.ts'

/** Ways to its folders: the safest that the host has. */
export type PathsKind = 'descriptors' | 'checked'

/** Opens a folder of the host for a guest. @throws TenonError SHARE_UNFIT. */
export function openSharedFolder(order: ShareOrder, kind: PathsKind = bestKind()): SharedFolder {
  const path = rootPath(resolveFolder(order))
  const { nodes, paths } = kind === 'descriptors' ? byDescriptors(path) : byChecks(path)
  return new SharedFolder({ nodes, paths, readOnly: order.readOnly === true, owner: { user: order.user ?? 0, group: order.group ?? 0 } })
}

function bestKind(): PathsKind { return process.platform === 'linux' && existsSync('/proc/self/fd') ? 'descriptors' : 'checked' }

function byDescriptors(path: string): { nodes: NodeTable, paths: FolderPaths } {
  const descriptor = openFolder(path)
  const nodes = new NodeTable(fstatSync(descriptor, { bigint: true }))
  return { nodes, paths: new DescriptorPaths(nodes.root, descriptor, (node, stats) => nodes.is(node, stats)) }
}

function byChecks(path: string): { nodes: NodeTable, paths: FolderPaths } {
  const nodes = new NodeTable(lstatSync(hostPath(path), { bigint: true }))
  return { nodes, paths: new CheckedPaths(nodes.root, path, (node, stats) => nodes.is(node, stats)) }
}

/** The folder's real path. What the user names may be a symbolic link; what is below it never is followed. */
function resolveFolder({ path, readOnly }: ShareOrder): string {
  try {
    const real = realpathSync(path)
    if (!statSync(real).isDirectory()) throw hostError('SHARE_UNFIT', `${path} cannot be shared: it is no folder`)
    accessSync(real, constants.R_OK | constants.X_OK | (readOnly ? 0 : constants.W_OK))
    return real
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'SHARE_UNFIT') throw error
    throw hostError('SHARE_UNFIT', `${path} cannot be shared: ${REASONS[code ?? ''] ?? `the host says ${code ?? message}`}`, error)
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such folder',
  ENOTDIR: 'a part of its path is no folder',
  ELOOP: 'its symbolic links lead in a circle',
  EACCES: 'its permissions forbid it: share it with ,readonly if you may read it',
  EROFS: 'its file system is read-only: share it with ,readonly',
}
