/** The files that a described disk has of its own: a mirror's state, a dedup's map and data, a tier's map. */
import { rm } from 'node:fs/promises'
import { storageError } from '../../storage/errors.ts'
import { pathsOf } from '../../storage/graph-paths.ts'
import { openDisk } from '../../storage/open.ts'
import { openDiskFile } from '../disks/disk-file.ts'
import { hostEnvironment } from '../disks/environment.ts'
import { describedGraphOf } from './formats.ts'

export interface CreateDescribedOptions {
  /** Bytes of a dedup. What has parts has a size by them. */
  readonly size?: number
}

/**
 * Makes them, and returns the disk's size. The disks that it consists of must be there: the first of a mirror is copied over the others,
 * and a tier begins with what the slow one has. Rejects with DISK_EXISTS if one of its own files is there already; nothing is left then.
 */
export async function createDescribed(path: string, { size }: CreateDescribedOptions = {}): Promise<number> {
  const graph = await describedGraphOf(path)
  const own = [...new Set(pathsOf(graph).filter(({ isDisk }) => !isDisk).map(each => each.path))]
  if (own.length === 0) {
    throw storageError('DISK_UNSUPPORTED', `${path}: such a disk has no files of its own that could be made: use it as it is`)
  }
  const made: string[] = []
  try {
    for (const file of own) {
      await (await openDiskFile(file, { create: true })).close()
      made.push(file)
    }
    const node = await openDisk(graph, hostEnvironment(), { create: { size } })
    await node.flush().finally(() => node.close())
    return node.size
  } catch (error) {
    for (const file of made) await rm(file, { force: true })
    throw error
  }
}
