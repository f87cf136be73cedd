/**
 * A region's plan made shorter, so that the region ends behind an instruction of choice: whoever knows that a region does something wrong
 * finds the instruction by trying. What a region does up to there does not change, because a region has everything in its place wherever
 * it is left.
 */
import type { PlannedBlock, RegionPlan } from './plan.ts'

/** An instruction in a plan: a block, and which of its instructions, from 0. */
export interface PlannedPlace { readonly block: number; readonly index: number }

/**
 * The way through a region from an entry on, given the addresses (relative to the anchor) of the instructions that were executed. It
 * ends where the region is left, or where a block is come to again: an end there would be an end the first time.
 */
export function wayThrough(plan: RegionPlan, addresses: readonly number[]): PlannedPlace[] {
  const way: PlannedPlace[] = []
  const visited = new Set<number>()
  let block = [0, ...plan.entries].find((entry) => plan.blocks[entry].at === addresses[0]) ?? -1
  while (block >= 0 && !visited.has(block) && way.length < addresses.length) {
    visited.add(block)
    const { count } = plan.blocks[block]
    const left = addresses.length - way.length
    for (let index = 0; index < Math.min(count, left); index++) way.push({ block, index })
    block = successorAt(plan, plan.blocks[block], addresses[way.length])
  }
  return way
}

function successorAt({ blocks }: RegionPlan, { next, target, expected }: PlannedBlock, at: number | undefined): number {
  return [next, target, ...expected].find((block) => block >= 0 && blocks[block].at === at) ?? -1
}

/** The plan of the region that is left behind an instruction, whenever that is executed. */
export function endingBehind(plan: RegionPlan, { block, index }: PlannedPlace): RegionPlan {
  const end = { count: index + 1, next: -1, target: -1, expected: [] }
  return { ...plan, blocks: plan.blocks.map((each, number) => (number === block ? { ...each, ...end } : each)) }
}
