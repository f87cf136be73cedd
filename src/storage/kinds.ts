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

/** Opens what was read of a description. */
export type Opener<Opened> = () => Promise<Opened>

/**
 * What the opening of a graph gives to a kind. A kind first reads all of its fields, and then is opened: nothing is opened of a graph that
 * is described wrongly. Everything that is opened through a planner is closed if the opening fails.
 */
export interface Planner {
  readonly environment: StorageEnvironment
  /** Nodes with files of their own make them anew. */
  readonly creation: Creation | undefined
  /** The node that a field describes. */
  node(description: Description, field: string, readOnly: boolean): Opener<BlockNode>
  /** The nodes that a list describes. */
  nodes(description: Description, field: string, minimum: number, readOnly: boolean): Opener<BlockNode[]>
  /** As `nodes`, with null for one that cannot be opened; the environment is told why. */
  nodesThatOpen(description: Description, field: string, minimum: number, readOnly: boolean): Opener<(BlockNode | null)[]>
  /** The file that a field names. */
  file(description: Description, field: string, readOnly: boolean): Opener<StorageFile>
  /** Keeps what a kind has made, until it belongs to the node above it. */
  keep<Node extends BlockNode>(node: Node): Node
}

/** What new disks are to be. */
export interface Creation {
  /** Bytes of a dedup; other nodes have the size of their parts. */
  readonly size?: number
}

export type Kind = (description: Description, readOnly: boolean, planner: Planner) => Opener<BlockNode>

const MAXIMUM_SIZE = 2 ** 52

export const KINDS: Readonly<Record<string, Kind>> = { memory, overlay, stripe, mirror, dedup, tier, throttle }

function memory(description: Description, readOnly: boolean): Opener<BlockNode> {
  const size = description.integer('size', 0, MAXIMUM_SIZE)
  const limit = description.has('limit') ? description.integer('limit', 0) : undefined
  return async () => new MemoryNode({ size, limit, readOnly })
}

function overlay(description: Description, readOnly: boolean, planner: Planner): Opener<BlockNode> {
  const openBase = planner.node(description, 'base', true)
  const openTop = description.has('top') ? planner.node(description, 'top', false) : undefined
  const copyOnRead = description.boolean('copyOnRead', false)
  return async () => {
    const base = await openBase()
    const top = await openTop?.() ?? planner.keep(new MemoryNode({ size: base.size }))
    return new OverlayNode({ base, top, copyOnRead, readOnly })
  }
}

function stripe(description: Description, readOnly: boolean, planner: Planner): Opener<BlockNode> {
  const stripeSize = description.powerOfTwo('stripeSize', 512, 1 << 30, 65536)
  const nodes = planner.nodes(description, 'nodes', 1, readOnly)
  return async () => new StripeNode({ nodes: await nodes(), stripeSize })
}

function mirror(description: Description, readOnly: boolean, planner: Planner): Opener<BlockNode> {
  const discard = description.has('discard') ? description.choice('discard', ['zeroes', 'ignore']) : 'ignore'
  const state = planner.file(description, 'state', readOnly)
  const nodes = planner.nodesThatOpen(description, 'nodes', 1, readOnly)
  const { creation, environment: { notice } } = planner
  return async () => {
    const options = { state: await state(), nodes: await nodes(), readOnly, discard, notice }
    return creation === undefined ? MirrorNode.open(options) : MirrorNode.create(options, 'first')
  }
}

function dedup(description: Description, readOnly: boolean, planner: Planner): Opener<BlockNode> {
  const { creation, environment: { sha256 } } = planner
  const mapPages = description.has('mapPages') ? description.integer('mapPages', 4, 1 << 20) : undefined
  const knownSlots = description.powerOfTwo('knownSlots', 4, 1 << 26, 1 << 18)
  const map = planner.file(description, 'map', readOnly)
  const data = planner.file(description, 'data', readOnly)
  return async () => {
    if (sha256 === undefined) throw storageError('DISK_UNSUPPORTED', `${description.place}: there is no SHA-256 here, which dedup needs`)
    const options = { map: await map(), data: await data(), sha256, readOnly, mapPages, knownSlots }
    return creation === undefined ? DedupNode.open(options) : DedupNode.create(options, sizeOf(description, creation))
  }
}

function sizeOf({ place }: Description, { size }: Creation): number {
  if (size !== undefined) return size
  throw storageError('DISK_UNSUPPORTED', `${place} is a new dedup, whose size nothing tells: say how large it shall be`)
}

function tier(description: Description, readOnly: boolean, planner: Planner): Opener<BlockNode> {
  const fast = planner.node(description, 'fast', readOnly)
  const slow = planner.node(description, 'slow', readOnly)
  const map = planner.file(description, 'map', readOnly)
  const { creation, environment: { notice } } = planner
  return async () => {
    const options = { fast: await fast(), slow: await slow(), map: await map(), readOnly, notice }
    return creation === undefined ? TierNode.open(options) : TierNode.create(options)
  }
}

/** Groups live as long as their environment: disks of several graphs share one by its name. */
const groups = new WeakMap<StorageEnvironment, Map<string, { readonly group: ThrottleGroup, readonly limits: string }>>()

function throttle(description: Description, readOnly: boolean, planner: Planner): Opener<BlockNode> {
  const weight = description.has('weight') ? description.integer('weight', 1, 10_000) : 100
  const limits = readLimits(description)
  const name = description.has('group') ? description.string('group') : undefined
  const node = planner.node(description, 'node', readOnly)
  return async () => {
    const group = groupFor(description, name, limits, planner.environment)
    return new ThrottleNode(await node(), group.member(weight))
  }
}

function readLimits(description: Description): ThrottleLimits {
  const limit = (name: string): number | undefined => description.has(name) ? description.integer(name, 1) : undefined
  return {
    bytesPerSecond: limit('bytesPerSecond'), requestsPerSecond: limit('requestsPerSecond'),
    bytesBurst: limit('bytesBurst'), requestsBurst: limit('requestsBurst'),
  }
}

function groupFor(
  description: Description, name: string | undefined, limits: ThrottleLimits, environment: StorageEnvironment,
): ThrottleGroup {
  const { timer } = environment
  if (timer === undefined) throw storageError('DISK_UNSUPPORTED', `${description.place}: there is no timer here to keep disks to a rate`)
  if (name === undefined) return new ThrottleGroup(limits, timer)
  const known = groups.get(environment) ?? new Map<string, { readonly group: ThrottleGroup, readonly limits: string }>()
  groups.set(environment, known)
  const text = JSON.stringify(limits)
  const found = known.get(name) ?? { group: new ThrottleGroup(limits, timer), limits: text }
  if (found.limits !== text) throw description.invalid('group', `names the group ${name}, which has other limits elsewhere`)
  known.set(name, found)
  return found.group
}
