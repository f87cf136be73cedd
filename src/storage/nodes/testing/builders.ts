/** How the nodes that write are built for the contract suite, in the quick tests and in the slow one. */
import { createHash } from 'node:crypto'
import type { BlockNode } from '../../block-node.ts'
import type { Build } from '../../testing/contract.ts'
import type { MemoryStore } from '../../testing/memory-file.ts'
import { DedupNode, type DedupOptions } from '../dedup.ts'
import { MirrorNode, type MirrorOptions } from '../mirror.ts'
import { RawNode } from '../raw.ts'
import { StripeNode } from '../stripe.ts'
import { TierNode } from '../tier.ts'

export const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()

export async function rawDisk(store: MemoryStore, name: string, size: number, create: boolean, readOnly = false): Promise<RawNode> {
  const file = store.file(name, readOnly)
  return create ? RawNode.create(file, size) : new RawNode(file)
}

export function rawBuilder(canPunch: boolean): Build {
  return async ({ store, size, create, readOnly }) => {
    store.canPunch = canPunch
    return rawDisk(store, 'disk', size, create, readOnly)
  }
}

export function stripeBuilder(count: number, stripeSize: number): Build {
  return async ({ store, size, create, readOnly }) => {
    const nodes = Array.from({ length: count }, (_, at) => rawDisk(store, `disk-${at}`, size / count, create, readOnly))
    return new StripeNode({ nodes: await Promise.all(nodes), stripeSize })
  }
}

/** Three disks, `a` to `c`. */
export async function mirrorDisks(store: MemoryStore, create: boolean, size: number, readOnly = false): Promise<BlockNode[]> {
  return Promise.all(['a', 'b', 'c'].map(name => rawDisk(store, name, size, create, readOnly)))
}

export function mirrorBuilder(discard: 'zeroes' | 'ignore'): Build {
  return async ({ store, size, create, readOnly }) => {
    const nodes = await mirrorDisks(store, create, size, readOnly)
    const options: MirrorOptions = { nodes, state: store.file('state', readOnly), readOnly, discard }
    return create ? MirrorNode.create(options, 'equal') : MirrorNode.open(options)
  }
}

export function dedupFiles(store: MemoryStore, readOnly = false): DedupOptions {
  return { map: store.file('map', readOnly), data: store.file('data', readOnly), sha256 }
}

export function dedupBuilder(blockSize: number, mapPages: number): Build {
  return async ({ store, size, create, readOnly }) => {
    const options = { ...dedupFiles(store, readOnly), mapPages, knownSlots: 64 }
    return create ? DedupNode.create(options, size, blockSize) : DedupNode.open(options)
  }
}

export const TIER_SEGMENT = 65536

export function tierBuilder(slots: number): Build {
  return async ({ store, size, create, readOnly }) => {
    const options = {
      fast: await rawDisk(store, 'fast', slots * TIER_SEGMENT + 100, create, readOnly),
      slow: await rawDisk(store, 'slow', size, create, readOnly), map: store.file('map', readOnly), readOnly,
    }
    return create ? TierNode.create(options, TIER_SEGMENT) : TierNode.open(options)
  }
}
