/** Finds the piece of a step in which two machines begin to differ, and the instructions that belong there. */
import { gpa } from '../../base/addresses.ts'
import { Slot } from '../../cpu/state/layout.ts'
import type { RegionView } from '../../cpu/translator/translator.ts'
import { compareParts, differentWords } from './compare.ts'
import type { Pair } from './pair.ts'
import type { HeldPair, Replay } from './replay.ts'

/** Registers in the slot, as words: general ones, RIP, YMM registers, and MXCSR. */
const REGISTERS = [[Slot.GPR / 4, 32], [Slot.RIP / 4, 2], [Slot.YMM / 4, 128], [Slot.MXCSR / 4, 1]] as const

export interface Piece {
  /** Pieces before it in the step, and how long each is at least. */
  readonly number: number
  readonly size: number
  /** Instructions retired before it. */
  readonly from: number
  /** Where its instructions are, as the interpreter executed them. */
  readonly pointers: readonly bigint[]
  /** Regions that were entered in it. */
  readonly entered: readonly RegionView[]
  /** The pair after the piece. */
  readonly after: HeldPair
}

/** Words of memory that are looked at after each piece, at most about. */
const MAXIMUM_WATCHED = 2000
/** How often the search begins again because memory was different before: each time with all words that are known to be. */
const MAXIMUM_SEARCHES = 20

type Compare = (pair: Pair) => boolean

/**
 * The first piece of about `size` instructions that leaves the machines different, memory included; undefined if, going in such pieces,
 * they do not differ.
 */
export function findPiece(replay: Replay, size: number): Piece | undefined {
  const watched = new Set<number>()
  const cheap: Compare = (pair) => registersDiffer(pair) || memoryDiffers(pair, watched)
  let found = search(replay, size, cheap)
  for (let searches = 1; searches < MAXIMUM_SEARCHES; searches++) {
    // Of memory only some words are looked at after each piece: others may have been different for longer.
    const pair = found.number === undefined ? found.pair : replay.afterPieces(found.number, size)
    const news = differentWords(pair.interpreted, pair.translated, MAXIMUM_WATCHED, MAXIMUM_WATCHED).filter((at) => !watched.has(at))
    if (news.length === 0) break
    for (const at of news.slice(0, MAXIMUM_WATCHED - watched.size)) watched.add(at)
    found = search(replay, size, cheap)
  }
  return found.number === undefined ? findThoroughly(replay, size, found.pair) : describe(replay, size, found.number)
}

/** Where it is neither a register that translated code has nor memory: looks at everything. */
function findThoroughly(replay: Replay, size: number, { interpreted, translated }: Pair): Piece | undefined {
  if (compareParts(interpreted, translated).length === 0) return undefined
  const { number } = search(replay, size, (pair) => compareParts(pair.interpreted, pair.translated).length > 0)
  return number === undefined ? undefined : describe(replay, size, number)
}

/** The number of the first piece after which the pair differs, and the pair behind it. */
function search(replay: Replay, size: number, compare: Compare): { readonly number?: number, readonly pair: HeldPair } {
  const pair = replay.afterPieces(0, size)
  for (let number = 0; !pair.isAtEnd; number++) {
    const count = pair.runPiece(size)
    if (compare(pair)) return { number, pair }
    if (count === 0) break
  }
  return { pair }
}

function describe(replay: Replay, size: number, number: number): Piece {
  const after = replay.afterPieces(number, size)
  after.install()
  const entries = new Map(regionsOf(after).map(({ plan, entries: count }) => [plan.id, count]))
  const from = after.translated.retired
  after.runPiece(size)
  const entered = regionsOf(after).filter(({ plan, entries: count }) => count !== entries.get(plan.id))
  return { number, size, from, entered, after, pointers: pointersOf(replay.afterPieces(number, size), after.translated.retired) }
}

const regionsOf = ({ translated }: Pair): RegionView[] => translated.vcpu.engine.translator?.views() ?? []

function pointersOf({ interpreted }: Pair, end: number): bigint[] {
  const pointers: bigint[] = []
  while (interpreted.retired < end) {
    const { retired } = interpreted
    pointers.push(interpreted.vcpu.processor.state.rip)
    interpreted.runExactly(1)
    if (interpreted.retired === retired) break
  }
  return pointers
}

function registersDiffer({ interpreted, translated }: Pair): boolean {
  const [a, b] = [interpreted, translated].map(({ vcpu }) => vcpu.processor)
  if (interpreted.retired !== translated.retired || a.flags !== b.flags) return true
  return REGISTERS.some(([first, count]) => {
    const [atA, atB] = [a.state.slot / 4 + first, b.state.slot / 4 + first]
    for (let word = 0; word < count; word++) if (a.state.u32[atA + word] !== b.state.u32[atB + word]) return true
    return false
  })
}

function memoryDiffers({ interpreted, translated }: Pair, addresses: Iterable<number>): boolean {
  for (const at of addresses) if (interpreted.memory.readU32(gpa(at)) !== translated.memory.readU32(gpa(at))) return true
  return false
}
