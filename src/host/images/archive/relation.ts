import { hostError } from '../../errors.ts'
import { isVersion, satisfies } from './version.ts'
import type { VersionOperator } from './version.ts'

/**
 * Relations between packages, as the fields Depends, Conflicts and their like have them (Debian Policy §7.1): groups separated by
 * commas, alternatives in a group by `|`, each `name[:architecture] [(operator version)]`.
 *
 * Left out on purpose: restrictions in brackets, which only source packages have.
 */
export interface Relation {
  readonly name: string
  /** `any`, `native` or an architecture. */
  readonly qualifier?: string
  readonly operator?: VersionOperator
  readonly version?: string
}

/** One of them has to hold. Never empty. */
export type Alternatives = readonly Relation[]

const RELATION = /^([a-z0-9][a-z0-9+.-]*)(?::([a-z0-9-]+))?\s*(?:\(\s*(<<|<=|=|>=|>>|<|>)\s*([^\s()]+)\s*\))?$/
/** What the fields had before 1998. */
const OLD_OPERATORS: Readonly<Record<string, VersionOperator>> = { '<': '<=', '>': '>=' }

/** Reads a field of `owner`; an empty one has no groups. Throws TenonError ARCHIVE_FORMAT_INVALID. */
export function parseRelations(field: string, owner: string): Alternatives[] {
  const groups = field.split(',').map(group => group.trim()).filter(group => group !== '')
  return groups.map(group => group.split('|').map(relation => parseRelation(relation.trim(), owner)))
}

function parseRelation(text: string, owner: string): Relation {
  const [, name, qualifier, operator, version] = RELATION.exec(text) ?? []
  if (name === undefined || (version !== undefined && !isVersion(version))) {
    throw hostError('ARCHIVE_FORMAT_INVALID', `the package ${owner} has the relation ${JSON.stringify(text)}, which is none: use another mirror`)
  }
  return {
    name,
    ...qualifier !== undefined && { qualifier },
    ...operator !== undefined && { operator: OLD_OPERATORS[operator] ?? operator as VersionOperator, version },
  }
}

/** As the fields have it: `libc6 (>= 2.36)`. */
export function formatRelation({ name, qualifier, operator, version }: Relation): string {
  return `${name}${qualifier === undefined ? '' : `:${qualifier}`}${operator === undefined ? '' : ` (${operator} ${version})`}`
}

export function formatAlternatives(alternatives: Alternatives): string {
  return alternatives.map(formatRelation).join(' | ')
}

/** Whether a package of this version is what a relation with its name means; without a version, only a relation without one. */
export function versionMatches({ operator, version: wanted }: Relation, version: string | undefined): boolean {
  if (operator === undefined) return true
  return version !== undefined && satisfies(version, operator, wanted!)
}
