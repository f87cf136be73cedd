/** Copies of disks in other formats: flat, without zeros. */
import { basename } from 'node:path'
import { promisify } from 'node:util'
import { deflate, deflateRaw } from 'node:zlib'
import type { BlockNode } from '../../storage/block-node.ts'
import { copyNode } from '../../storage/copy.ts'
import { storageError } from '../../storage/errors.ts'
import { openDisk } from '../../storage/open.ts'
import { copyCompressed } from '../../storage/qcow2/compressed-copy.ts'
import { Qcow2Node } from '../../storage/qcow2/node.ts'
import { writeStreamOptimizedVmdk } from '../../storage/vmdk/stream-optimized.ts'
import type { StorageFile } from '../../storage/storage-file.ts'
import { isDescription } from '../disks/disk-description.ts'
import type { DiskGraph } from '../disks/disk-order.ts'
import { hostEnvironment } from '../disks/environment.ts'
import { isNbdUri } from '../disks/nbd-uri.ts'
import { createTarget, newContentId } from './create.ts'
import { describedGraphOf, type FormatName } from './formats.ts'
import { makeFile, type NewFileOptions } from './new-file.ts'
import { watchFile } from './watched-file.ts'
import { reporter, type DiskWork } from './work.ts'

const SECTOR = 512
/** A qcow2's clusters are compressed with a window of 4 KiB. */
const QCOW2_WINDOW_BITS = 12

const deflateThere = promisify(deflate)
const deflateRawThere = promisify<Uint8Array, { readonly windowBits: number }, Buffer>(deflateRaw)

export interface ConvertOptions extends NewFileOptions, DiskWork {
  /** Of the new disk. */
  readonly format: FormatName
  /** Of the old one; probed if left out. */
  readonly sourceFormat?: FormatName
  readonly compress?: boolean
  readonly thick?: boolean
}

/**
 * Copies what a disk reads as, through all its backing files, to a new one. Nobody may write the source meanwhile. A target that is an
 * NBD address, or describes a disk, is there already, and large enough. Returns the bytes of the new disk.
 */
export async function convertDisk(source: string, target: string, options: ConvertOptions): Promise<number> {
  return convertGraph(await describedGraphOf(source, options.sourceFormat), target, options)
}

/** As `convertDisk`, from any graph of nodes. */
export async function convertGraph(source: DiskGraph, target: string, options: ConvertOptions): Promise<number> {
  const node = await openDisk(source, hostEnvironment(), { readOnly: true, place: 'the source' })
  try {
    if (isNbdUri(target) || isDescription(target)) await overwrite(node, target, options)
    else await makeFile(target, options, file => writeDisk(node, file, target, options))
    return node.size
  } finally {
    await node.close()
  }
}

/** A disk over the network, or one that is described: every byte is written, since nobody knows what is there. */
async function overwrite(source: BlockNode, target: string, options: ConvertOptions): Promise<void> {
  if (options.format !== 'raw') throw storageError('DISK_UNSUPPORTED', `${target} is a disk of raw bytes, not of ${options.format}: leave the format out`)
  if (isDescription(target) && options.force !== true) {
    throw storageError('DISK_EXISTS', `${target} describes a disk that is there already: overwrite it with --force`)
  }
  const node = await openDisk(await describedGraphOf(target), hostEnvironment(), { place: 'the target' })
  try {
    await copyNode(source, node, { progress: reporter(options, target), signal: options.signal })
  } finally {
    await node.close()
  }
}

/** Fills a new file with a disk. `name`: what progress is reported under. */
export async function writeDisk(source: BlockNode, file: StorageFile, name: string, options: ConvertOptions): Promise<void> {
  const { format, compress = false, thick = false, signal } = options
  if (compress && thick) throw storageError('DISK_UNSUPPORTED', 'a disk is compressed or thick, not both: leave out one of the two')
  if (compress && format !== 'qcow2' && format !== 'vmdk') throw storageError('DISK_UNSUPPORTED', `a ${format} cannot be compressed: choose qcow2 or vmdk`)
  const progress = reporter(options, name)
  if (compress && format === 'vmdk') return writeStream(source, file, name, options)
  // What is written before the copy is zeros, for thick disks.
  const node = await createTarget(watchFile(file, options, () => {}), format, Math.ceil(source.size / SECTOR) * SECTOR, { thick })
  try {
    if (compress && node instanceof Qcow2Node) {
      await copyCompressed(source, node, cluster => deflateRawThere(cluster, { windowBits: QCOW2_WINDOW_BITS }), { progress, signal })
    } else await copyNode(source, node, { targetIsZero: true, progress, signal })
    progress(node.size, node.size)
  } finally {
    await node.close()
  }
}

async function writeStream(source: BlockNode, file: StorageFile, name: string, { signal, ...work }: ConvertOptions): Promise<void> {
  let at = 0
  const report = reporter(work, name)
  await writeStreamOptimizedVmdk(source, {
    fileName: basename(name), contentId: newContentId(), compress: bytes => deflateThere(bytes),
    write: async (bytes) => {
      await file.write(at, [bytes])
      at += bytes.length
    },
    progress(done, total) {
      signal?.throwIfAborted()
      report(done, total)
    },
  })
  await file.flush()
}
