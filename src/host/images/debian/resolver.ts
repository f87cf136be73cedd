import { hostError } from '../../errors.ts'
import { formatAlternatives } from '../archive/relation.ts'
import type { Alternatives, Relation } from '../archive/relation.ts'
import type { ArchivePackage } from './archive-package.ts'
import type { Catalogue } from './catalogue.ts'
import { clashOf, describeChain, describeMissing } from './resolver-errors.ts'
import type { Chosen } from './resolver-errors.ts'

/**
 * Chooses the packages of a system (Debian Policy §7): everything that is asked for, with what it depends on, and nothing that
 * conflicts.
 *
 * As apt does with Recommends off, wishes come first, then the dependencies of each, depth first, and of alternatives the first that
 * can be had; one that is there already is taken before all others. Where a choice leads to a contradiction, the latest choice is
 * changed, in order (chronological backtracking), so that a solution is found where there is one, within `MAXIMUM_STEPS`.
 *
 * Left out on purpose: Recommends and Suggests, several architectures, and older versions than a catalogue has.
 */
export interface Resolution {
  /** In the order in which they were chosen. */
  readonly packages: readonly ArchivePackage[]
  /** Names that were wished for, not just needed. */
  readonly wished: ReadonlySet<string>
}

const MAXIMUM_STEPS = 200_000

/** A requirement still to be met, and the ones after it: a list that can be gone back to. */
interface Agenda {
  readonly alternatives: Alternatives
  /** Undefined for a wish. */
  readonly owner?: Chosen
  readonly next?: Agenda
}

interface Decision {
  readonly agenda: Agenda
  readonly candidates: readonly ArchivePackage[]
  tried: number
  readonly chosenBefore: number
}

/** Throws TenonError PACKAGES_UNRESOLVABLE, whose message tells the first obstacle and the chain that leads to it. */
export function resolvePackages(catalogue: Catalogue, wishes: readonly string[]): Resolution {
  return new Search(catalogue).run(wishes)
}

class Search {
  readonly #catalogue: Catalogue
  readonly #chosen = new Map<string, Chosen>()
  readonly #decisions: Decision[] = []
  #firstObstacle: string | undefined

  constructor(catalogue: Catalogue) {
    this.#catalogue = catalogue
  }

  run(wishes: readonly string[]): Resolution {
    let agenda = this.#wish(wishes)
    for (let step = 0; agenda !== undefined; step++) {
      if (step > MAXIMUM_STEPS) throw unresolvable(`no set of packages was found in ${MAXIMUM_STEPS} steps; at first, ${this.#firstObstacle}`)
      agenda = this.#isMet(agenda.alternatives) ? agenda.next : this.#meet(agenda)
    }
    return { packages: [...this.#chosen.values()].map(({ package: each }) => each), wished: new Set(wishes) }
  }

  /** Wishes are all chosen before their dependencies, so that these see them. */
  #wish(wishes: readonly string[]): Agenda | undefined {
    const wanted = wishes.map(name => this.#find(name))
    let agenda: Agenda | undefined
    for (const each of wanted) {
      if (this.#chosen.has(each.name)) continue
      const clash = this.#clashOf(each)
      if (clash !== undefined) throw unresolvable(`${each.name} and ${clash} cannot both be in an image: ${each.name} is asked for`)
      this.#chosen.set(each.name, { package: each })
    }
    for (const each of wanted.reverse()) agenda = this.#dependenciesOf(this.#chosen.get(each.name)!, agenda)
    return agenda
  }

  #find(name: string): ArchivePackage {
    const found = this.#catalogue.find(name)
    if (found !== undefined) return found
    throw unresolvable(describeMissing(this.#catalogue, name))
  }

  #dependenciesOf(owner: Chosen, next: Agenda | undefined): Agenda | undefined {
    const groups = [...owner.package.relations('Pre-Depends'), ...owner.package.relations('Depends')]
    return groups.reduceRight<Agenda | undefined>((agenda, alternatives) => ({ alternatives, owner, next: agenda }), next)
  }

  #isMet(alternatives: Alternatives): boolean {
    return alternatives.some(relation => this.#isHad(relation))
  }

  #isHad(relation: Relation): boolean {
    const own = this.#chosen.get(relation.name)
    if (own !== undefined && this.#catalogue.isMatch(own.package, relation)) return true
    return this.#catalogue.providers(relation.name).some(each => this.#chosen.has(each.name) && this.#catalogue.isMatch(each, relation))
  }

  #meet(agenda: Agenda): Agenda | undefined {
    const candidates = [...new Set(agenda.alternatives.flatMap(relation => this.#catalogue.matching(relation)))]
    return this.#try({ agenda, candidates, tried: 0, chosenBefore: this.#chosen.size })
  }

  /** Takes the next candidate of a decision that can be had, or of the one before it. Gives the agenda to go on with. */
  #try(decision: Decision): Agenda | undefined {
    for (let current: Decision | undefined = decision; current !== undefined; current = this.#decisions.pop()) {
      this.#forgetAfter(current.chosenBefore)
      while (current.tried < current.candidates.length) {
        const candidate = current.candidates[current.tried++]
        const clash = this.#clashOf(candidate)
        if (clash === undefined) return this.#choose(candidate, current)
        this.#firstObstacle ??= `${this.#describe(current.agenda)}, but ${candidate.name} and ${clash}`
      }
      this.#firstObstacle ??= `${this.#describe(current.agenda)}, ${this.#explainAbsence(current.agenda.alternatives)}`
    }
    throw unresolvable(this.#firstObstacle!)
  }

  #choose(candidate: ArchivePackage, decision: Decision): Agenda | undefined {
    const chosen = { package: candidate, because: decision.agenda.owner }
    this.#decisions.push(decision)
    this.#chosen.set(candidate.name, chosen)
    return this.#dependenciesOf(chosen, decision.agenda.next)
  }

  #forgetAfter(count: number): void {
    if (this.#chosen.size === count) return
    for (const name of [...this.#chosen.keys()].slice(count)) this.#chosen.delete(name)
  }

  #clashOf(candidate: ArchivePackage): string | undefined {
    return clashOf(this.#catalogue, candidate, this.#chosen.values())
  }

  #describe({ alternatives, owner }: Agenda): string {
    return `${owner === undefined ? 'the image' : describeChain(owner)} needs ${formatAlternatives(alternatives)}`
  }

  #explainAbsence(alternatives: Alternatives): string {
    return `which no source has: ${alternatives.map(({ name }) => {
      const found = this.#catalogue.find(name)
      return found === undefined ? describeMissing(this.#catalogue, name) : `${name} is there in version ${found.version}`
    }).join('; ')}`
  }
}

function unresolvable(what: string): Error {
  return hostError('PACKAGES_UNRESOLVABLE', `${what}. See to the image's list of packages, or use another mirror`)
}
