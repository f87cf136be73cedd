/** Where the returns of a region may go inside it: to the blocks behind the calls of the function that they belong to. */
import type { RegionCode } from './region-code.ts'

/** More candidates than this are not compared one after the other. */
const MAXIMUM_SITES = 8

/** For each block that ends in a return, the blocks to compare its target with. */
export function returnSites(code: RegionCode): Map<number, number[]> {
  const sites = new Map<number, number[]>()
  for (const call of code.blocks) {
    const site = code.numbers.get(call.end)
    const callee = call.leaves === 'call' && call.target !== undefined ? code.numbers.get(call.target) : undefined
    if (site === undefined || callee === undefined) continue
    for (const block of returnsOf(code, callee)) {
      const known = sites.get(block) ?? []
      if (known.length < MAXIMUM_SITES && !known.includes(site)) known.push(site)
      sites.set(block, known)
    }
  }
  return sites
}

/** Blocks with a return that are reached from a function's first without leaving it; calls are stepped over. */
function returnsOf(code: RegionCode, first: number): number[] {
  const seen = new Set([first])
  const work = [first]
  const found: number[] = []
  for (let number = work.pop(); number !== undefined; number = work.pop()) {
    const block = code.blocks[number]
    if (block.leaves === 'return') found.push(number)
    for (const at of stepsFrom(block)) {
      const next = code.numbers.get(at)
      if (next === undefined || seen.has(next)) continue
      seen.add(next)
      work.push(next)
    }
  }
  return found
}

function stepsFrom({ leaves, target, end }: RegionCode['blocks'][number]): number[] {
  switch (leaves) {
    case 'jump': return target === undefined ? [] : [target]
    case 'branch': return target === undefined ? [end] : [target, end]
    case 'call': case 'next': return [end]
    default: return []
  }
}
