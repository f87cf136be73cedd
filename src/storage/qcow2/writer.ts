/**
 * Writing to the disk. A cluster that is the disk's own is written in place. Any other gets a new cluster of the file: that is counted,
 * then filled (with what the write leaves of the old content), then referred to. Clusters that are being filled are in flight: other
 * writers of them wait.
 */
import { byteLength, sliceBuffers, zeroBuffers, type Buffers } from '../buffers.ts'
import type { Image } from './image.ts'
import type { Allocation } from './refcounts.ts'
import { Pending } from './pending.ts'
import { readRange } from './reader.ts'
import type { Clearing } from './mapping.ts'

/** Writes a range, which may go past the disk's end as far as there are tables. */
export async function writeRange(image: Image, offset: number, from: Buffers): Promise<void> {
  const { mapping, inFlight, geometry } = image
  const length = byteLength(from)
  const pending = new Pending()
  try {
    for (let done = 0; done < length;) {
      const at = offset + done
      const blocked = inFlight.waitFor(geometry.cluster(at))
      if (blocked !== null) await blocked
      else if (!mapping.find(at, length - done)) await mapping.load()
      else {
        const run = mapping.run.length
        const part = isInPlace(image) ? run : beforeOthers(image, at, run)
        pending.add(writeRun(image, at, sliceBuffers(from, done, part)))
        done += part
        await pending.room()
      }
    }
  } finally {
    await pending.done()
  }
}

function isInPlace({ mapping: { run } }: Image): boolean { return run.kind === 'data' && run.copied }

/** Of `length` bytes, those before the first cluster that is in flight. */
function beforeOthers({ inFlight, geometry }: Image, offset: number, length: number): number {
  const first = geometry.cluster(offset)
  const clusters = geometry.clusters(offset + length) - first
  return Math.min(length, inFlight.nextFrom(first, clusters) * geometry.clusterSize - offset)
}

/** Writes to what was found last. Marks the clusters before it returns. */
function writeRun(image: Image, offset: number, from: Buffers): Promise<void> {
  const { kind, copied, host } = image.mapping.run
  if (isInPlace(image)) return image.file.write(host, from)
  const { geometry } = image
  const first = geometry.cluster(offset)
  const count = geometry.clusters(offset + byteLength(from)) - first
  const end = image.inFlight.begin(first, count)
  const isBacked = first * geometry.clusterSize < (image.backing?.size ?? 0)
  const readsZero = kind === 'zero' || kind === 'zero-allocated' || (kind === 'unallocated' && !isBacked)
  const own = kind === 'zero-allocated' && copied ? geometry.cluster(host) : null
  return new Allocating(image, offset, from, readsZero).run(own).finally(end)
}

/** The write of a range whose clusters need new ones. */
class Allocating {
  private readonly image: Image
  private readonly offset: number
  private readonly from: Buffers
  private readonly length: number
  private readonly readsZero: boolean

  constructor(image: Image, offset: number, from: Buffers, readsZero: boolean) {
    this.image = image
    this.offset = offset
    this.from = from
    this.length = byteLength(from)
    this.readsZero = readsZero
  }

  /** `own`: the cluster of the file that the first of the range has already, and the others those that follow. */
  async run(own: number | null): Promise<void> {
    const { geometry, refcounts, committer } = this.image
    const first = geometry.cluster(this.offset)
    const end = geometry.clusters(this.offset + this.length)
    for (let cluster = first; cluster < end;) {
      await committer.throttle()
      const allocation = own === null ? await refcounts.allocate(end - cluster) : { cluster: own, count: end - cluster, pristine: false }
      await this.fillAndLink(cluster, allocation, own === null)
      cluster += allocation.count
    }
  }

  private async fillAndLink(cluster: number, allocation: Allocation, giveBack: boolean): Promise<void> {
    let linked = 0
    try {
      await this.fill(cluster, allocation)
      while (linked < allocation.count) {
        linked += await this.image.mapping.link(cluster + linked, allocation.count - linked, allocation.cluster + linked)
      }
    } catch (error) {
      if (giveBack) await this.image.refcounts.giveBack(allocation.cluster + linked, allocation.count - linked)
      throw error
    }
  }

