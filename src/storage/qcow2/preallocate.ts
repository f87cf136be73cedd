/** Thick images: every cluster of the disk has its place in the file before anything is written to it. */
import { zeroBuffers } from '../buffers.ts'
import type { Image } from './image.ts'
import type { Allocation } from './refcounts.ts'

const SECTOR = 512
const ZEROES_AT_ONCE = 4 << 20

/** `fully`: the room is taken on the host too, by writing zeros. Only for a new image, which nobody else uses. */
export async function preallocate(image: Image, fully: boolean): Promise<void> {
  const { geometry, header, refcounts, mapping, committer } = image
  const clusters = geometry.clusters(header.size)
  for (let cluster = 0; cluster < clusters;) {
    await committer.throttle()
    const allocation = await refcounts.allocate(clusters - cluster)
    await fill(image, allocation, fully)
    for (let linked = 0; linked < allocation.count;) {
      linked += await mapping.link(cluster + linked, allocation.count - linked, allocation.cluster + linked)
    }
    cluster += allocation.count
  }
  await committer.settle()
}

/** The file at least reaches to the end of the clusters. */
async function fill({ file, geometry: { clusterSize } }: Image, { cluster, count, pristine }: Allocation, fully: boolean): Promise<void> {
  const end = (cluster + count) * clusterSize
  const start = fully || !pristine ? cluster * clusterSize : end - SECTOR
  for (let at = start; at < end; at += ZEROES_AT_ONCE) await file.write(at, zeroBuffers(Math.min(ZEROES_AT_ONCE, end - at)))
}
