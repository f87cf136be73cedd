/**
 * Lists of buffers: what a guest's request reads into or writes from, scattered over its memory. One list is one range of a disk, in
 * order. Nothing here copies unless its name says so.
 */
export type Buffers = readonly Uint8Array[]

export function byteLength(buffers: Buffers): number {
  let length = 0
  for (const buffer of buffers) length += buffer.length
  return length
}

/** Views of `length` bytes from the byte `start` on; `start + length` must lie inside the list. */
export function sliceBuffers(buffers: Buffers, start: number, length: number): Buffers {
  if (start === 0 && byteLength(buffers) === length) return buffers
  const slice: Uint8Array[] = []
  let skip = start
  let left = length
  for (const buffer of buffers) {
    if (left === 0) break
    const from = Math.min(skip, buffer.length)
    const taken = Math.min(left, buffer.length - from)
    if (taken > 0) slice.push(buffer.subarray(from, from + taken))
    skip -= from
    left -= taken
  }
  return slice
}

/** Copies the list into one array, which must be long enough. */
export function gatherInto(into: Uint8Array, buffers: Buffers): void {
  let at = 0
  for (const buffer of buffers) {
    into.set(buffer, at)
    at += buffer.length
  }
}

/** One array with the list's bytes: the buffer itself if there is only one, else a copy. */
export function gather(buffers: Buffers): Uint8Array {
  if (buffers.length === 1) return buffers[0]
  const bytes = new Uint8Array(byteLength(buffers))
  gatherInto(bytes, buffers)
  return bytes
}

/** Copies `bytes` into the list, which must be as long. */
export function scatter(buffers: Buffers, bytes: Uint8Array): void {
  let at = 0
  for (const buffer of buffers) {
    buffer.set(bytes.subarray(at, at + buffer.length))
    at += buffer.length
  }
}

export function fillZeroes(buffers: Buffers): void {
  for (const buffer of buffers) buffer.fill(0)
}

export function isZero(bytes: Uint8Array): boolean {
  const head = Math.min(bytes.length, -bytes.byteOffset & 3)
  const words = (bytes.length - head) >>> 2
  return areZero(bytes, 0, head) && (words === 0 || areWordsZero(bytes, head, words)) && areZero(bytes, head + words * 4, bytes.length)
}

function areZero(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] !== 0) return false
  return true
}

function areWordsZero(bytes: Uint8Array, start: number, count: number): boolean {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset + start, count)
  for (let at = 0; at < count; at++) if (words[at] !== 0) return false
  return true
}

const ZEROES = new Uint8Array(65536)

/** A list of `length` zeros. They are shared, so that they cost nothing, and must not be written to. */
export function zeroBuffers(length: number): Buffers {
  const list: Uint8Array[] = []
  for (let left = length; left > 0; left -= ZEROES.length) list.push(left < ZEROES.length ? ZEROES.subarray(0, left) : ZEROES)
  return list
}
