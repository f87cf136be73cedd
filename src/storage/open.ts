/**
 * Opens a disk: a graph of nodes from a plain description. See kinds.ts for the kinds and their fields.
 *
 *     { kind: 'throttle', requestsPerSecond: 500, node: { kind: 'file', path: 'web.qcow2' } }
 *
 * A text alone is a file by its path. A file that names a backing file has that opened too, for reading, and so on.
 */
import { TenonError } from '../base/errors.ts'
import type { BlockNode } from './block-node.ts'
import { Description, DescriptionError, type FieldPath } from './description.ts'
import { storageError } from './errors.ts'
import type { DiskFormat, FormatContext, StorageEnvironment } from './format.ts'
import { FORMAT_ALIASES, FORMATS, formatOf, probeFormat, RAW } from './formats.ts'
import { KINDS, type Creation, type Opener, type Planner } from './kinds.ts'
import { ProbedRawNode } from './nodes/probed-raw.ts'
import type { StorageFile } from './storage-file.ts'

export interface OpenOptions {
  readonly readOnly?: boolean
  /** What messages call the description; default `disk`. */
  readonly place?: string
  /** Which formats are known; default all, FORMATS. */
  readonly formats?: readonly DiskFormat[]
  /** Mirrors, dedups and tiers in it are made anew: their own files must be there and are overwritten. */
  readonly create?: Creation
}

/** More files than anybody's chain has, and fewer than descriptors. */
const MAXIMUM_CHAIN = 200
/** Nodes within nodes in a description. */
const MAXIMUM_NESTING = 32
const MAXIMUM_NODES = 64

/**
 * Opens what `description` describes: a path, or an object with a `kind`. It is plain data that nobody has checked. Rejects with
 * DISK_DESCRIPTION_INVALID where it is wrong, else with what opening the files brings; nothing stays open then.
 */
export async function openDisk(description: unknown, environment: StorageEnvironment, options: OpenOptions = {}): Promise<BlockNode> {
  const opening = new Opening(environment, options)
  try {
    const root = { place: options.place ?? 'disk', path: [], depth: 0 }
    return await opening.plan(description, root, options.readOnly === true)()
  } catch (error) {
    await opening.abandon()
    throw error
  }
}

/** Throws a DescriptionError if `openDisk` would, for what can be seen without opening anything. */
export function checkDescription(description: unknown, environment: StorageEnvironment): void {
  new Opening(environment, {}).plan(description, { place: 'disk', path: [], depth: 0 }, false)
}

/** Where a part of a description stands. */
interface Spot {
  readonly place: string
  readonly path: FieldPath
  readonly depth: number
}

interface Closable { close(): Promise<void> }

class Opening {
  private readonly environment: StorageEnvironment
  private readonly formats: readonly DiskFormat[]
  private readonly creation: Creation | undefined
  private readonly opened: Closable[] = []

  constructor(environment: StorageEnvironment, { formats = FORMATS, create }: OpenOptions) {
    this.environment = environment
    this.formats = formats
    this.creation = create
  }

  /** Closes what was opened, the last first; most of it has been closed by its parent already. */
  async abandon(): Promise<void> {
    for (const each of this.opened.reverse()) await each.close().catch(() => {})
  }

  /** Reads a description to its end; what comes back opens it. */
  plan(value: unknown, spot: Spot, readOnly: boolean): Opener<BlockNode> {
    if (typeof value === 'string') return this.planFile(new Description(spot.place, { path: value }, spot.path), spot, readOnly)
    const description = new Description(spot.place, value, spot.path)
    if (spot.depth > MAXIMUM_NESTING) throw new DescriptionError(spot.place, spot.path, `is more than ${MAXIMUM_NESTING} nodes deep`)
    const ownKinds = this.environment.kinds ?? {}
    const kind = description.choice('kind', ['file', ...Object.keys(KINDS), ...Object.keys(ownKinds)])
    const onlyReads = description.boolean('readOnly', false) || readOnly
    if (kind === 'file') return this.planFile(description, spot, onlyReads)
    if (Object.hasOwn(ownKinds, kind)) return async () => this.keep(await ownKinds[kind](value as Record<string, unknown>, onlyReads))
    const open = KINDS[kind](description, onlyReads, this.planner(spot))
    description.end()
    return async () => this.keep(await open())
  }

  private keep<Node extends Closable>(node: Node): Node {
    this.opened.push(node)
    return node
  }

