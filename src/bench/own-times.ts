/** Times that workloads take themselves: markers.ts, `seconds`. */
import { TenonError } from '../base/errors.ts'

/** What a workload says of its time: that of its work, and that from its first command to its last, by the same clock of the guest. */
export interface OwnTime {
  readonly seconds: number
  readonly whole: number
}

/** Not numbers if the text is none of three. */
export function readOwnTime(text: string): OwnTime {
  const [, seconds, began, ended] = /^(\d+(?:\.\d+)?) (\d+\.\d+) (\d+\.\d+)$/.exec(text) ?? []
  return { seconds: Number(seconds), whole: Number(ended) - Number(began) }
}

/**
 * The workloads' own times, if their clock goes as the host's does: a guest whose clock goes wrong must not win by it. What a program takes
 * to start, and what it adds for work that was not finished, may differ between the two of its own. Throws TenonError BENCH_CLOCK_WRONG.
 */
export function checkedTimes(own: Readonly<Record<string, OwnTime>>, spans: Readonly<Record<string, number>>): Record<string, number> {
  for (const [name, { seconds, whole }] of Object.entries(own)) {
    const span = spans[name]
    if (Math.abs(span - whole) <= 0.5 + 0.2 * span && seconds > 0 && seconds <= 0.5 + 2 * whole) continue
    throw new TenonError('BENCH_CLOCK_WRONG', `${name} took ${seconds} s, within ${whole} s by the guest's clock, ${span} s by the host's`)
  }
  return Object.fromEntries(Object.entries(own).map(([name, { seconds }]) => [name, seconds]))
}
