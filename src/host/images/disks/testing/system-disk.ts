import { encodeUtf8 } from '../../../../base/utf8.ts'
import { writeExt4 } from '../../../../storage/ext4/writer.ts'
import { emptyDirectory, type Directory } from '../../../../storage/filesystems/tree.ts'
import { RawNode } from '../../../../storage/nodes/raw.ts'
import { PartitionNode } from '../../../../storage/partitions/partition-node.ts'
import { PartitionType } from '../../../../storage/partitions/partition.ts'
import { writeGpt } from '../../../../storage/partitions/writer.ts'
import { openDiskFile } from '../../../disks/disk-file.ts'

const MIB = 1 << 20
/** What Linux calls the partitions' PARTUUID. */
export const PARTITION_IDS = ['aaaaaaaa-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000002'] as const

/** Files by their paths; a text or bytes. */
export type Files = Readonly<Record<string, string | Uint8Array>>

/** Writes a raw disk with a GUID partition table and an ext4 file system in each partition; or, of one alone, without a table. */
export async function writeSystemDisk(path: string, volumes: readonly Files[], { table = true, size = 24 * MIB } = {}): Promise<void> {
  const node = await RawNode.create(await openDiskFile(path, { create: true }), (volumes.length * size) + 2 * MIB)
  const plan = volumes.map((_, index) => ({ type: PartitionType.LINUX_FILE_SYSTEM, guid: PARTITION_IDS[index], size }))
  const parts = table ? (await writeGpt(node, { guid: 'bbbbbbbb-0000-4000-8000-000000000000', partitions: plan })).map(each => new PartitionNode(node, each)) : [node]
  for (const [index, part] of parts.entries()) await writeExt4(part, treeOf(volumes[index]), { uuid: new Uint8Array(16).fill(index + 1), label: `part${index}`, time: 1 })
  await node.close()
}

function treeOf(files: Files): Directory {
  const root = emptyDirectory(0o755, 1)
  for (const [path, content] of Object.entries(files)) {
    const names = path.split('/').filter(name => name !== '')
    const bytes = typeof content === 'string' ? encodeUtf8(content) : content
    const folder = names.slice(0, -1).reduce(childOf, root)
    folder.children.set(names.at(-1)!, { kind: 'file', permissions: 0o755, uid: 0, gid: 0, modified: 1, size: bytes.length, content: () => [bytes] })
  }
  return root
}

function childOf(parent: Directory, name: string): Directory {
  const known = parent.children.get(name)
  if (known?.kind === 'directory') return known
  const made = emptyDirectory(0o755, 1)
  parent.children.set(name, made)
  return made
}
