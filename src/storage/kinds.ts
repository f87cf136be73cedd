/**
 * The kinds of node that a description can ask for, and their fields. `file` is any disk file, whatever its format; the others put
 * nodes together.
 *
 * | kind | fields (optional ones with what they are without) |
 * |---|---|
 * | `file` | `path`, `format` (probed), `readOnly` (false), `backing` (what the file names) |
 * | `memory` | `size`, `limit` (none) |
 * | `overlay` | `base`, `top` (memory), `copyOnRead` (false) |
 * | `stripe` | `nodes`, `stripeSize` (65536) |
 * | `mirror` | `nodes`, `state` (a file), `discard`: `zeroes` or `ignore` (`ignore`) |
 * | `dedup` | `map`, `data` (files), `mapPages` (1024), `knownSlots` (262144) |
 * | `tier` | `fast`, `slow`, `map` (a file) |
 * | `throttle` | `node`, `bytesPerSecond`, `requestsPerSecond`, `bytesBurst`, `requestsBurst`, `weight` (100), `group` (its own) |
 */
import type { BlockNode } from './block-node.ts'
import type { Description } from './description.ts'
import { storageError } from './errors.ts'
import type { StorageEnvironment } from './format.ts'
import { DedupNode } from './nodes/dedup.ts'
import { MemoryNode } from './nodes/memory.ts'
import { MirrorNode } from './nodes/mirror.ts'
import { OverlayNode } from './nodes/overlay.ts'
import { StripeNode } from './nodes/stripe.ts'
import { ThrottleGroup, type ThrottleLimits } from './nodes/throttle-group.ts'
import { ThrottleNode } from './nodes/throttle.ts'
import { TierNode } from './nodes/tier.ts'
import type { StorageFile } from './storage-file.ts'

/** What the opening of a graph gives to a kind. Everything that is opened through it is closed if the opening fails. */
export interface Builder {
  readonly environment: StorageEnvironment
  /** Opens the node that a field describes. */
  node(description: Description, field: string, readOnly: boolean): Promise<BlockNode>
  /** Opens the nodes that a list describes. */
  nodes(description: Description, field: string, minimum: number, readOnly: boolean): Promise<BlockNode[]>
  /** As `nodes`, with null for one that cannot be opened; the environment is told why. What is wrong in the description still throws. */
  nodesThatOpen(description: Description, field: string, minimum: number, readOnly: boolean): Promise<(BlockNode | null)[]>
  /** Opens the file that a field names. */
  file(description: Description, field: string, readOnly: boolean): Promise<StorageFile>
  /** Keeps what a kind has made, until it belongs to the node above it. */
  keep<Node extends BlockNode>(node: Node): Node
}

export type Kind = (description: Description, readOnly: boolean, builder: Builder) => Promise<BlockNode>

const MAXIMUM_SIZE = 2 ** 52

export const KINDS: Readonly<Record<string, Kind>> = { memory, overlay, stripe, mirror, dedup, tier, throttle }

async function memory(description: Description, readOnly: boolean): Promise<BlockNode> {
  const size = description.integer('size', 0, MAXIMUM_SIZE)
  const limit = description.has('limit') ? description.integer('limit', 0) : undefined
  return new MemoryNode({ size, limit, readOnly })
}

async function overlay(description: Description, readOnly: boolean, builder: Builder): Promise<BlockNode> {
  const base = await builder.node(description, 'base', true)
  const top = description.has('top') ? await builder.node(description, 'top', false) : builder.keep(new MemoryNode({ size: base.size }))
  return new OverlayNode({ base, top, copyOnRead: description.boolean('copyOnRead', false), readOnly })
}

async function stripe(description: Description, readOnly: boolean, builder: Builder): Promise<BlockNode> {
  const stripeSize = description.powerOfTwo('stripeSize', 512, 1 << 30, 65536)
  return new StripeNode({ nodes: await builder.nodes(description, 'nodes', 1, readOnly), stripeSize })
}

async function mirror(description: Description, readOnly: boolean, builder: Builder): Promise<BlockNode> {
  const discard = description.has('discard') ? description.choice('discard', ['zeroes', 'ignore']) : 'ignore'
  const state = await builder.file(description, 'state', readOnly)
  const nodes = await builder.nodesThatOpen(description, 'nodes', 1, readOnly)
  return MirrorNode.open({ nodes, state, readOnly, discard, notice: builder.environment.notice })
}

async function dedup(description: Description, readOnly: boolean, builder: Builder): Promise<BlockNode> {
  const { sha256 } = builder.environment
  if (sha256 === undefined) throw storageError('DISK_UNSUPPORTED', `${description.place}: there is no SHA-256 here, which dedup needs`)
  const mapPages = description.has('mapPages') ? description.integer('mapPages', 4, 1 << 20) : undefined
  const knownSlots = description.powerOfTwo('knownSlots', 4, 1 << 26, 1 << 18)
  const map = await builder.file(description, 'map', readOnly)
  const data = await builder.file(description, 'data', readOnly)
  return DedupNode.open({ map, data, sha256, readOnly, mapPages, knownSlots })
}

async function tier(description: Description, readOnly: boolean, builder: Builder): Promise<BlockNode> {
  const fast = await builder.node(description, 'fast', readOnly)
  const slow = await builder.node(description, 'slow', readOnly)
  const map = await builder.file(description, 'map', readOnly)
  return TierNode.open({ fast, slow, map, readOnly, notice: builder.environment.notice })
}

/** Groups live as long as their environment: disks of several graphs share one by its name. */
const groups = new WeakMap<StorageEnvironment, Map<string, { readonly group: ThrottleGroup, readonly limits: string }>>()

async function throttle(description: Description, readOnly: boolean, builder: Builder): Promise<BlockNode> {
  const weight = description.has('weight') ? description.integer('weight', 1, 10_000) : 100
  const group = groupFor(description, readLimits(description), builder.environment)
  return new ThrottleNode(await builder.node(description, 'node', readOnly), group.member(weight))
}

function readLimits(description: Description): ThrottleLimits {
  const limit = (name: string): number | undefined => description.has(name) ? description.integer(name, 1) : undefined
  return {
    bytesPerSecond: limit('bytesPerSecond'), requestsPerSecond: limit('requestsPerSecond'),
    bytesBurst: limit('bytesBurst'), requestsBurst: limit('requestsBurst'),
  }
}

function groupFor(description: Description, limits: ThrottleLimits, environment: StorageEnvironment): ThrottleGroup {
  const { timer } = environment
  if (timer === undefined) throw storageError('DISK_UNSUPPORTED', `${description.place}: there is no timer here to keep disks to a rate`)
  if (!description.has('group')) return new ThrottleGroup(limits, timer)
  const name = description.string('group')
  const known = groups.get(environment) ?? new Map<string, { readonly group: ThrottleGroup, readonly limits: string }>()
  groups.set(environment, known)
  const text = JSON.stringify(limits)
  const found = known.get(name) ?? { group: new ThrottleGroup(limits, timer), limits: text }
  if (found.limits !== text) throw description.invalid('group', `names the group ${name}, which has other limits elsewhere`)
  known.set(name, found)
  return found.group
}
