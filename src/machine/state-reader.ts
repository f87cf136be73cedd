import { TenonError } from '../base/errors.ts'
import type { PlainData } from './lifecycle.ts'

/**
 * Reads the plain data of one snapshot part field by field. A snapshot is hostile: each field is checked for its type and range,
 * and what is handed out is never a reference into the snapshot.
 *
 * Every method throws a TenonError with code SNAPSHOT_INVALID that names the part and the field.
 */
export class StateReader {
  private readonly part: string
  private readonly fields: Readonly<Record<string, unknown>>

  constructor(part: string, state: unknown) {
    this.part = part
    if (typeof state !== 'object' || state === null || Array.isArray(state) || state instanceof Uint8Array) {
      throw this.invalid('state', 'is not an object')
    }
    this.fields = state as Record<string, unknown>
  }

  integer(name: string, minimum: number, maximum: number): number {
    return this.checkInteger(name, this.field(name), minimum, maximum)
  }

  u8(name: string): number { return this.integer(name, 0, 0xff) }
  u16(name: string): number { return this.integer(name, 0, 0xffff) }
  u32(name: string): number { return this.integer(name, 0, 0xffffffff) }

  boolean(name: string): boolean {
    const value = this.field(name)
    if (typeof value !== 'boolean') throw this.invalid(name, 'is not a boolean')
    return value
  }

  /** A virtual time or a difference of times in ns, 0 to 2^65 (a deadline may be as far as a 64-bit counter goes). */
  time(name: string): number {
    const value = this.field(name)
    if (typeof value !== 'number' || !(value >= 0 && value <= 2 ** 65)) throw this.invalid(name, 'is not a time')
    return value
  }

  /** A time, or Infinity where the snapshot has null. */
  timeOrNever(name: string): number {
    return this.field(name) === null ? Infinity : this.time(name)
  }

  bigint(name: string, maximum: bigint): bigint {
    const value = this.field(name)
    if (typeof value !== 'bigint' || value < 0n || value > maximum) throw this.invalid(name, `is not a bigint from 0 to ${maximum}`)
    return value
  }

  choice<Choice extends string>(name: string, choices: readonly Choice[]): Choice {
    const value = this.field(name)
    if (!choices.includes(value as Choice)) throw this.invalid(name, `is not one of ${choices.join(', ')}`)
    return value as Choice
  }

  /** Text of at most `maximum` UTF-16 units. */
  text(name: string, maximum: number): string {
    const value = this.field(name)
    if (typeof value !== 'string' || value.length > maximum) throw this.invalid(name, `is not text of at most ${maximum} characters`)
    return value
  }

  /** A copy of the bytes; `minimum` and `maximum` bound their number. */
  bytes(name: string, minimum: number, maximum = minimum): Uint8Array {
    const value = this.field(name)
    if (!(value instanceof Uint8Array) || value.length < minimum || value.length > maximum) {
      throw this.invalid(name, `does not hold ${minimum} to ${maximum} bytes`)
    }
    return value.slice()
  }

  integers(name: string, length: number, minimum: number, maximum: number): number[] {
    return this.list(name, length).map((value, index) => this.checkInteger(`${name}[${index}]`, value, minimum, maximum))
  }

  /** For another reader. */
  plain(name: string): PlainData { return this.field(name) as PlainData ?? null }

  child(name: string): StateReader { return new StateReader(`${this.part}.${name}`, this.field(name)) }

  children(name: string, length: number): StateReader[] {
    return this.list(name, length).map((value, index) => new StateReader(`${this.part}.${name}[${index}]`, value))
  }

  /** As `children`, for a list of no fixed length. */
  childrenAtMost(name: string, maximum: number): StateReader[] {
    const value = this.field(name)
    if (!Array.isArray(value) || value.length > maximum) throw this.invalid(name, `is not a list of at most ${maximum}`)
    return this.children(name, value.length)
  }

  /** The error for a field that is well-formed and still makes no sense. */
  invalid(name: string, problem: string): TenonError<'SNAPSHOT_INVALID'> {
    return new TenonError('SNAPSHOT_INVALID',
      `snapshot part '${this.part}': '${name}' ${problem}; the snapshot is damaged or from another version, take a new one`)
  }

  private field(name: string): unknown {
    return Object.hasOwn(this.fields, name) ? this.fields[name] : undefined
  }

  private list(name: string, length: number): unknown[] {
    const value = this.field(name)
    if (!Array.isArray(value) || value.length !== length) throw this.invalid(name, `is not a list of ${length}`)
    return Array.from(value)
  }

  private checkInteger(name: string, value: unknown, minimum: number, maximum: number): number {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < minimum || value > maximum) {
      throw this.invalid(name, `is not an integer from ${minimum} to ${maximum}`)
    }
    return value + 0 // -0 becomes 0
  }
}
