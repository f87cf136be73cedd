/**
 * Random programs that run hot: loops in loops, branches of every kind, calls, tables, faults that are resumed, and code that changes
 * itself. They are 64-bit code at CPL 3 and end in UD2.
 */
import { backgroundState, CODE, CODE_SIZE, DATA } from '../../vectors/environment.ts'
import { Random } from '../../vectors/random.ts'
import { Word } from '../../vectors/state.ts'
import type { State } from '../../vectors/state.ts'
import { assemble, HANDLER } from './assemble.ts'
import type { HotProgram, Item } from './assemble.ts'
import {
  alignmentChecked, call, callWithArgument, conditionalBranch, conditionalReturn, countDown, countDownPushed, countedByRcx, dataInCode, flagsTransfer,
  floatingControl, handler, jump, moveOn, narrowAddress, overwritable,
  overwrite, pushCounter, rareFault, resetStack, RET, RET_8, setCounter, stackWork, stringInstruction, table, throughTable, UD2, walkingAccess,
  windowOfFlags,
} from './chunks.ts'
import { plain, vector } from './instructions.ts'
import { BASES, COUNTERS, INDEX, RSP, STACK, WALKING } from './registers.ts'

/** Instructions that a program executes, roughly. */
const TOTAL = 5000
const CORNERS = [0n, 1n, 0x7fn, 0x80n, 0xffffn, 0x7fffffffn, 0x80000000n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]

export interface Draft {
  readonly items: readonly Item[]
  readonly offset: number
  readonly state: State
}

/** What a program is made of, before it is assembled: it can be shrunk. */
export function randomDraft(seed: number): Draft {
  const random = new Random(seed)
  const items = new Generator(random).program()
  const length = items.reduce((sum, { bytes }) => sum + bytes.length, 0)
  const offset = random.oneIn(2) ? Math.max(0, 0x1000 - random.below(length)) : random.below(0x400)
  return { items, offset: Math.min(offset, Math.max(0, CODE_SIZE - length)), state: randomState(random, seed) }
}

export function hotProgram({ items, offset, state }: Draft): HotProgram | undefined {
  const program = assemble(items, offset, state)
  if (program !== undefined) state[Word.RIP] = BigInt(CODE + offset)
  return program
}

/** The function that takes an argument from the stack away. */
const ARGUMENT_TAKER = 4

/** Weights of what a body consists of. */
type Theme = Readonly<Record<'plain' | 'vector' | 'window' | 'flags' | 'branch' | 'memory' | 'rare' | 'call' | 'change', number>>
/** Half of the programs have a good deal more of one of these. */
const EMPHASES = ['vector', 'window', 'flags', 'memory', 'call', 'change', 'change'] as const

class Generator {
  private readonly random: Random
  private nextLabel = HANDLER + 1
  private readonly tables: Item[] = []
  private readonly functions: number[]
  private readonly overwritten: number[] = []
  /** Labels of code that is overwritten and not there yet. */
  private readonly owed: number[] = []
  private readonly counter: number
  /** The most that a call costs. */
  private costOfCall = 0
  private readonly theme: Theme

  constructor(random: Random) {
    this.random = random
    this.counter = this.label()
    this.functions = Array.from({ length: ARGUMENT_TAKER + 1 }, () => this.label())
    const weight = (most: number): number => random.oneIn(4) ? 0 : random.below(most)
    const theme = {
      plain: 4 + weight(20), vector: weight(8), window: weight(10), flags: weight(4), branch: 1 + weight(10), memory: weight(6), rare: weight(3), call: weight(3),
      change: random.oneIn(3) ? weight(5) : 0,
    }
    if (random.oneIn(2)) theme[random.pick(EMPHASES)] += 12
    this.theme = theme
  }

  private label(): number { return this.nextLabel++ }

  program(): Item[] {
    const { random } = this
    const functions = this.functionBodies()
    const loop = this.label()
    const body = this.body(0, 6 + random.below(20))
    const once = costOf(body)
    const outer = Math.max(once > 10_000 ? 3 : 20, Math.min(600, Math.round(TOTAL / once)))
    return [
      setCounter(0, outer), { ...resetStack(), label: loop }, ...body, countDown(random, 0, loop), UD2,
      handler(random, HANDLER), ...functions, ...this.tables, ...this.owed.map((label) => overwritable(random, label)), { bytes: Array(16).fill(0), isData: true, label: this.counter },
    ]
  }

  /** From the last to the first: each calls only those behind it, whose cost is known then. */
  private functionBodies(): Item[] {
    let items: Item[] = []
    for (let n = this.functions.length - 1; n >= 0; n--) {
      const body = this.functionBody(this.functions[n], n)
      this.costOfCall = Math.max(this.costOfCall, costOf(body))
      items = [...body, ...items]
    }
    return items
  }

  private functionBody(label: number, n: number): Item[] {
    const first = this.body(COUNTERS.length + n, 1 + this.random.below(6))
    const last = n === ARGUMENT_TAKER ? RET_8 : RET
    const early = n !== ARGUMENT_TAKER && this.random.oneIn(3) ? [conditionalReturn(this.random), ...this.body(COUNTERS.length + n, 2)] : []
    return [{ bytes: [], label }, ...first, ...early, last]
  }

