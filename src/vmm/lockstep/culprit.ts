/**
 * Finds the instruction that a region does wrong: the region is made again and again, to end behind an instruction on the interpreter's
 * way through it, and compared there. Nearest to the entry it is right, at its end it is wrong; in between is one behind which it is
 * wrong and before which it is not.
 */
import type { RegionPlan } from '../../cpu/translator/plan.ts'
import { endingBehind, wayThrough } from '../../cpu/translator/shorten-plan.ts'
import type { RegionView } from '../../cpu/translator/translator.ts'
import type { Differences } from './compare.ts'
import type { Piece } from './pieces.ts'
import type { Replay } from './replay.ts'

export interface Culprit {
  /** The region as it is after the piece. */
  readonly region: RegionView
  /** Position in the piece's instructions. */
  readonly position: number
  /** What differs when the region ends behind the instruction. */
  readonly differences: Differences
}

export function findCulprit(replay: Replay, piece: Piece): Culprit | undefined {
  for (const region of piece.entered) {
    const found = findIn(replay, piece, region)
    if (found !== undefined) return { region, ...found }
  }
  return undefined
}

function findIn(replay: Replay, piece: Piece, { plan, anchor }: RegionView): Omit<Culprit, 'region'> | undefined {
  const addresses = piece.pointers.map((pointer) => Number(BigInt.asIntN(64, pointer - anchor)))
  const starts = [0, ...plan.entries].map((entry) => plan.blocks[entry].at)
  const first = addresses.findIndex((at) => starts.includes(at))
  const way = first < 0 ? [] : wayThrough(plan, addresses.slice(first))
  // After `length` instructions; without any, the region's code is interpreted.
  const planOf = (length: number): RegionPlan | undefined => (length === 0 ? undefined : endingBehind(plan, way[length - 1]))
  const trial = (length: number): Differences => tryWith(replay, piece, plan.id, planOf(length))
  let [right, wrong] = [0, way.length]
  let differences = way.length === 0 ? [] : trial(wrong)
  if (differences.length === 0 || trial(right).length > 0) return undefined
  while (wrong - right > 1) {
    const middle = (right + wrong) >> 1
    const found = trial(middle)
    if (found.length === 0) right = middle
    else [wrong, differences] = [middle, found]
  }
  return { position: first + wrong - 1, differences }
}

/** What differs after the piece if a region is made of another plan. */
function tryWith(replay: Replay, { number, size }: Piece, id: number, plan: RegionPlan | undefined): Differences {
  const pair = replay.afterPieces(number, size)
  pair.install()
  pair.translated.vcpu.engine.translator?.replace(id, plan)
  pair.runPiece(size)
  return pair.differences()
}
