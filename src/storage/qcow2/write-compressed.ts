/** Writing compressed clusters: for images that are written once, and read. */
import { isZero } from '../buffers.ts'
import { storageError } from '../errors.ts'
import type { Compress } from './compressed.ts'
import type { Image } from './image.ts'
import { compressedHigh, compressedLimit, offsetLow } from './layout.ts'
import { clearRange, writeRange } from './writer.ts'

const SECTOR = 512

/** Writes one cluster compressed; as it is if that takes no more room, and as zeros if it is zeros. */
export async function writeCompressed(image: Image, offset: number, bytes: Uint8Array, compress: Compress): Promise<void> {
  const { geometry, header } = image
  if (!geometry.isAligned(offset) || bytes.length > geometry.clusterSize || (bytes.length < geometry.clusterSize && offset + bytes.length !== header.size)) {
    throw storageError('DISK_OUT_OF_RANGE', `${image.file.path} is compressed by whole clusters: ${bytes.length} bytes at ${offset} are none`)
  }
  if (isZero(bytes)) return clearRange(image, offset, bytes.length, 'zero', header.size)
  const data = await compress(whole(bytes, geometry.clusterSize))
  if (data.length >= geometry.clusterSize) return writeRange(image, offset, [bytes])
  const cluster = geometry.cluster(offset)
  let blocked
  while ((blocked = image.inFlight.waitFor(cluster)) !== null) await blocked
  const end = image.inFlight.begin(cluster, 1)
  try {
    await image.committer.throttle()
    await store(image, cluster, data)
  } finally {
    end()
  }
}

function whole(bytes: Uint8Array, clusterSize: number): Uint8Array {
  if (bytes.length === clusterSize) return bytes
  const cluster = new Uint8Array(clusterSize)
  cluster.set(bytes)
  return cluster
}

async function store(image: Image, cluster: number, data: Uint8Array): Promise<void> {
  const { geometry, mapping, refcounts, file, compressed } = image
  const host = await reserve(image, data.length)
  try {
    if (host + data.length > compressedLimit(geometry)) throw storageError('DISK_FULL', `${file.path} is too large for more compressed data`)
    await file.write(host, [data])
    compressed.forget()
    await mapping.linkCompressed(cluster, compressedHigh(geometry, host, data.length), offsetLow(host))
  } catch (error) {
    image.packing = null
    const first = geometry.cluster(host)
    await refcounts.giveBack(first, geometry.cluster(host + data.length - 1) - first + 1)
    throw error
  }
}

/** Finds room for compressed data behind the last, and counts a reference to each cluster that it touches. */
function reserve(image: Image, length: number): Promise<number> {
  const reserving = image.packed.then(() => reserveNow(image, length))
  image.packed = reserving.catch(() => {})
  return reserving
}

async function reserveNow(image: Image, length: number): Promise<number> {
  const { geometry: { clusterSize, maxRefcount }, refcounts } = image
  const { packing } = image
  const fits = packing !== null && packing.used + length <= clusterSize
  const canShare = packing !== null && packing.used < clusterSize && await refcounts.get(packing.cluster) < maxRefcount && image.packing === packing
  if (canShare && fits) return await share(image, packing, { cluster: packing.cluster, used: packing.used + length }) ?? reserveNow(image, length)
  const next = await nextCluster(image)
  if (canShare && next === packing.cluster + 1) {
    const place = await share(image, packing, { cluster: next, used: packing.used + length - clusterSize })
    if (place !== null) return place
  }
  image.packing = { cluster: next, used: length }
  return next * clusterSize
}

type Packing = NonNullable<Image['packing']>

/** Adds a reference to the last cluster. Null if the data that was there has gone meanwhile: the cluster is going to be given back. */
async function share(image: Image, last: Packing, next: Packing): Promise<number | null> {
  if (image.packing !== last) return null
  image.packing = { cluster: last.cluster, used: next.used }
  const marked = image.packing
  await image.refcounts.add(last.cluster, 1)
  if (image.packing !== marked) {
    await image.refcounts.add(last.cluster, -1)
    return null
  }
  image.packing = next
  return last.cluster * image.geometry.clusterSize + last.used
}

/** A new cluster; the file reaches to its end, because compressed data is read by sectors. */
async function nextCluster({ refcounts, file, geometry: { clusterSize } }: Image): Promise<number> {
  const { cluster, pristine } = await refcounts.allocate(1)
  if (pristine) await file.write((cluster + 1) * clusterSize - SECTOR, [new Uint8Array(SECTOR)])
  return cluster
}
