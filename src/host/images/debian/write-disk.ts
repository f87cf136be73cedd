import { RawNode } from '../../../storage/nodes/raw.ts'
import { writeExt4 } from '../../../storage/ext4/writer.ts'
import { openDiskFile } from '../../disks/disk-file.ts'
import type { ProgressListener } from '../progress.ts'
import { toStorageTree } from '../tree/storage-tree.ts'
import type { UnconfiguredImage } from './build.ts'

export interface WriteDiskOptions {
  readonly progress?: ProgressListener
  readonly signal?: AbortSignal
}

/**
 * Writes an image to a new raw disk at `path`: one ext4 file system without a partition table, sparse. The same image gives the same
 * bytes. Throws TenonError DISK_*, FILESYSTEM_TOO_SMALL or FILE_UNFIT; the file is then of no use.
 */
export async function writeImageDisk(image: UnconfiguredImage, path: string, { progress = () => {}, signal }: WriteDiskOptions = {}): Promise<void> {
  const node = await RawNode.create(await openDiskFile(path, { create: true }), image.definition.disk.size)
  try {
    await writeExt4(node, toStorageTree(image.tree.root), {
      uuid: Buffer.from(image.uuid.replaceAll('-', ''), 'hex'), label: 'root', time: image.modified, signal,
      progress: (done, total) => progress({ kind: 'transfer', name: 'the disk', received: done, total, action: 'writing' }),
    })
    await node.flush()
  } finally {
    await node.close()
  }
}
