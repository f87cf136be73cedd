/** Makes a failing program smaller: drops items for as long as it still fails. */
import type { Item } from './assemble.ts'
import type { Draft } from './generate.ts'

/** `fails` says whether a smaller draft still shows what is looked for. */
export function shrink(draft: Draft, fails: (draft: Draft) => boolean, milliseconds = 20_000): Draft {
  const deadline = Date.now() + milliseconds
  let best = draft
  for (let run = Math.ceil(draft.items.length / 2); run >= 1; run = run === 1 ? 0 : Math.ceil(run / 2)) {
    for (let at = 0; at < best.items.length && Date.now() < deadline;) {
      const smaller = { ...best, items: without(best.items, at, run) }
      if (smaller.items.length < best.items.length && fails(smaller)) best = smaller
      else at += run
    }
  }
  return best
}

/** Labels stay, without their code; a program cannot do without its handler. */
function without(items: readonly Item[], from: number, count: number): Item[] {
  return items.flatMap((item, n) => {
    if (n < from || n >= from + count) return [item]
    return item.label === undefined ? [] : [{ bytes: [], label: item.label }]
  })
}