  private planner(spot: Spot): Planner {
    return {
      environment: this.environment,
      creation: this.creation,
      keep: node => this.keep(node),
      node: (description, field, readOnly) => this.plan(description.part(field), below(spot, field), readOnly),
      nodes: (description, field, minimum, readOnly) => inTurn(this.planList(description, spot, field, minimum, readOnly)),
      nodesThatOpen: (description, field, minimum, readOnly) => {
        const openers = this.planList(description, spot, field, minimum, readOnly)
        return inTurn(openers.map((open, at) => () => {
          return open().catch((error: unknown) => this.goOnWithout(`${spot.place}.${field}[${at}]`, error))
        }))
      },
      file: (description, field, readOnly) => {
        const name = description.string(field)
        return async () => this.keep(await this.environment.openFile(await this.environment.resolvePath(null, name), { readOnly }))
      },
    }
  }

  private planList(description: Description, spot: Spot, field: string, minimum: number, readOnly: boolean): Opener<BlockNode>[] {
    return description.list(field, minimum, MAXIMUM_NODES).map((each, at) => this.plan(each, below(spot, field, at), readOnly))
  }

  /** A disk that is broken or gone is no reason not to start; one that is described wrongly or in use elsewhere is. */
  private goOnWithout(place: string, error: unknown): null {
    if (!(error instanceof TenonError) || ['DISK_DESCRIPTION_INVALID', 'DISK_IN_USE'].includes(error.code)) throw error
    this.environment.notice?.(`${place} cannot be opened, and is left out: ${error.message}`)
    return null
  }

  private planFile(description: Description, spot: Spot, readOnly: boolean): Opener<BlockNode> {
    const path = description.string('path')
    const name = description.has('format') ? description.choice('format', this.formats.map(each => each.name)) : null
    const openBacking = description.has('backing') ? this.plan(description.part('backing'), below(spot, 'backing'), true) : undefined
    if (description.has('kind')) description.boolean('readOnly', false)
    description.end()
    return async () => {
      const backing = await openBacking?.()
      const node = await this.openImage(await this.environment.resolvePath(null, path), name, readOnly, [], backing)
      if (backing === undefined || node.children.backing === backing) return node
      throw description.invalid('backing', `cannot be: a disk of the format ${node.kind} has no backing file`)
    }
  }

  /** `chain`: the files that led here by naming each other. */
  private async openImage(
    path: string, name: string | null, readOnly: boolean, chain: readonly string[], backing?: BlockNode,
  ): Promise<BlockNode> {
    if (chain.includes(path)) throw storageError('DISK_CORRUPT', `${path} is its own backing file, by way of ${chain.join(', ')}`)
    if (chain.length >= MAXIMUM_CHAIN) {
      throw storageError('DISK_UNSUPPORTED', `the backing files of ${chain[0]} go more than ${MAXIMUM_CHAIN} deep: merge some of them`)
    }
    const file = this.keep(await this.environment.openFile(path, { readOnly }))
    const format = name === null ? await probeFormat(file, this.formats) : this.formatNamed(path, name)
    const node = this.keep(await format.open(file, this.context(path, readOnly, [...chain, path], backing)))
    const isGuessed = name === null && format === RAW && !node.readOnly
    return isGuessed ? new ProbedRawNode(node, ends => formatOf(ends, this.formats) !== RAW) : node
  }

  private formatNamed(path: string, name: string): DiskFormat {
    const format = this.formats.find(each => each.name === (FORMAT_ALIASES[name] ?? name))
    if (format === undefined) throw storageError('DISK_UNSUPPORTED', `${path} is said to have the format ${name}, which is not known here`)
    return format
  }

  private context(path: string, readOnly: boolean, chain: readonly string[], backing?: BlockNode): FormatContext {
    const { environment } = this
    return {
      readOnly, environment, backing,
      openBacking: async (reference, format) => {
        return this.openImage(await environment.resolvePath(path, reference), format, true, chain)
      },
      openPart: async (reference: string, onlyReads: boolean): Promise<StorageFile> => {
        const part = await environment.resolvePath(path, reference)
        return this.keep(await environment.openFile(part, { readOnly: onlyReads }))
      },
    }
  }
}

function below({ place, path, depth }: Spot, field: string, at?: number): Spot {
  if (at === undefined) return { place: `${place}.${field}`, path: [...path, field], depth: depth + 1 }
  return { place: `${place}.${field}[${at}]`, path: [...path, field, at], depth: depth + 1 }
}

/** One after the other. */
function inTurn<Opened>(openers: readonly Opener<Opened>[]): Opener<Opened[]> {
  return async () => {
    const opened: Opened[] = []
    for (const open of openers) opened.push(await open())
    return opened
  }
}
