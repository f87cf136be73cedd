/**
 * The control flow of a region: its blocks, the edges between them, and what structured code needs to know of them. A region is entered
 * through a *dispatch* node (number -1), which leads to every entry; edges that make the graph irreducible go through it as well.
 */

/** The dispatch node. */
export const DISPATCH = -1

export class FlowGraph {
  /** Successors of each block inside the region. */
  readonly successors: readonly (readonly number[])[]
  readonly entries: number[]
  /** Blocks from the dispatch node on, each before its successors but for edges backwards. */
  order: number[] = []
  private readonly position: Int32Array
  private readonly dominator: Int32Array
  private readonly predecessors: number[][] = []

  constructor(successors: readonly (readonly number[])[], entries: readonly number[]) {
    this.successors = successors
    this.entries = [...new Set(entries)]
    this.position = new Int32Array(successors.length)
    this.dominator = new Int32Array(successors.length)
    do this.analyse()
    while (this.splitIrreducible())
  }

  get size(): number { return this.successors.length }

  /** Whether an edge goes through the dispatch node, because its target's loop has other ways in. */
  viaDispatch(from: number, to: number): boolean { return this.isRetreating(from, to) && !this.dominates(to, from) }
  /** Whether an edge closes a loop. */
  isBackEdge(from: number, to: number): boolean { return this.isRetreating(from, to) && this.dominates(to, from) }
  isLoopHeader(block: number): boolean { return this.predecessors[block].some((from) => from !== DISPATCH && this.isBackEdge(from, block)) }
  /** Whether several forward edges lead to the block, or the dispatch node does. */
  isMerge(block: number): boolean {
    const forward = this.predecessors[block].filter((from) => from === DISPATCH || !this.isRetreating(from, block))
    return forward.length > 1 || this.entries.includes(block)
  }
  get loopsThroughDispatch(): boolean {
    return this.order.some((from) => this.successors[from].some((to) => this.viaDispatch(from, to)))
  }

  /** Blocks that a block (or the dispatch node) immediately dominates, in order. */
  dominated(by: number): number[] { return this.order.filter((block) => this.dominator[block] === by) }

  private analyse(): void {
    this.order = this.reversePostorder()
    this.position.fill(-1)
    this.order.forEach((block, index) => { this.position[block] = index })
    this.findPredecessors()
    this.findDominators()
  }

  private reversePostorder(): number[] {
    const seen = new Set<number>()
    const done: number[] = []
    for (const entry of this.entries.toReversed()) this.visit(entry, seen, done)
    return done.reverse()
  }

  /** Depth first, without recursion: regions can be long chains. The last successor comes first, so that the others stay behind it. */
  private visit(start: number, seen: Set<number>, done: number[]): void {
    if (seen.has(start)) return
    seen.add(start)
    const path = [{ block: start, next: this.successors[start].length - 1 }]
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      if (top.next < 0) {
        done.push(top.block)
        path.pop()
        continue
      }
      const to = this.successors[top.block][top.next--]
      if (seen.has(to)) continue
      seen.add(to)
      path.push({ block: to, next: this.successors[to].length - 1 })
    }
  }

  private findPredecessors(): void {
    this.predecessors.length = 0
    for (let block = 0; block < this.size; block++) this.predecessors.push([])
    for (const entry of this.entries) this.predecessors[entry].push(DISPATCH)
    for (const from of this.order) for (const to of this.successors[from]) this.predecessors[to].push(from)
  }

  /** Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm" (2001). */
  private findDominators(): void {
    const UNKNOWN = -2
    this.dominator.fill(UNKNOWN)
    for (let changed = true; changed;) {
      changed = false
      for (const block of this.order) {
        let found = UNKNOWN
        for (const from of this.predecessors[block]) {
          if (from !== DISPATCH && this.dominator[from] === UNKNOWN) continue
          found = found === UNKNOWN ? from : this.common(found, from)
        }
        if (this.dominator[block] === found) continue
        this.dominator[block] = found
        changed = true
      }
    }
  }

  private common(a: number, b: number): number {
    let [left, right] = [a, b]
    while (left !== right) {
      if (this.place(left) > this.place(right)) left = this.dominator[left]
      else right = this.dominator[right]
    }
    return left
  }

  private place(block: number): number { return block === DISPATCH ? -1 : this.position[block] }
  private isRetreating(from: number, to: number): boolean { return this.position[to] <= this.position[from] }

  private dominates(above: number, below: number): boolean {
    let block = below
    while (this.place(block) > this.position[above]) block = this.dominator[block]
    return block === above
  }

  /** Makes entries of targets that edges go back to without dominating them. Returns whether there were any. */
  private splitIrreducible(): boolean {
    let found = false
    for (const from of this.order) {
      for (const to of this.successors[from]) {
        if (!this.viaDispatch(from, to) || this.entries.includes(to)) continue
        this.entries.push(to)
        found = true
      }
    }
    return found
  }
}
