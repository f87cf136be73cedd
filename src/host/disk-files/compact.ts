/** Makes a disk's file as small as what it holds. */
import { stat } from 'node:fs/promises'
import type { BlockNode } from '../../storage/block-node.ts'
import { storageError } from '../../storage/errors.ts'
import { openDisk } from '../../storage/open.ts'
import { Qcow2Node } from '../../storage/qcow2/node.ts'
import { VhdFixedNode } from '../../storage/vhd/fixed.ts'
import { hostEnvironment } from '../disks/environment.ts'
import { writeDisk } from './convert.ts'
import { type FormatName, formatByName, graphOf } from './formats.ts'
import { replaceFile } from './new-file.ts'
import { watchFile } from './watched-file.ts'
import { reporter, type DiskWork } from './work.ts'

export interface Compacted {
  /** Bytes that it took on the host, and takes now. */
  readonly before: number
  readonly after: number
}

/**
 * Writes a disk anew, without what it does not use, and puts the new file in its place. A qcow2 keeps its snapshots and its backing file.
 * Rejects with DISK_IN_USE, DISK_CORRUPT, DISK_UNSUPPORTED for other disks with a backing file or several files.
 */
export async function compactDisk(path: string, work: DiskWork = {}, format?: FormatName): Promise<Compacted> {
  const files: string[] = []
  const environment = hostEnvironment({ disturbSuspended: work.disturbSuspended })
  const before = (await stat(path).catch(() => ({ blocks: 0 }))).blocks * 512
  const node = await openDisk(graphOf(path, format), {
    ...environment,
    openFile(opened, options) {
      files.push(opened)
      return environment.openFile(opened, options)
    },
  })
  try {
    await compactNode(node, path, files.length, before, work)
  } finally {
    await node.close()
  }
  return { before, after: (await stat(path)).blocks * 512 }
}

async function compactNode(node: BlockNode, path: string, files: number, occupied: number, work: DiskWork): Promise<void> {
  if (node instanceof Qcow2Node) {
    const report = reporter(work, path)
    return replaceFile(path, file => node.compactInto(watchFile(file, work, written => report(Math.min(written, occupied), occupied))))
  }
  if (files > 1) throw storageError('DISK_UNSUPPORTED', `${path} is a ${node.kind} in several files, or with a backing file, and is not compacted: convert it`)
  if (node instanceof VhdFixedNode) throw storageError('DISK_UNSUPPORTED', `${path} is a VHD of fixed size: convert it, and it will be thin`)
  await replaceFile(path, file => writeDisk(node, file, path, { ...work, format: formatByName(node.kind) }))
}
