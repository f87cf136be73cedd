/**
 * The files that a disk's description names, wherever they stand in it: to make relative paths absolute, or to know what a disk writes to.
 * Nothing is checked here: what is no description stays as it is.
 */

/** Fields of a kind that are paths of files. A text in place of a node is one too. */
const FILES: Readonly<Record<string, readonly string[]>> = { file: ['path'], mirror: ['state'], dedup: ['map', 'data'], tier: ['map'] }

/** Fields of a kind that are nodes, or lists of nodes. */
const NODES: Readonly<Record<string, readonly string[]>> = {
  file: ['backing'], overlay: ['base', 'top'], stripe: ['nodes'], mirror: ['nodes'], tier: ['fast', 'slow'], throttle: ['node'],
}

/** Those of them that are only ever read. */
const ONLY_READ: Readonly<Record<string, readonly string[]>> = { file: ['backing'], overlay: ['base'] }

/** As deep as a description may be: see open.ts. */
const MAXIMUM_NESTING = 33

/** What a description has a path for: a disk, or what a mirror, dedup or tier has of its own. */
export interface PathUse {
  readonly readOnly: boolean
  readonly isDisk: boolean
}

/** Told of a path; gives the path in its place. */
export type PathChange = (path: string, use: PathUse) => string

/** Told of a disk file that is named by its path alone; gives another node in its place, or undefined. */
export type DiskReplacement = (path: string) => object | undefined

interface Visitor {
  readonly path: PathChange
  readonly disk?: DiskReplacement
}

/** A copy of a description with other paths. */
export function withPaths<Graph>(description: Graph, change: PathChange): Graph {
  return changed(description, { path: change }, false, 0) as Graph
}

/** A copy with other nodes in place of disk files. What was only to be read still is. */
export function withDisks<Graph>(description: Graph, replace: DiskReplacement): Graph {
  return changed(description, { path: path => path, disk: replace }, false, 0) as Graph
}

/** The files that the node writes to, as the description names them. A backing file that an image names itself is none. */
export function writtenPaths(description: unknown): string[] {
  return pathsOf(description).filter(({ readOnly }) => !readOnly).map(({ path }) => path)
}

/** All files that a description names. */
export function pathsOf(description: unknown): (PathUse & { readonly path: string })[] {
  const paths: (PathUse & { readonly path: string })[] = []
  withPaths(description, (path, use) => {
    paths.push({ path, ...use })
    return path
  })
  return paths
}

function changed(value: unknown, visitor: Visitor, readOnly: boolean, depth: number): unknown {
  if (typeof value === 'string') return visitor.disk?.(value) ?? visitor.path(value, { readOnly, isDisk: true })
  if (Array.isArray(value)) return value.map(each => changed(each, visitor, readOnly, depth + 1))
  if (typeof value !== 'object' || value === null || depth > 2 * MAXIMUM_NESTING) return value
  const fields = value as Readonly<Record<string, unknown>>
  const kind = typeof fields.kind === 'string' && Object.hasOwn({ ...FILES, ...NODES }, fields.kind) ? fields.kind : ''
  const onlyReads = readOnly || fields.readOnly === true
  const other = kind === 'file' ? replaced(fields, visitor) : undefined
  return other ?? Object.fromEntries(Object.entries(fields).map(([name, field]) => {
    if (FILES[kind]?.includes(name) && typeof field === 'string') {
      return [name, visitor.path(field, { readOnly: onlyReads, isDisk: kind === 'file' })]
    }
    if (!NODES[kind]?.includes(name)) return [name, field]
    return [name, changed(field, visitor, onlyReads || ONLY_READ[kind]?.includes(name) === true, depth + 1)]
  }))
}

/** With a format or a backing file it is meant as a disk. */
function replaced({ path, readOnly, format, backing }: Readonly<Record<string, unknown>>, { disk }: Visitor): object | undefined {
  if (disk === undefined || typeof path !== 'string' || format !== undefined || backing !== undefined) return undefined
  const other = disk(path)
  return other !== undefined && readOnly === true ? { ...other, readOnly } : other
}
