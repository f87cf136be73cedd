/**
 * A disk that a file in YAML describes, `NAME.disk.yaml`: a graph of block nodes, with the words of storage/kinds.ts, as in `guest.yaml`.
 *
 *     kind: mirror
 *     state: data.state
 *     nodes:
 *       - /disks/one/data.raw
 *       - /disks/two/data.raw
 *
 * Relative paths are relative to its folder, and a part may be described by a file of its own. Only whoever names a disk can name such a
 * file: one that an image names as its backing file is taken for the disk itself.
 */
import { readFile, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { pathsOf, withDisks, withPaths } from '../../storage/graph-paths.ts'
import { storageError } from '../../storage/errors.ts'
import { parseYaml } from '../yaml-file.ts'
import { diskError } from './disk-errors.ts'
import type { DiskGraph } from './disk-order.ts'

/** More bytes than any description has. */
const LARGEST = 1 << 20
/** Descriptions that one disk may consist of. */
const MOST = 64

/** Whether a path is that of a description. */
export function isDescription(path: string): boolean { return /\.disk\.ya?ml$/i.test(path) }

/**
 * A graph with what the files describe in place of the descriptions that it names. A graph without any is given back.
 * @throws TenonError DISK_DESCRIPTION_INVALID, with file and line; DISK_NOT_FOUND, DISK_READ_FAILED.
 */
export function readDescriptions(graph: DiskGraph): Promise<DiskGraph> { return expand(graph, new Set()) }

/** `read`: those that are part of the disk already. One disk cannot be two parts of another, nor a part of itself. */
async function expand(graph: DiskGraph, read: Set<string>): Promise<DiskGraph> {
  const named: string[] = []
  withDisks(graph, path => {
    if (isDescription(path)) named.push(path)
    return undefined
  })
  if (named.length === 0) return graph
  const described = new Map<string, object>()
  for (const path of named) {
    if (read.has(resolve(path))) throw invalid(`${path} is named twice in one disk, or by itself: name each disk once`)
    if (read.size >= MOST) throw invalid(`${path}: a disk consists of ${MOST} descriptions at most`)
    read.add(resolve(path))
    described.set(path, await expand(await readDescription(path), read) as object)
  }
  return withDisks(graph, path => described.get(path))
}

async function readDescription(path: string): Promise<DiskGraph> {
  const text = await readText(path)
  // Loaded here: most disks do without it.
  const { describedDiskSchema } = await import('./graph-schema.ts')
  const graph = await parseYaml(text, path, describedDiskSchema, invalid)
  return withPaths(graph, part => resolve(dirname(path), part))
}

async function readText(path: string): Promise<string> {
  try {
    const { size } = await stat(path)
    if (size > LARGEST) throw invalid(`${path}: it is larger than ${LARGEST} bytes, and no description of a disk`)
    return await readFile(path, 'utf8')
  } catch (error) {
    throw diskError(error, path, 'open')
  }
}

/** The files that a disk of this graph consists of, as far as it names them. */
export function partsOf(graph: DiskGraph): string[] { return pathsOf(graph).map(({ path }) => path) }

function invalid(what: string): Error { return storageError('DISK_DESCRIPTION_INVALID', what) }
