/** Changes of a disk's size. Nobody else uses the image meanwhile, and nothing is to be written when they begin. */
import { storageError } from '../errors.ts'
import type { Image } from './image.ts'
import { ENTRY_BYTES, MAX_L1_BYTES } from './layout.ts'
import { clearRange } from './writer.ts'

/** What lies behind the old end is cleared first: a larger backing file, or what a larger disk has once had there, must not show. */
export async function growImage(image: Image, size: number): Promise<void> {
  const { header, headerFile, geometry, committer, backing } = image
  const entries = geometry.l1EntriesFor(size)
  if (entries * ENTRY_BYTES > MAX_L1_BYTES) {
    throw storageError('DISK_UNSUPPORTED', `${image.file.path} cannot have ${size} bytes with clusters of ${geometry.clusterSize} bytes: its L1 table would be above 32 MiB`)
  }
  const oldSize = header.size
  if (entries > header.l1Size) await growL1(image, entries)
  const hidden = Math.max(geometry.roundUp(oldSize), await mappedEnd(image, oldSize), Math.min(size, backing?.size ?? 0))
  const end = Math.min(geometry.roundUp(size), hidden)
  await clearRange(image, oldSize, end - oldSize, 'zero', end)
  await committer.commit()
  headerFile.changeTables({ size })
  await commitTables(image, { size: oldSize })
}

/** Where the clusters end that are mapped at or behind a place. */
async function mappedEnd({ header, geometry, mapping }: Image, from: number): Promise<number> {
  const end = header.l1Size * geometry.l2Entries * geometry.clusterSize
  let mapped = from
  for (let at = from; at < end;) {
    if (!mapping.find(at, end - at)) await mapping.load()
    else {
      at += mapping.run.length
      if (mapping.run.kind !== 'unallocated') mapped = at
    }
  }
  return mapped
}

/** The new size is durable before anything is cleared: a crash leaves the old disk or the new one. */
export async function shrinkImage(image: Image, size: number): Promise<void> {
  const { headerFile, committer, geometry, header } = image
  const oldSize = header.size
  headerFile.changeTables({ size })
  await commitTables(image, { size: oldSize })
  const end = geometry.roundUp(size)
  await clearRange(image, size, end - size, 'zero', Infinity)
  await clearRange(image, end, geometry.roundUp(oldSize) - end, 'discard', Infinity)
  await committer.commit()
}

async function commitTables({ committer, headerFile }: Image, before: { readonly size: number }): Promise<void> {
  try {
    await committer.commit()
  } catch (error) {
    headerFile.changeTables(before)
    throw error
  }
}

/** A larger L1 table in a new place; the old one is given back when the header is written. */
async function growL1(image: Image, entries: number): Promise<void> {
  const { header, headerFile, geometry, refcounts, file, cache } = image
  const old = new Uint8Array(header.l1Size * ENTRY_BYTES)
  if (old.length > 0) await file.read(header.l1TableOffset, [old])
  const table = new Uint8Array(geometry.roundUp(entries * ENTRY_BYTES))
  table.set(old)
  const cluster = await refcounts.allocateRow(geometry.clusters(table.length))
  try {
    cache.forget(cluster * geometry.clusterSize, table.length)
    await file.write(cluster * geometry.clusterSize, [table])
  } catch (error) {
    await refcounts.giveBack(cluster, geometry.clusters(table.length))
    throw error
  }
  if (old.length > 0) headerFile.released.push({ cluster: geometry.cluster(header.l1TableOffset), count: geometry.clusters(old.length) })
  headerFile.changeTables({ l1Size: entries, l1TableOffset: cluster * geometry.clusterSize })
}
