/**
 * The kernel on a guest's own disk, as its boot loader would find it: the newest `/boot/vmlinuz-RELEASE` that has its modules, with
 * `initrd.img-RELEASE` if there is one. So an upgrade inside the guest takes effect when it is started again.
 *
 * Left out on purpose: boot loaders' menus, file systems other than ext2 to ext4, disks of LVM and RAID.
 */
import type { BlockNode } from '../../storage/block-node.ts'
import { Ext4Reader } from '../../storage/ext4/reader.ts'
import { openDisk } from '../../storage/open.ts'
import { PartitionNode } from '../../storage/partitions/partition-node.ts'
import { readPartitions } from '../../storage/partitions/reader.ts'
import { hostEnvironment } from '../disks/environment.ts'
import { compareVersions, isVersion } from '../images/archive/version.ts'

export interface OwnKernel {
  readonly kernel: Uint8Array
  readonly initrd?: Uint8Array
  /** Such as `6.1.0-28-amd64`. */
  readonly release: string
}

const KERNEL = /^vmlinuz-(.+)$/
const LARGEST_KERNEL = 128 * 1024 ** 2
const LARGEST_INITRD = 512 * 1024 ** 2

/** Looks at a disk that nobody has open. Undefined: it has no kernel. Throws TenonErrors of disks and file systems. */
export async function findOwnKernel(path: string): Promise<OwnKernel | undefined> {
  const disk = await openDisk(path, hostEnvironment(), { readOnly: true })
  try {
    for (const part of await partsOf(disk)) {
      const found = await kernelIn(part)
      if (found !== undefined) return found
    }
  } finally {
    await disk.close()
  }
}

/** The disk, or its partitions if it has any. */
async function partsOf(disk: BlockNode): Promise<BlockNode[]> {
  const { partitions } = await readPartitions(disk)
  return partitions.length === 0 ? [disk] : partitions.map(partition => new PartitionNode(disk, partition))
}

async function kernelIn(part: BlockNode): Promise<OwnKernel | undefined> {
  const files = await Ext4Reader.open(part).catch((error: { code?: string }) => {
    if (error.code === 'DISK_UNKNOWN_FORMAT') return undefined
    throw error
  })
  const release = files && await newestRelease(files)
  if (files === undefined || release === undefined) return undefined
  const initrd = `/boot/initrd.img-${release}`
  return {
    release,
    kernel: await files.readFile(`/boot/vmlinuz-${release}`, LARGEST_KERNEL),
    initrd: (await files.find(initrd))?.kind === 'file' ? await files.readFile(initrd, LARGEST_INITRD) : undefined,
  }
}

async function newestRelease(files: Ext4Reader): Promise<string | undefined> {
  const releases = (await files.list('/boot') ?? []).flatMap(({ name }) => KERNEL.exec(name)?.[1] ?? []).filter(isVersion)
  for (const release of releases.sort((a, b) => compareVersions(b, a))) {
    const [kernel, modules] = await Promise.all([files.find(`/boot/vmlinuz-${release}`), files.find(`/lib/modules/${release}`)])
    if (kernel?.kind === 'file' && modules?.kind === 'directory') return release
  }
}
