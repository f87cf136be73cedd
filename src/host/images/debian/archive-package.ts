import { hostError } from '../../errors.ts'
import type { PackageRecord } from '../archive/package-index.ts'
import { parseFields } from '../archive/release.ts'
import { parseRelations } from '../archive/relation.ts'
import type { Alternatives } from '../archive/relation.ts'
import { isVersion } from '../archive/version.ts'

/** Fields of an index's stanza that are of use here: a third of it, the rest is forgotten. */
const FIELDS = [
  'Package', 'Version', 'Architecture', 'Essential', 'Priority', 'Multi-Arch', 'Pre-Depends', 'Depends', 'Conflicts', 'Breaks', 'Replaces',
  'Provides', 'Filename', 'Size', 'SHA256', 'Installed-Size',
]
const KEPT = new RegExp(`^(?:${FIELDS.join('|')}):.*(?:\\n[ \\t].*)*`, 'gm')

export type RelationField = 'Pre-Depends' | 'Depends' | 'Conflicts' | 'Breaks' | 'Replaces' | 'Provides'

/** How much a package belongs to any system (Debian Policy §2.5), most first. */
export const PRIORITIES = ['required', 'important', 'standard', 'optional', 'extra'] as const
export type Priority = typeof PRIORITIES[number]

/** A package in an archive's index; its fields are read when they are asked for, of 60,000 packages only those of a few. */
export class ArchivePackage {
  readonly name: string
  readonly version: string
  /** The number of the source that lists it, in the definition's order. */
  readonly source: number
  readonly #text: string
  #fields: ReadonlyMap<string, string> | undefined
  readonly #relations = new Map<RelationField, readonly Alternatives[]>()
  #names: ReadonlySet<string> | undefined

  private constructor(name: string, version: string, text: string, source: number) {
    this.name = name
    this.version = version
    this.#text = text
    this.source = source
  }

  /** Reads a stanza; undefined if it is none, or a package of another architecture. */
  static read(stanza: string, source: number, architecture: string): ArchivePackage | undefined {
    const text = stanza.match(KEPT)?.join('\n') ?? ''
    const name = /^Package: *([a-z0-9][a-z0-9+.-]*)$/m.exec(text)?.[1]
    const version = /^Version: *(\S+)$/m.exec(text)?.[1]
    const own = /^Architecture: *(\S+)$/m.exec(text)?.[1] ?? architecture
    if (name === undefined || version === undefined || !isVersion(version) || (own !== architecture && own !== 'all')) return undefined
    return new ArchivePackage(name, version, text, source)
  }

  field(name: string): string {
    this.#fields ??= parseFields(this.#text)
    return this.#fields.get(name) ?? ''
  }

  /** Throws TenonError ARCHIVE_FORMAT_INVALID. */
  relations(field: RelationField): readonly Alternatives[] {
    const known = this.#relations.get(field)
    if (known !== undefined) return known
    const read = parseRelations(this.field(field), this.name)
    this.#relations.set(field, read)
    return read
  }

  /** Its own name, and those that it provides. */
  get names(): ReadonlySet<string> {
    this.#names ??= new Set([this.name, ...this.hasProvides ? this.relations('Provides').map(([{ name }]) => name) : []])
    return this.#names
  }

  get isEssential(): boolean {
    return /^Essential: *yes$/m.test(this.#text)
  }

  /** `optional` where the index has none that is known. */
  get priority(): Priority {
    const own = /^Priority: *(\S+)$/m.exec(this.#text)?.[1]
    return PRIORITIES.find(priority => priority === own) ?? 'optional'
  }

  get hasProvides(): boolean {
    return this.#text.includes('\nProvides:')
  }

  /** For the download. Throws TenonError ARCHIVE_FORMAT_INVALID. */
  record(): PackageRecord {
    const [filename, sha256, size] = ['Filename', 'SHA256', 'Size'].map(field => this.field(field))
    const isSafe = /^[\w.+~:/-]+$/.test(filename) && !filename.split('/').includes('..') && !filename.startsWith('/')
    if (!isSafe || !/^[0-9a-f]{64}$/.test(sha256) || !/^\d{1,12}$/.test(size)) {
      throw hostError('ARCHIVE_FORMAT_INVALID', `the mirror's index describes the package ${this.name} incompletely: use another mirror`)
    }
    return { name: this.name, version: this.version, filename, sha256, size: Number(size), depends: this.field('Depends') }
  }
}
