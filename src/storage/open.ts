/**
 * Opens a disk: a graph of nodes from a plain description. See kinds.ts for the kinds and their fields.
 *
 *     { kind: 'throttle', requestsPerSecond: 500, node: { kind: 'file', path: 'web.qcow2' } }
 *
 * A text alone is a file by its path. A file that names a backing file has that opened too, for reading, and so on.
 */
import { TenonError } from '../base/errors.ts'
import type { BlockNode } from './block-node.ts'
import { Description } from './description.ts'
import { storageError } from './errors.ts'
import type { DiskFormat, FormatContext, StorageEnvironment } from './format.ts'
import { FORMAT_ALIASES, FORMATS, formatOf, probeFormat, RAW } from './formats.ts'
import { KINDS, type Builder } from './kinds.ts'
import { ProbedRawNode } from './nodes/probed-raw.ts'
import type { StorageFile } from './storage-file.ts'

export interface OpenOptions {
  readonly readOnly?: boolean
  /** What messages call the description; default `disk`. */
  readonly place?: string
  /** Which formats are known; default all, FORMATS. */
  readonly formats?: readonly DiskFormat[]
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
  const opening = new Opening(environment, options.formats ?? FORMATS)
  try {
    return await opening.open(description, options.place ?? 'disk', options.readOnly === true, 0)
  } catch (error) {
    await opening.abandon()
    throw error
  }
}

interface Closable { close(): Promise<void> }

class Opening {
  private readonly environment: StorageEnvironment
  private readonly formats: readonly DiskFormat[]
  private readonly opened: Closable[] = []

  constructor(environment: StorageEnvironment, formats: readonly DiskFormat[]) {
    this.environment = environment
    this.formats = formats
  }

  /** Closes what was opened, the last first; most of it has been closed by its parent already. */
  async abandon(): Promise<void> {
    for (const each of this.opened.reverse()) await each.close().catch(() => {})
  }

  async open(value: unknown, place: string, readOnly: boolean, depth: number): Promise<BlockNode> {
    if (typeof value === 'string') return this.openFile(new Description(place, { path: value }), readOnly, depth)
    const description = new Description(place, value)
    if (depth > MAXIMUM_NESTING) throw storageError('DISK_DESCRIPTION_INVALID', `${place} is more than ${MAXIMUM_NESTING} nodes deep`)
    const ownKinds = this.environment.kinds ?? {}
    const kind = description.choice('kind', ['file', ...Object.keys(KINDS), ...Object.keys(ownKinds)])
    const onlyReads = description.boolean('readOnly', false) || readOnly
    if (kind === 'file') return this.openFile(description, onlyReads, depth)
    if (Object.hasOwn(ownKinds, kind)) return this.keep(await ownKinds[kind](value as Record<string, unknown>, onlyReads))
    const node = this.keep(await KINDS[kind](description, onlyReads, this.builder(depth)))
    description.end()
    return node
  }

  private keep<Node extends Closable>(node: Node): Node {
    this.opened.push(node)
    return node
  }

  private builder(depth: number): Builder {
    return {
      environment: this.environment,
      keep: node => this.keep(node),
      node: (description, field, readOnly) => this.open(description.part(field), `${description.place}.${field}`, readOnly, depth + 1),
      nodes: (description, field, minimum, readOnly) => this.openList(description, field, minimum, (each, place) => {
        return this.open(each, place, readOnly, depth + 1)
      }),
      nodesThatOpen: (description, field, minimum, readOnly) => this.openList(description, field, minimum, (each, place) => {
        return this.open(each, place, readOnly, depth + 1).catch((error: unknown) => this.goOnWithout(place, error))
      }),
      file: async (description, field, readOnly) => {
        const path = await this.environment.resolvePath(null, description.string(field))
        return this.keep(await this.environment.openFile(path, { readOnly }))
      },
    }
  }

  private async openList<Node>(
    description: Description, field: string, minimum: number, open: (value: unknown, place: string) => Promise<Node>,
  ): Promise<Node[]> {
    const nodes: Node[] = []
    for (const [at, each] of description.list(field, minimum, MAXIMUM_NODES).entries()) {
      nodes.push(await open(each, `${description.place}.${field}[${at}]`))
    }
    return nodes
  }

  /** A disk that is broken or gone is no reason not to start; one that is described wrongly or in use elsewhere is. */
  private goOnWithout(place: string, error: unknown): null {
    if (!(error instanceof TenonError) || ['DISK_DESCRIPTION_INVALID', 'DISK_IN_USE'].includes(error.code)) throw error
    this.environment.notice?.(`${place} cannot be opened, and is left out: ${error.message}`)
    return null
  }

  private async openFile(description: Description, readOnly: boolean, depth: number): Promise<BlockNode> {
    const path = description.string('path')
    const name = description.has('format') ? description.choice('format', this.formats.map(each => each.name)) : null
    const backing = description.has('backing')
      ? await this.open(description.part('backing'), `${description.place}.backing`, true, depth + 1)
      : undefined
    if (description.has('kind')) description.boolean('readOnly', false)
    description.end()
    const node = await this.openImage(await this.environment.resolvePath(null, path), name, readOnly, [], backing)
    if (backing === undefined || node.children.backing === backing) return node
    throw description.invalid('backing', `cannot be: a disk of the format ${node.kind} has no backing file`)
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
