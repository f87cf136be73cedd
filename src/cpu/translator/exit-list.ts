/** The exits of a region under construction: equal ones are one. */
import { RECORD_SIZE } from '../interpreter/record.ts'
import { EXIT_WORDS } from './exits.ts'
import type { ExitKindCode } from './exits.ts'

export class ExitList {
  private readonly words: number[] = []
  private readonly known = new Map<string, number>()

  /**
   * Number of the exit at `at` (relative to the anchor) of a kind; `flags`: the lazy flags' kind word there, or FLAGS_DYNAMIC;
   * `notExecuted`: instructions that the block has counted in advance.
   */
  add(at: number, kind: ExitKindCode, flags: number, notExecuted: number): number {
    const key = `${at} ${kind} ${flags} ${notExecuted}`
    const known = this.known.get(key)
    if (known !== undefined) return known
    const number = this.words.length / EXIT_WORDS
    this.words.push(at, flags, kind | (notExecuted * RECORD_SIZE), 0)
    this.known.set(key, number)
    return number
  }

  encode(): Int32Array { return Int32Array.from(this.words) }
}
