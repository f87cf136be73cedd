/** Reading the disk: runs of clusters from the file, from compressed data, from the backing node, or zeros. */
import { byteLength, fillZeroes, scatter, sliceBuffers, type Buffers } from '../buffers.ts'
import type { Image } from './image.ts'
import { Pending } from './pending.ts'

/** Reads a range, which may go past the disk's end as far as there are tables. */
export async function readRange(image: Image, offset: number, into: Buffers): Promise<void> {
  const length = byteLength(into)
  let pending: Pending | null = null
  for (let done = 0; done < length;) {
    if (!image.mapping.find(offset + done, length - done)) await image.mapping.load()
    else if (done === 0 && image.mapping.run.length === length) return readRun(image, offset, into)
    else {
      const run = wholeRun(image, offset + done, length - done)
      pending ??= new Pending()
      pending.add(readRun(image, offset + done, sliceBuffers(into, done, run)))
      done += run
      await pending.room()
    }
  }
  await pending?.done()
}

/**
 * The length of the run just found, with what follows it in the file as on the disk: tables end a lookup, and not a read. `mapping.run`
 * is the first part's afterwards.
 */
function wholeRun({ mapping }: Image, offset: number, length: number): number {
  const { kind, host, copied } = mapping.run
  let whole = mapping.run.length
  if (kind !== 'data') return whole
  while (whole < length && mapping.find(offset + whole, length - whole)) {
    if (mapping.run.kind !== 'data' || mapping.run.host !== host + whole) break
    whole += mapping.run.length
  }
  Object.assign(mapping.run, { kind, host, copied })
  return whole
}

/** Reads from what was found last. */
function readRun(image: Image, offset: number, into: Buffers): Promise<void> {
  const { kind, host, compressedLength } = image.mapping.run
  switch (kind) {
    case 'data': return image.file.read(host, into)
    case 'compressed': return readCompressed(image, offset, host, compressedLength, into)
    case 'unallocated': if (image.backing !== null) return readBacking(image, offset, into)
  }
  fillZeroes(into)
  return Promise.resolve()
}

async function readCompressed(image: Image, offset: number, host: number, compressedLength: number, into: Buffers): Promise<void> {
  const cluster = await image.compressed.cluster(host, compressedLength)
  const within = offset % image.geometry.clusterSize
  scatter(into, cluster.subarray(within, within + byteLength(into)))
}

/** A backing node may be smaller: zeros follow. */
async function readBacking({ backing }: Image, offset: number, into: Buffers): Promise<void> {
  const length = byteLength(into)
  const there = Math.max(0, Math.min(length, (backing?.size ?? 0) - offset))
  if (there < length) fillZeroes(sliceBuffers(into, there, length - there))
  if (there > 0) await backing?.read(offset, sliceBuffers(into, 0, there))
}
