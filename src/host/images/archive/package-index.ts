import { hostError } from '../../errors.ts'
import type { FileDigest } from './release.ts'
import { parseFields } from './release.ts'

/** A package as the archive's index describes it. */
export interface PackageRecord extends FileDigest {
  readonly name: string
  readonly version: string
  /** Relative to the mirror. */
  readonly filename: string
  readonly depends: string
}

/** A Packages index, read once and kept as text: stanzas are parsed when they are asked for. */
export class PackageIndex {
  readonly #stanzas: ReadonlyMap<string, string[]>

  private constructor(stanzas: ReadonlyMap<string, string[]>) {
    this.#stanzas = stanzas
  }

  /** Keeps the stanzas of packages that `wanted` names, of which an index of 60,000 has a few. */
  static async read(chunks: AsyncIterable<Uint8Array>, wanted: (name: string) => boolean): Promise<PackageIndex> {
    const stanzas = new Map<string, string[]>()
    const decoder = new TextDecoder()
    let rest = ''
    const keep = (stanza: string): void => {
      const name = /^Package: *(\S+)/m.exec(stanza)?.[1]
      if (name !== undefined && wanted(name)) stanzas.set(name, [...stanzas.get(name) ?? [], stanza])
    }
    for await (const chunk of chunks) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n\n')
      rest = parts.pop()!
      parts.forEach(keep)
    }
    keep(rest)
    return new PackageIndex(stanzas)
  }

  /** The record of `name`; of several versions, the last one listed. Throws ARCHIVE_PACKAGE_MISSING or ARCHIVE_FORMAT_INVALID. */
  find(name: string): PackageRecord {
    const stanza = this.#stanzas.get(name)?.at(-1)
    if (stanza === undefined) throw hostError('ARCHIVE_PACKAGE_MISSING', `the mirror's index has no package ${name}: use another mirror`)
    const fields = parseFields(stanza)
    const [version, filename, sha256, size] = ['Version', 'Filename', 'SHA256', 'Size'].map(field => fields.get(field) ?? '')
    const isSafe = /^[\w.+~:/-]+$/.test(filename) && !filename.split('/').includes('..') && !filename.startsWith('/')
    if (version === '' || !isSafe || !/^[0-9a-f]{64}$/.test(sha256) || !/^\d{1,12}$/.test(size)) {
      throw hostError('ARCHIVE_FORMAT_INVALID', `the mirror's index describes the package ${name} incompletely: use another mirror`)
    }
    return { name, version, filename, sha256, size: Number(size), depends: fields.get('Depends') ?? '' }
  }
}

/** The names in a Depends field, without alternatives, versions and architectures (Debian Policy §7.1). */
export function dependencyNames(depends: string): string[] {
  return depends.split(',').map(dependency => /^\s*([a-z0-9][a-z0-9.+-]*)/.exec(dependency)?.[1] ?? '').filter(name => name !== '')
}