  /** Writes the part of the range that lies in these clusters, and around it what the disk has there now. */
  private async fill(cluster: number, allocation: Allocation): Promise<void> {
    const { file, geometry: { clusterSize } } = this.image
    const start = Math.max(this.offset, cluster * clusterSize)
    const end = Math.min(this.offset + this.length, (cluster + allocation.count) * clusterSize)
    const data = sliceBuffers(this.from, start - this.offset, end - start)
    const head = start - cluster * clusterSize
    const tail = (cluster + allocation.count) * clusterSize - end
    const host = allocation.cluster * clusterSize
    if (this.readsZero && allocation.pristine) return file.write(host + head, data)
    await file.write(host, [...await this.old(start - head, head), ...data, ...await this.old(end, tail)])
  }

  private async old(offset: number, length: number): Promise<Buffers> {
    if (this.readsZero) return zeroBuffers(length)
    const bytes = new Uint8Array(length)
    await readRange(this.image, offset, [bytes])
    return [bytes]
  }
}

/** Has a range read as zeros, or for `discard` perhaps as before. `end` is where the disk ends: a last cluster counts as whole. */
export async function clearRange(image: Image, offset: number, length: number, clearing: Clearing, diskEnd: number): Promise<void> {
  const { clusterSize } = image.geometry
  const end = offset + length
  const first = Math.ceil(offset / clusterSize)
  const last = end === diskEnd ? Math.ceil(end / clusterSize) : Math.floor(end / clusterSize)
  if (first >= last) return zeroPart(image, offset, length, clearing)
  await zeroPart(image, offset, first * clusterSize - offset, clearing)
  await clearClusters(image, first, last, clearing)
  await zeroPart(image, last * clusterSize, end - last * clusterSize, clearing)
}

async function clearClusters(image: Image, first: number, last: number, clearing: Clearing): Promise<void> {
  for (let cluster = first; cluster < last;) {
    await image.committer.throttle()
    const count = image.inFlight.nextFrom(cluster, last - cluster) - cluster
    if (count === 0) await image.inFlight.waitFor(cluster)
    else cluster += await clearSome(image, cluster, count, clearing)
  }
}

async function clearSome(image: Image, cluster: number, count: number, clearing: Clearing): Promise<number> {
  const end = image.inFlight.begin(cluster, count)
  let cleared: number
  try {
    cleared = await image.mapping.clear(cluster, count, clearing)
  } finally {
    end()
  }
  if (cleared < 0) await writeZeroes(image, cluster * image.geometry.clusterSize, -cleared * image.geometry.clusterSize)
  return Math.abs(cleared)
}

/** Zeros for parts of clusters, unless they read so anyway. */
async function zeroPart(image: Image, offset: number, length: number, clearing: Clearing): Promise<void> {
  const { clusterSize } = image.geometry
  if (clearing === 'discard') return
  for (let at = offset; at < offset + length;) {
    const part = Math.min(offset + length - at, clusterSize - at % clusterSize)
    if (await needsZeroes(image, at, part)) await writeZeroes(image, at, part)
    at += part
  }
}

async function needsZeroes({ mapping, inFlight, geometry, backing }: Image, offset: number, length: number): Promise<boolean> {
  for (;;) {
    const blocked = inFlight.waitFor(geometry.cluster(offset))
    if (blocked !== null) await blocked
    else if (!mapping.find(offset, length)) await mapping.load()
    else break
  }
  const { kind } = mapping.run
  return kind === 'data' || kind === 'compressed' || (kind === 'unallocated' && offset < (backing?.size ?? 0))
}

const ZEROES_AT_ONCE = 4 << 20

async function writeZeroes(image: Image, offset: number, length: number): Promise<void> {
  for (let done = 0; done < length; done += ZEROES_AT_ONCE) {
    await writeRange(image, offset + done, zeroBuffers(Math.min(ZEROES_AT_ONCE, length - done)))
  }
}