  /** A run of chunks at a depth of loops; deeper than the counters are the functions, by number. */
  private body(depth: number, count: number): Item[] {
    const items: Item[] = []
    const pending: { readonly label: number; readonly at: number }[] = []
    for (let n = 0; n < count || pending.length > 0; n++) {
      while (pending.length > 0 && pending[0].at <= n) items.push({ bytes: [], label: pending.shift()!.label })
      if (n >= count) continue
      if (depth < COUNTERS.length - 1 && this.random.oneIn(12)) items.push(...this.loop(depth + 1))
      else if (this.random.oneIn(40)) items.push(...this.pushedLoop())
      else if (this.random.below(40) < this.theme.branch) items.push(...this.forward(n, pending))
      else items.push(this.chunk(depth))
    }
    return items
  }

  private forward(n: number, pending: { readonly label: number; readonly at: number }[]): Item[] {
    const { random } = this
    const label = this.label()
    pending.push({ label, at: n + 1 + random.below(5) })
    pending.sort((a, b) => a.at - b.at)
    if (random.oneIn(10)) return [jump(label)]
    if (!random.oneIn(8)) return conditionalBranch(random, label)
    const targets = pending.map((entry) => entry.label)
    const name = this.label()
    this.tables.push(table(name, [0, 1, 2, 3].map(() => random.pick(targets))))
    return [throughTable(random, 4, name)]
  }

  private loop(depth: number): Item[] {
    const { random } = this
    const label = this.label()
    const count = 1 + random.below(depth === 1 ? 40 : 12)
    return [{ ...setCounter(depth, count), repeats: count }, { bytes: [], label }, ...this.body(depth, 2 + random.below(7)), { ...countDown(random, depth, label), endsLoop: true }]
  }

  private pushedLoop(): Item[] {
    const label = this.label()
    const body = Array.from({ length: 1 + this.random.below(4) }, () => plain(this.random))
    const count = 1 + this.random.below(10)
    return [{ ...pushCounter(count), repeats: count }, { bytes: [], label }, ...body, ...countDownPushed(label), { bytes: [], endsLoop: true }]
  }

  private chunk(depth: number): Item {
    const { random, theme } = this
    if (this.owed.length > 0 && random.oneIn(3)) return overwritable(random, this.owed.pop()!)
    let n = random.below(Object.values(theme).reduce((sum, weight) => sum + weight, 0))
    for (const [kind, weight] of Object.entries(theme)) {
      if (n < weight) return this.chunkOf(kind as keyof Theme, depth)
      n -= weight
    }
    return plain(random)
  }

  private chunkOf(kind: keyof Theme, depth: number): Item {
    const { random } = this
    switch (kind) {
      case 'vector': return random.oneIn(25) ? floatingControl(random) : vector(random)
      case 'window': return random.oneIn(4) ? countedByRcx(random) : windowOfFlags(random)
      case 'flags': return flagsTransfer(random)
      case 'memory': return random.pick([moveOn, moveOn, walkingAccess, walkingAccess, stackWork, narrowAddress])(random)
      case 'rare': return random.pick([rareFault, stringInstruction, stringInstruction, alignmentChecked])(random)
      case 'call': return this.callOf(depth)
      case 'change': return this.changing()
      default: return plain(random)
    }
  }

  /** Calls a function, from a function one behind it. */
  private callOf(depth: number): Item { return { ...this.anyCall(depth), cost: this.costOfCall } }

  private anyCall(depth: number): Item {
    const { random } = this
    const callable = this.functions.slice(Math.max(0, depth - COUNTERS.length + 1), ARGUMENT_TAKER)
    if (callable.length === 0 || random.oneIn(5)) return depth === COUNTERS.length + ARGUMENT_TAKER ? plain(random) : callWithArgument(random, this.functions[ARGUMENT_TAKER])
    if (!random.oneIn(4)) return call(random, random.pick(callable))
    const name = this.label()
    this.tables.push(table(name, [0, 1, 2, 3].map(() => random.pick(callable))))
    return throughTable(random, 2, name)
  }

  /** Code that is overwritten, or what overwrites it: a place before or behind, here or in a function. */
  private changing(): Item {
    const { random, overwritten } = this
    if (random.oneIn(5)) return dataInCode(random, this.counter)
    if (overwritten.length > 0 && random.oneIn(2)) return overwrite(random, random.pick(overwritten))
    const label = this.label()
    overwritten.push(label)
    if (!random.oneIn(3)) return overwritable(random, label)
    this.owed.push(label)
    return overwrite(random, label)
  }
}

/** Roughly how many instructions a body executes. */
function costOf(items: readonly Item[]): number {
  const times = [1]
  let cost = 0
  for (const { bytes, repeats, endsLoop, cost: more = 0 } of items) {
    if (repeats !== undefined) times.push(times.at(-1)! * repeats)
    cost += times.at(-1)! * (bytes.length / 5 + more)
    if (endsLoop === true) times.pop()
  }
  return Math.max(1, cost)
}

function randomState(random: Random, seed: number): State {
  const state = backgroundState(seed, 64)
  for (let n = 0; n < 16; n++) if (!random.oneIn(3)) state[n] = random.pick(CORNERS)
  for (const base of [...BASES, WALKING]) state[base] = BigInt(DATA + (random.oneIn(3) ? 0xf00 + random.below(0x100) : 0x200 + random.below(0x1a00)) & ~15)
  state[RSP] = BigInt(STACK + 0x1800)
  state[INDEX] = BigInt(random.below(32))
  state[Word.RFLAGS] = BigInt(random.below(0x1000) & 0x8d5 | 0x202)
  return state
}
