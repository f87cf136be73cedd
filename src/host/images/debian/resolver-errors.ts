import { formatRelation } from '../archive/relation.ts'
import type { ArchivePackage, RelationField } from './archive-package.ts'
import type { Catalogue } from './catalogue.ts'

/** Why a set of packages cannot be: in words, for the resolver's errors. */
export interface Chosen {
  readonly package: ArchivePackage
  /** Whose dependency it is; undefined for a wish. */
  readonly because?: Chosen
}

const EXCLUSIONS: readonly RelationField[] = ['Conflicts', 'Breaks']

/** What forbids `candidate` beside the packages that are chosen; undefined if nothing does. */
export function clashOf(catalogue: Catalogue, candidate: ArchivePackage, chosen: Iterable<Chosen>): string | undefined {
  for (const other of chosen) {
    const clash = exclusion(catalogue, candidate, other.package) ?? exclusion(catalogue, other.package, candidate)
    if (clash !== undefined) return `${other.package.name} (${describeChain(other)}) exclude each other: ${clash}`
  }
  return undefined
}

/** The relation by which `a` excludes `b`. A package never excludes itself, though it may provide what it conflicts with. */
function exclusion(catalogue: Catalogue, a: ArchivePackage, b: ArchivePackage): string | undefined {
  if (a.name === b.name) return undefined
  for (const field of EXCLUSIONS) {
    const relation = a.relations(field).flat().find(each => b.names.has(each.name) && catalogue.isMatch(b, each))
    if (relation !== undefined) return `${a.name} ${a.version} ${field.toLowerCase()} ${formatRelation(relation)}, and there is ${b.name} ${b.version}`
  }
  return undefined
}

/** `c, which b needs, which a needs, which is asked for`: from a package to the wish that it comes from. */
export function describeChain(chosen: Chosen): string {
  const MAXIMUM_LINKS = 6
  const links = []
  for (let link: Chosen | undefined = chosen; link !== undefined && links.length < MAXIMUM_LINKS; link = link.because) links.push(link.package.name)
  const [first, ...rest] = links
  return rest.length === 0 ? first : `${first} (needed by ${rest.join(', needed by ')})`
}

/** Says that there is no such package, and which names are near. */
export function describeMissing(catalogue: Catalogue, name: string): string {
  const providers = catalogue.providers(name).slice(0, 3).map(each => each.name)
  if (providers.length > 0) return `there is no package ${name}, but it is provided by ${providers.join(', ')}`
  const near = similarNames(catalogue.names(), name)
  return `there is no package ${name}${near.length === 0 ? '' : `; names like it are ${near.join(', ')}`}`
}

/** At most three names, nearest first: an edit or two away, or with the name in theirs. */
export function similarNames(names: Iterable<string>, wanted: string): string[] {
  const LIMIT = 2
  const near: { name: string, distance: number }[] = []
  for (const name of names) {
    const distance = Math.abs(name.length - wanted.length) > LIMIT ? Infinity : editDistance(name, wanted)
    if (distance <= LIMIT) near.push({ name, distance })
    else if (wanted.length > 3 && name.startsWith(wanted)) near.push({ name, distance: LIMIT + 1 + name.length - wanted.length })
  }
  near.sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
  return near.slice(0, 3).map(({ name }) => name)
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]
}
