/** Copying from one child of a mirror to another. */
import type { BlockNode } from '../block-node.ts'
import type { Buffers } from '../buffers.ts'
import { contentExtent } from '../extents.ts'

const STEP = 1 << 20

type Read = (offset: number, into: Buffers) => Promise<void>

/** Writes all of a range, zeros as zeros. `from` says where zeros are; its bytes are read by `read`. */
export async function copyRegion(from: BlockNode, read: Read, to: BlockNode, offset: number, length: number): Promise<void> {
  for (let at = offset; at < offset + length;) {
    const { state, length: known } = await contentExtent(from, at, offset + length - at)
    const part = state === 'zero' ? known : Math.min(known, STEP)
    if (state === 'zero') await to.writeZeroes(at, part, true)
    else await copyBytes(read, to, at, part)
    at += part
  }
}

async function copyBytes(read: Read, to: BlockNode, offset: number, length: number): Promise<void> {
  const bytes = new Uint8Array(length)
  await read(offset, [bytes])
  await to.write(offset, [bytes])
}

/** Which of the two could not. */
export interface EqualiseFailure {
  readonly side: 'from' | 'to'
  readonly error: unknown
}

/** Writes what is different: most of a region that was marked is not. */
export async function equalise(from: BlockNode, to: BlockNode, offset: number, length: number): Promise<EqualiseFailure | null> {
  const end = offset + length
  for (let at = offset; at < end; at += STEP) {
    const bytes = new Uint8Array(Math.min(STEP, end - at))
    try {
      await from.read(at, [bytes])
    } catch (error) {
      return { side: 'from', error }
    }
    try {
      await overwrite(to, at, bytes)
    } catch (error) {
      return { side: 'to', error }
    }
  }
  return null
}

async function overwrite(node: BlockNode, offset: number, bytes: Uint8Array): Promise<void> {
  const present = new Uint8Array(bytes.length)
  await node.read(offset, [present])
  if (bytes.some((value, index) => value !== present[index])) await node.write(offset, [bytes])
}
