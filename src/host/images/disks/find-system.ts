/**
 * Looks for a Linux on a disk that somebody else made: where its root file system is, and by which kernel it boots without its boot
 * loader. Distributions' cloud images, and what mmdebstrap writes, are such disks.
 *
 * The root is the ext2, ext3 or ext4 file system that has a program to start (`/sbin/init` and the like). The kernel is the newest
 * `vmlinuz-RELEASE` in its `/boot`, or on a partition of its own that is mounted there. An initrd is taken along unless the kernel's
 * configuration, which distributions leave beside it, says that it has NVMe and ext4 built in: without one a guest boots quicker.
 *
 * Left out on purpose: other file systems, LVM, RAID, encryption, and boot loaders' menus.
 */
import type { BlockNode } from '../../../storage/block-node.ts'
import { Ext4Reader } from '../../../storage/ext4/reader.ts'
import type { Partition } from '../../../storage/partitions/partition.ts'
import { PartitionNode } from '../../../storage/partitions/partition-node.ts'
import { readPartitions } from '../../../storage/partitions/reader.ts'
import { hostError } from '../../errors.ts'
import { compareVersions } from '../archive/version.ts'
import { ROOT_DEVICE } from './names.ts'

export interface FoundSystem {
  /** What the kernel has as its root: a device, or PARTUUID=…. */
  readonly root: string
  /** Absent if there is none to be found. */
  readonly kernel?: FoundKernel
}

export interface FoundKernel {
  readonly release: string
  readonly kernel: Uint8Array
  readonly initrd?: Uint8Array
}

const INITS = ['/sbin/init', '/usr/sbin/init', '/usr/lib/systemd/systemd', '/bin/init', '/init']
const KERNEL = /^vmlinuz-(.+)$/
/** `6.1.0-28-cloud-amd64`, `6.5.6-300.fc39.x86_64`. */
const RELEASE = /^[A-Za-z0-9.+~_-]+$/
const RESCUE = /rescue/
const LARGEST_KERNEL = 128 * 1024 ** 2
const LARGEST_INITRD = 512 * 1024 ** 2
const LARGEST_CONFIGURATION = 4 * 1024 ** 2
/** What a kernel must have built in to find the root of a guest. */
const BUILT_IN = ['CONFIG_BLK_DEV_NVME=y', 'CONFIG_EXT4_FS=y']

/** A file system on the disk. */
interface Volume {
  readonly files: Ext4Reader
  readonly root: string
}

/** Throws TenonError IMAGE_UNBOOTABLE if there is no root, and what the disk and its file systems throw. */
export async function findSystem(disk: BlockNode): Promise<FoundSystem> {
  const { kind, partitions } = await readPartitions(disk)
  const volumes = partitions.length === 0 ? await volumesOf(disk, [undefined]) : await volumesOf(disk, partitions)
  const root = await firstWhere(volumes, hasInit)
  if (root === undefined) throw noRoot(kind, partitions.length, volumes.length)
  for (const [volume, folder] of [[root, '/boot'] as const, ...volumes.filter(each => each !== root).map(each => [each, '/'] as const)]) {
    const kernel = await kernelIn(volume.files, folder)
    if (kernel !== undefined) return { root: root.root, kernel }
  }
  return { root: root.root }
}

function noRoot(kind: string, partitions: number, volumes: number): Error {
  const where = kind === 'none' ? 'it has no partitions and is no ext4 file system that one could boot from' : `of its ${partitions} partitions ${volumes} are ext4, and none has an init`
  return hostError('IMAGE_UNBOOTABLE', `there is no Linux to be found on the disk: ${where}; if there is one all the same, give --kernel, and --append with its root=`)
}

/** Those that are ext2 to ext4. Undefined is the whole disk. */
async function volumesOf(disk: BlockNode, partitions: readonly (Partition | undefined)[]): Promise<Volume[]> {
  const volumes: Volume[] = []
  for (const partition of partitions) {
    const node = partition === undefined ? disk : partitionOf(disk, partition)
    const files = node && await Ext4Reader.open(node).catch(otherFileSystem)
    if (files !== undefined) volumes.push({ files, root: partition === undefined ? ROOT_DEVICE : `PARTUUID=${partition.guid}` })
  }
  return volumes
}

/** A table may name what lies beyond the disk's end. */
function partitionOf(disk: BlockNode, { offset, size }: Partition): PartitionNode | undefined {
  return offset + size > disk.size ? undefined : new PartitionNode(disk, { offset, size })
}

function otherFileSystem(error: { readonly code?: string }): undefined {
  if (error.code !== 'DISK_UNKNOWN_FORMAT') throw error
}

async function firstWhere(volumes: readonly Volume[], holds: (volume: Volume) => Promise<boolean>): Promise<Volume | undefined> {
  for (const volume of volumes) if (await holds(volume)) return volume
}

async function hasInit({ files }: Volume): Promise<boolean> {
  for (const path of INITS) if ((await files.find(path))?.kind === 'file') return true
  return false
}

async function kernelIn(files: Ext4Reader, folder: string): Promise<FoundKernel | undefined> {
  const entries = await files.list(folder) ?? []
  const releases = entries.flatMap(({ name }) => KERNEL.exec(name)?.[1] ?? []).filter(release => RELEASE.test(release) && !RESCUE.test(release))
  for (const release of releases.sort((a, b) => compareVersions(comparable(b), comparable(a)))) {
    const path = `${folder}/vmlinuz-${release}`
    if ((await files.find(path))?.kind !== 'file') continue
    return { release, kernel: await files.readFile(path, LARGEST_KERNEL), initrd: await initrdFor(files, folder, release) }
  }
}

/** In the letters of Debian's versions. */
function comparable(release: string): string { return release.replaceAll('_', '.') }

async function initrdFor(files: Ext4Reader, folder: string, release: string): Promise<Uint8Array | undefined> {
  if (await findsItsRoot(files, `${folder}/config-${release}`)) return undefined
  for (const name of [`initrd.img-${release}`, `initramfs-${release}.img`, `initrd-${release}`]) {
    const path = `${folder}/${name}`
    if ((await files.find(path))?.kind === 'file') return files.readFile(path, LARGEST_INITRD)
  }
}

async function findsItsRoot(files: Ext4Reader, configuration: string): Promise<boolean> {
  if ((await files.find(configuration))?.kind !== 'file') return false
  const lines = new Set(new TextDecoder().decode(await files.readFile(configuration, LARGEST_CONFIGURATION)).split('\n'))
  return BUILT_IN.every(line => lines.has(line))
}
