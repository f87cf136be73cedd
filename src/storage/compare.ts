/** Compares what two nodes read as. */
import type { BlockNode } from './block-node.ts'
import type { Abort } from './copy.ts'
import { contentExtent } from './extents.ts'

const CHUNK = 1 << 20

/** Null if they read the same, else the first byte that differs. Behind the end of the shorter one the other must have zeros. */
export async function compareNodes(one: BlockNode, other: BlockNode, signal?: Abort): Promise<number | null> {
  const size = Math.max(one.size, other.size)
  const buffers = [new Uint8Array(CHUNK), new Uint8Array(CHUNK)] as const
  for (let offset = 0; offset < size;) {
    if (signal?.aborted === true) throw signal.reason
    const skip = await bothZero(one, other, offset, size)
    const length = Math.min(CHUNK, size - offset)
    if (skip === 0) {
      const [a, b] = await Promise.all([one, other].map((node, at) => readPadded(node, offset, buffers[at].subarray(0, length))))
      const at = firstDifference(a, b)
      if (at >= 0) return offset + at
    }
    offset += skip === 0 ? length : skip
  }
  return null
}

async function bothZero(one: BlockNode, other: BlockNode, offset: number, size: number): Promise<number> {
  const [a, b] = await Promise.all([one, other].map(node => contentExtent(node, offset, size - offset)))
  return a.state === 'zero' && b.state === 'zero' ? Math.min(a.length, b.length) : 0
}

async function readPadded(node: BlockNode, offset: number, into: Uint8Array): Promise<Uint8Array> {
  const length = Math.max(0, Math.min(into.length, node.size - offset))
  await node.read(Math.min(offset, node.size), [into.subarray(0, length)])
  into.fill(0, length)
  return into
}

/** The index of the first byte that differs, or -1. */
function firstDifference(a: Uint8Array, b: Uint8Array): number {
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return at
  return -1
}
