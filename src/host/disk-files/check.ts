/** Whether a disk agrees with itself. */
import type { BlockNode } from '../../storage/block-node.ts'
import { contentExtent } from '../../storage/extents.ts'
import { pathsOf } from '../../storage/graph-paths.ts'
import { openDisk } from '../../storage/open.ts'
import { readHeader } from '../../storage/qcow2/header.ts'
import { Qcow2Node } from '../../storage/qcow2/node.ts'
import { probeFormat } from '../../storage/formats.ts'
import { openDiskFile, type DiskFile } from '../disks/disk-file.ts'
import { isDescription } from '../disks/disk-description.ts'
import type { DiskGraph } from '../disks/disk-order.ts'
import { hostEnvironment } from '../disks/environment.ts'
import { isNbdUri } from '../disks/nbd-uri.ts'
import { storageError } from '../../storage/errors.ts'
import { describedGraphOf, type FormatName, graphOf } from './formats.ts'
import { reporter, type DiskWork } from './work.ts'

/** `leaks`: room that is lost is given back. `all`: also what would harm data is made right. */
export type RepairKind = 'none' | 'leaks' | 'all'

export interface DiskCheckReport {
  readonly path: string
  readonly format: string
  /** What is wrong, as sentences: the first 100. */
  readonly errors: readonly string[]
  readonly errorCount: number
  /** Clusters that are lost, and no danger. */
  readonly leaks: number
  /** Errors and leaks that were repaired, and are not counted above. */
  readonly repaired: number
  /** Bytes of the disk, and bytes of it that this file holds; of these compressed. */
  readonly size: number
  readonly data: number
  readonly compressed: number
}

/**
 * Checks a disk that nobody writes; to repair, nobody else may use it. A qcow2 has counts to compare. Of the other formats all data is
 * read: what is wrong on the way is thrown as DISK_CORRUPT, and cannot be repaired.
 */
export async function checkDisk(path: string, repair: RepairKind, format?: FormatName, work: DiskWork = {}): Promise<DiskCheckReport> {
  if (isNbdUri(path)) throw storageError('DISK_UNSUPPORTED', `${path} is checked where it lies, not over the network`)
  if (isDescription(path)) return checkDescribed(path, repair, format, work)
  const file = await openDiskFile(path, { readOnly: repair === 'none', disturbSuspended: work.disturbSuspended })
  try {
    const known = format ?? (await probeFormat(file)).name
    if (known === 'qcow2') return await checkQcow2(file, repair)
  } finally {
    await file.close()
  }
  return checkOther(path, repair, format, work)
}

/** Its backing files do not matter here, so that they may be missing. */
async function checkQcow2(file: DiskFile, repair: RepairKind): Promise<DiskCheckReport> {
  const node = await Qcow2Node.open(file, { readOnly: repair === 'none', backing: null }, await readHeader(file))
  try {
    const { errors, errorCount, leaks, repaired, allocatedClusters, compressedClusters } = await node.check(repair)
    const { clusterSize, size } = node.info()
    return {
      path: file.path, format: 'qcow2', errors, errorCount, leaks, repaired, size,
      data: allocatedClusters * clusterSize, compressed: compressedClusters * clusterSize,
    }
  } finally {
    await node.close()
  }
}

/** Each of its disks, and then what they are together: all of that is read. */
async function checkDescribed(path: string, repair: RepairKind, format: FormatName | undefined, work: DiskWork): Promise<DiskCheckReport> {
  if (repair !== 'none') throw storageError('DISK_UNSUPPORTED', `${path} describes a disk of several parts: repair them one by one`)
  const graph = await describedGraphOf(path, format)
  const parts: DiskCheckReport[] = []
  for (const part of pathsOf(graph).filter(({ isDisk }) => isDisk)) parts.push(await checkDisk(part.path, 'none', undefined, work))
  const whole = await checkGraph(path, graph, work)
  const errors = parts.flatMap(part => part.errors.map(error => `${part.path}: ${error}`)).slice(0, 100)
  const sum = (field: 'errorCount' | 'leaks'): number => parts.reduce((total, part) => total + part[field], 0)
  return { ...whole, errors, errorCount: sum('errorCount'), leaks: sum('leaks') }
}

function checkOther(path: string, repair: RepairKind, format: FormatName | undefined, work: DiskWork): Promise<DiskCheckReport> {
  return checkGraph(path, graphOf(path, format), work, repair)
}

async function checkGraph(path: string, graph: DiskGraph, work: DiskWork, repair: RepairKind = 'none'): Promise<DiskCheckReport> {
  const node = await openDisk(graph, hostEnvironment(), { readOnly: true })
  try {
    if (repair !== 'none') throw storageError('DISK_UNSUPPORTED', `${path} is a ${node.kind}, which has nothing that could be repaired: leave out --repair`)
    const data = await readData(node, path, work)
    return { path, format: node.kind, errors: [], errorCount: 0, leaks: 0, repaired: 0, size: node.size, data, compressed: 0 }
  } finally {
    await node.close()
  }
}

const CHUNK = 1 << 20

/** Reads all that is not known to be zeros, and returns how many bytes that were. */
async function readData(node: BlockNode, path: string, work: DiskWork): Promise<number> {
  const buffer = new Uint8Array(CHUNK)
  const report = reporter(work, path, 'reading')
  let data = 0
  for (let at = 0; at < node.size;) {
    work.signal?.throwIfAborted()
    const { state, length } = await contentExtent(node, at, node.size - at)
    const part = state === 'data' ? Math.min(length, CHUNK) : length
    if (state === 'data') await node.read(at, [buffer.subarray(0, part)])
    if (state === 'data') data += part
    at += part
    report(at, node.size)
  }
  return data
}
