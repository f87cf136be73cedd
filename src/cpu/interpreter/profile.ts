/**
 * Which forms run inline, and which pairs as one handler: measured, not chosen by hand. `profile-data.ts` is written by
 * `scripts/profile-engine.mjs` from a boot of Debian and a few programs, run on an engine that counts.
 */
import { Slot } from '../state/layout.ts'
import { RECORD_SIZE, Record } from './record.ts'

export interface Profile {
  /** Form keys, most executed first. */
  readonly inline: readonly string[]
  readonly fused: readonly (readonly [string, string])[]
}

/** What a counting engine leaves behind. */
export interface CountedRecords {
  readonly u16: Uint16Array
  /** Address of the vCPU's slot. */
  readonly slot: number
  /** Address ranges of consecutive records. */
  readonly traces: readonly { readonly first: number; readonly last: number }[]
  /** Handler number of each form. */
  readonly handlers: ReadonlyMap<string, number>
  /** How much the executions of the record at an address weigh. */
  readonly weightOf: (record: number) => number
}

/** What can stand first in a pair: anything that goes on to the next record. */
const BRANCHES = /^(Jcc|JMP|CALL|RET|LOOP|JCXZ)/

/** The `inline` most executed forms and the `fused` most executed pairs that can be one handler. */
export function profileRecords(counted: CountedRecords, limits: { inline: number; fused: number }): Profile & { coverage: number } {
  const keys = keysByHandler(counted.handlers)
  const forms = new Map<string, number>()
  const pairs = new Map<string, number>()
  for (const { first, last } of counted.traces) {
    let before = ''
    for (let record = first; record < last; record += RECORD_SIZE) {
      const key = keyOf(counted, keys, record)
      const count = counted.weightOf(record)
      if (key !== '') add(forms, key, count)
      if (key !== '' && before !== '' && !BRANCHES.test(before)) add(pairs, `${before}+${key}`, count)
      before = key
    }
  }
  return choose(forms, pairs, limits)
}

function choose(forms: ReadonlyMap<string, number>, pairs: ReadonlyMap<string, number>, limits: { inline: number; fused: number }) {
  const suitable = (key: string): boolean => !/legacy|lock|\.rep/.test(key)
  const inline = hottest(forms).filter(suitable).slice(0, limits.inline)
  const fused = hottest(pairs).filter(suitable).slice(0, limits.fused).map((pair) => pair.split('+') as [string, string])
  // Both parts of a pair need handlers of their own: for the slow path, and for jumps to the second.
  for (const key of fused.flat()) if (!inline.includes(key)) inline.push(key)
  const total = [...forms.values()].reduce((sum, count) => sum + count, 0)
  const covered = inline.reduce((sum, key) => sum + (forms.get(key) ?? 0), 0)
  return { inline, fused, coverage: covered / total }
}

const add = (counts: Map<string, number>, key: string, count: number): void => { counts.set(key, (counts.get(key) ?? 0) + count) }

const hottest = (counts: ReadonlyMap<string, number>): string[] => [...counts].sort((a, b) => b[1] - a[1]).map(([key]) => key)

/** Forms that differ in their address class alone share an outlined handler. */
function keysByHandler(handlers: ReadonlyMap<string, number>): ReadonlyMap<number, readonly string[]> {
  const keys = new Map<number, string[]>()
  for (const [key, handler] of handlers) {
    const known = keys.get(handler)
    if (known === undefined) keys.set(handler, [key])
    else known.push(key)
  }
  return keys
}

/** The record itself says which of the address classes its instruction has. */
function keyOf(counted: CountedRecords, keys: ReadonlyMap<number, readonly string[]>, record: number): string {
  const candidates = keys.get(counted.u16[(record + Record.HANDLER) >>> 1]) ?? []
  if (candidates.length < 2) return candidates[0] ?? ''
  const none = counted.slot + Slot.ZERO
  const segmented = counted.u16[(record + Record.SEGMENT) >>> 1] !== none
  const indexed = counted.u16[(record + Record.INDEX) >>> 1] !== none
  const wanted = segmented ? ':general' : indexed ? ':index' : ':base'
  return candidates.find((key) => key.includes(wanted)) ?? candidates[0]
}

/** Nothing inline: every instruction runs in its outlined handler. */
export const EMPTY_PROFILE: Profile = { inline: [], fused: [] }
