/** What a disk is: for people, and as plain data for programs. It is only looked at, also while others use it. */
import { stat } from 'node:fs/promises'
import { TenonError } from '../../base/errors.ts'
import { probeFormat } from '../../storage/formats.ts'
import { openDisk } from '../../storage/open.ts'
import { readHeader } from '../../storage/qcow2/header.ts'
import type { Qcow2Info } from '../../storage/qcow2/info.ts'
import { Qcow2Node } from '../../storage/qcow2/node.ts'
import { isDescription, partsOf } from '../disks/disk-description.ts'
import { openDiskFile } from '../disks/disk-file.ts'
import type { DiskGraph } from '../disks/disk-order.ts'
import { type SnapshotInfo, snapshotsOf } from '../disks/disk-snapshots.ts'
import { hostEnvironment } from '../disks/environment.ts'
import { isNbdUri } from '../disks/nbd-uri.ts'
import { describedGraphOf, type FormatName, graphOf } from './formats.ts'

export interface DiskInfoReport {
  readonly path: string
  readonly format: string
  /** Bytes that a guest sees. */
  readonly size: number
  /** Bytes of the file, and bytes that it takes on the host. Absent for a disk over the network. */
  readonly fileSize?: number
  readonly occupied?: number
  /** Further files that it consists of or stands on, where its format does not tell more. */
  readonly files?: readonly string[]
  readonly qcow2?: Pick<Qcow2Info, 'version' | 'clusterSize' | 'refcountBits' | 'lazyRefcounts' | 'compression' | 'dirty' | 'corrupt'>
  readonly snapshots?: readonly SnapshotInfo[]
  readonly backing?: BackingReport
}

export interface BackingReport {
  /** As the file names it. */
  readonly reference: string
  readonly format: string | null
  readonly disk?: DiskInfoReport
  /** Why it cannot be shown. */
  readonly problem?: string
}

/** A chain is shown to this depth; longer ones cannot be opened either. */
const MAXIMUM_CHAIN = 200

/** Rejects with DISK_NOT_FOUND, DISK_CORRUPT and so on. A backing file that is missing is no error here: the report says so. */
export async function describeDisk(name: string, format?: FormatName): Promise<DiskInfoReport> {
  if (isNbdUri(name)) return describeNbd(name, format)
  if (isDescription(name)) return describeGraph(name, await describedGraphOf(name, format))
  return describeFile(name, format ?? null, [])
}

async function describeNbd(uri: string, format?: FormatName): Promise<DiskInfoReport> {
  const node = await openDisk(graphOf(uri, format), hostEnvironment(), { readOnly: true })
  await node.close()
  return { path: uri, format: node.kind, size: node.size }
}

/** Its kind, and the files that it names. */
async function describeGraph(path: string, graph: DiskGraph): Promise<DiskInfoReport> {
  const node = await openDisk(graph, hostEnvironment({ ignoreLocks: true }), { readOnly: true })
  await node.close()
  return { path, format: node.kind, size: node.size, files: partsOf(graph) }
}

async function describeFile(path: string, format: string | null, chain: readonly string[]): Promise<DiskInfoReport> {
  const file = await openDiskFile(path, { readOnly: true, lock: false })
  try {
    const known = format ?? (await probeFormat(file)).name
    const { blocks } = await stat(path)
    const facts = { path, fileSize: file.size, occupied: blocks * 512 }
    return known === 'qcow2' ? { ...facts, ...await describeQcow2(path, chain) } : { ...facts, ...await describeOther(path, known) }
  } finally {
    await file.close()
  }
}

async function describeQcow2(path: string, chain: readonly string[]): Promise<Omit<DiskInfoReport, 'path'>> {
  const file = await openDiskFile(path, { readOnly: true, lock: false })
  const node = await openAlone(file)
  try {
    const { version, size, clusterSize, refcountBits, lazyRefcounts, compression, dirty, corrupt, backingFile, backingFormat } = node.info()
    const snapshots = await snapshotsOf(node)
    return {
      format: 'qcow2', size, qcow2: { version, clusterSize, refcountBits, lazyRefcounts, compression, dirty, corrupt },
      ...snapshots.length === 0 ? {} : { snapshots },
      ...backingFile === null ? {} : { backing: await describeBacking(path, backingFile, backingFormat, chain) },
    }
  } finally {
    await node.close()
  }
}

async function openAlone(file: Awaited<ReturnType<typeof openDiskFile>>): Promise<Qcow2Node> {
  try {
    return await Qcow2Node.open(file, { readOnly: true, backing: null }, await readHeader(file))
  } catch (error) {
    await file.close()
    throw error
  }
}

async function describeBacking(from: string, reference: string, format: string | null, chain: readonly string[]): Promise<BackingReport> {
  const named = { reference, format }
  try {
    const path = await hostEnvironment().resolvePath(from, reference)
    if (chain.includes(path)) return { ...named, problem: 'it is its own backing file' }
    if (chain.length >= MAXIMUM_CHAIN) return { ...named, problem: `the chain goes more than ${MAXIMUM_CHAIN} files deep` }
    return { ...named, disk: await describeFile(path, format, [...chain, path]) }
  } catch (error) {
    if (!(error instanceof TenonError)) throw error
    return { ...named, problem: error.message }
  }
}

/** Opens it whole, and notes which files that takes. */
async function describeOther(path: string, format: string): Promise<Omit<DiskInfoReport, 'path'>> {
  const files: string[] = []
  const environment = hostEnvironment({ ignoreLocks: true })
  const node = await openDisk({ kind: 'file', path, format: format === 'vpc' ? 'vhd' : format }, {
    ...environment,
    openFile(opened, options) {
      files.push(opened)
      return environment.openFile(opened, options)
    },
  }, { readOnly: true })
  await node.close()
  return { format: node.kind, size: node.size, ...files.length <= 1 ? {} : { files: files.slice(1) } }
}
