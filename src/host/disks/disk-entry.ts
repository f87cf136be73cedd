/** A disk as a configuration has it: no more than is needed. */
import { resolve } from 'node:path'
import { withPaths } from '../../storage/graph-paths.ts'
import type { DiskGraph, DiskOrder } from './disk-order.ts'

/** A path, a graph of block nodes, or one of these as `graph` beside the disk's bus, serial number and block size. */
export type DiskEntry = DiskGraph | DiskOrder

export function orderOf(entry: DiskEntry): DiskOrder { return isOrder(entry) ? entry : { graph: entry } }

/** As short as it can be written. */
export function entryOf({ graph, ...rest }: DiskOrder): DiskEntry {
  return Object.values(rest).every(value => value === undefined) ? graph : { graph, ...rest }
}

/** With absolute paths. */
export function inFolder(order: DiskOrder, folder: string): DiskOrder {
  return { ...order, graph: withPaths(order.graph, path => resolve(folder, path)) }
}

function isOrder(entry: DiskEntry): entry is DiskOrder { return typeof entry === 'object' && !Object.hasOwn(entry, 'kind') }
