/**
 * Reads a disk's description field by field: plain data as it comes from a configuration file or a command line. What is wrong is
 * DISK_DESCRIPTION_INVALID, and the message names the field as a path: `disk.nodes[1].path`.
 */
import { TenonError } from '../base/errors.ts'

/** The way to a field from the description's root. */
export type FieldPath = readonly (string | number)[]

/** What is wrong with a description, also in parts: whoever knows its text can name the line. */
export class DescriptionError extends TenonError<'DISK_DESCRIPTION_INVALID'> {
  readonly path: FieldPath
  readonly problem: string

  constructor(place: string, path: FieldPath, problem: string) {
    super('DISK_DESCRIPTION_INVALID', `the description of a disk is wrong: ${place} ${problem}`)
    this.path = path
    this.problem = problem
  }
}

export class Description {
  /** Where it stands, for messages: `disk`, `disk.backing`. */
  readonly place: string
  readonly path: FieldPath
  private readonly fields: Readonly<Record<string, unknown>>
  private readonly known = new Set<string>()

  constructor(place: string, value: unknown, path: FieldPath = []) {
    this.place = place
    this.path = path
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new DescriptionError(place, path, 'is not an object')
    this.fields = value as Record<string, unknown>
  }

  has(name: string): boolean { return Object.hasOwn(this.fields, name) && this.fields[name] !== undefined }

  string(name: string): string {
    const value = this.take(name)
    if (typeof value !== 'string' || value === '') throw this.invalid(name, 'is not a text')
    return value
  }

  integer(name: string, minimum: number, maximum: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.take(name)
    if (Number.isSafeInteger(value) && Number(value) >= minimum && Number(value) <= maximum) return Number(value)
    throw this.invalid(name, `is not a whole number from ${minimum} to ${maximum}`)
  }

  boolean(name: string, otherwise: boolean): boolean {
    if (!this.has(name)) return otherwise
    const value = this.take(name)
    if (typeof value !== 'boolean') throw this.invalid(name, 'is not true or false')
    return value
  }

  choice<Choice extends string>(name: string, choices: readonly Choice[]): Choice {
    const value = this.take(name)
    if (!choices.includes(value as Choice)) throw this.invalid(name, `is not one of ${choices.join(', ')}`)
    return value as Choice
  }

  /** A size or an offset's unit: a power of two. */
  powerOfTwo(name: string, minimum: number, maximum: number, otherwise: number): number {
    if (!this.has(name)) return otherwise
    const value = this.integer(name, minimum, maximum)
    if (!Number.isInteger(Math.log2(value))) throw this.invalid(name, 'is not a power of two')
    return value
  }

  /** A part to be read by whoever knows it. */
  part(name: string): unknown { return this.take(name) }

  list(name: string, minimum: number, maximum: number): readonly unknown[] {
    const value = this.take(name)
    if (!Array.isArray(value) || value.length < minimum || value.length > maximum) {
      throw this.invalid(name, `is not a list of ${minimum} to ${maximum}`)
    }
    return value
  }

  /** What was not asked for is a mistake: a misspelt limit must not be no limit. */
  end(): void {
    for (const name of Object.keys(this.fields)) if (!this.known.has(name)) throw this.invalid(name, 'is not known here')
  }

  invalid(name: string, problem: string): TenonError { return new DescriptionError(`${this.place}.${name}`, [...this.path, name], problem) }

  private take(name: string): unknown {
    this.known.add(name)
    if (!this.has(name)) throw this.invalid(name, 'is missing')
    return this.fields[name]
  }
}
