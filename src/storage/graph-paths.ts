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

/** Told of a path, and whether its file is only read; gives the path in its place. */
export type PathChange = (path: string, readOnly: boolean) => string

/** A copy of a description with other paths. */
export function withPaths<Graph>(description: Graph, change: PathChange): Graph { return changed(description, change, false, 0) as Graph }

/** The files that the node writes to, as the description names them. A backing file that an image names itself is none. */
export function writtenPaths(description: unknown): string[] {
  const paths: string[] = []
  withPaths(description, (path, readOnly) => {
    if (!readOnly) paths.push(path)
    return path
  })
  return paths
}

function changed(value: unknown, change: PathChange, readOnly: boolean, depth: number): unknown {
  if (typeof value === 'string') return change(value, readOnly)
  if (Array.isArray(value)) return value.map(each => changed(each, change, readOnly, depth + 1))
  if (typeof value !== 'object' || value === null || depth > 2 * MAXIMUM_NESTING) return value
  const fields = value as Readonly<Record<string, unknown>>
  const kind = typeof fields.kind === 'string' && Object.hasOwn({ ...FILES, ...NODES }, fields.kind) ? fields.kind : ''
  const onlyReads = readOnly || fields.readOnly === true
  return Object.fromEntries(Object.entries(fields).map(([name, field]) => {
    if (FILES[kind]?.includes(name) && typeof field === 'string') return [name, change(field, onlyReads)]
    if (!NODES[kind]?.includes(name)) return [name, field]
    return [name, changed(field, change, onlyReads || ONLY_READ[kind]?.includes(name) === true, depth + 1)]
  }))
}
