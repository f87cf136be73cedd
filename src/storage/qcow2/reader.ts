/** Reading the disk: runs of clusters from the file, from compressed data, from the backing node, or zeros. */
import { byteLength, fillZeroes, scatter, sliceBuffers, type Buffers } from '../buffers.ts'
import { storageError } from '../errors.ts'
import type { Image } from './image.ts'
import { Pending } from './pending.ts'

/** Reads a range, which may go past the disk's end as far as there are tables. */
export function readRange(image: Image, offset: number, into: Buffers): Promise<void> {
  const length = byteLength(into)
  if (length > 0 && image.mapping.find(offset, length) && image.mapping.run.length === length) return readRun(image, offset, into)
  return readRuns(image, offset, length, into)
}

async function readRuns(image: Image, offset: number, length: number, into: Buffers): Promise<void> {
  const pending = new Pending()
  try {
    for (let done = 0; done < length;) {
      if (!image.mapping.find(offset + done, length - done)) await image.mapping.load()
      else {
        const run = wholeRun(image, offset + done, length - done)
        pending.add(readRun(image, offset + done, sliceBuffers(into, done, run)))
        done += run
        await pending.room()
      }
    }
  } finally {
    await pending.done()
  }
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
    case 'unallocated': if (offset < image.backingSize) return readBacking(image, offset, into)
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
async function readBacking({ backing, backingSize, file }: Image, offset: number, into: Buffers): Promise<void> {
  if (backing === null) throw storageError('DISK_NOT_FOUND', `${file.path} needs its backing file, and was opened without it`)
  const length = byteLength(into)
  const there = Math.min(length, backingSize - offset)
  if (there < length) fillZeroes(sliceBuffers(into, there, length - there))
  await backing.read(offset, sliceBuffers(into, 0, there))
}
