import type { Relation } from '../archive/relation.ts'
import { versionMatches } from '../archive/relation.ts'
import { compareVersions } from '../archive/version.ts'
import { hostError } from '../../errors.ts'
import { ArchivePackage, PRIORITIES } from './archive-package.ts'

/**
 * All packages of one architecture that the sources list, one for each name: the newest. That is what apt installs where all sources
 * count the same, and the only one it considers.
 */
export class Catalogue {
  readonly architecture: string
  readonly #packages = new Map<string, ArchivePackage>()
  #providers: Map<string, ArchivePackage[]> | undefined

  constructor(architecture = 'amd64') {
    this.architecture = architecture
  }

  get size(): number {
    return this.#packages.size
  }

  /** Adds the stanzas of a Packages index. A stanza is at most 1 MiB: more is no index. Throws TenonError ARCHIVE_FORMAT_INVALID. */
  async add(chunks: AsyncIterable<Uint8Array>, source: number): Promise<void> {
    const MAXIMUM_STANZA = 1024 ** 2
    const decoder = new TextDecoder()
    let rest = ''
    for await (const chunk of chunks) {
      const stanzas = (rest + decoder.decode(chunk, { stream: true })).split('\n\n')
      rest = stanzas.pop()!
      if (rest.length > MAXIMUM_STANZA) throw hostError('ARCHIVE_FORMAT_INVALID', 'the mirror\'s index is no list of packages: use another mirror')
      for (const stanza of stanzas) this.#keep(stanza, source)
    }
    this.#keep(rest, source)
    this.#providers = undefined
  }

  find(name: string): ArchivePackage | undefined {
    return this.#packages.get(name)
  }

  names(): Iterable<string> {
    return this.#packages.keys()
  }

  packages(): Iterable<ArchivePackage> {
    return this.#packages.values()
  }

  /** Packages whose Provides names `name`, whatever the version: higher priority first, then by name. */
  providers(name: string): readonly ArchivePackage[] {
    this.#providers ??= this.#findProviders()
    return this.#providers.get(name) ?? []
  }

  /** Who satisfies a relation, the package of that name before those that provide it. */
  matching(relation: Relation): ArchivePackage[] {
    const own = this.find(relation.name)
    return [...own === undefined ? [] : [own], ...this.providers(relation.name)].filter(candidate => this.isMatch(candidate, relation))
  }

  /** Whether having `candidate` means having what the relation says. */
  isMatch(candidate: ArchivePackage, relation: Relation): boolean {
    const { name, qualifier } = relation
    if (qualifier !== undefined && qualifier !== 'any' && qualifier !== 'native' && qualifier !== this.architecture) return false
    if (candidate.name === name && versionMatches(relation, candidate.version)) return true
    if (!candidate.hasProvides) return false
    // A Provides can only say `=`, and only the real package has a version where it says nothing (Debian Policy §7.5).
    return candidate.relations('Provides').some(([provided]) => provided.name === name && versionMatches(relation, provided.version))
  }

  #keep(stanza: string, source: number): void {
    const found = ArchivePackage.read(stanza, source, this.architecture)
    if (found === undefined) return
    const known = this.#packages.get(found.name)
    if (known === undefined || compareVersions(found.version, known.version) > 0) this.#packages.set(found.name, found)
  }

  #findProviders(): Map<string, ArchivePackage[]> {
    const providers = new Map<string, ArchivePackage[]>()
    for (const candidate of this.#packages.values()) {
      if (!candidate.hasProvides) continue
      const names = new Set(candidate.relations('Provides').flatMap(([{ name }]) => (name === candidate.name ? [] : [name])))
      for (const name of names) providers.set(name, [...providers.get(name) ?? [], candidate])
    }
    for (const list of providers.values()) list.sort(byPriority)
    return providers
  }
}

function byPriority(a: ArchivePackage, b: ArchivePackage): number {
  return PRIORITIES.indexOf(a.priority) - PRIORITIES.indexOf(b.priority) || (a.name < b.name ? -1 : 1)
}
