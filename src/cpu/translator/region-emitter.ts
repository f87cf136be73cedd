/**
 * Emits a region as one WebAssembly function: (cpu, context, base, entry, left, valid) -> number of the exit it was left by.
 *
 * Control flow is structured from the dominator tree (Ramsey, "Beyond Relooper", 2022): a block that several forward edges lead to ends
 * a Wasm block, a loop header begins a Wasm loop, any other block stands where its only predecessor branches to it. Registers live in
 * locals; `left` is the slice's budget times RECORD_SIZE, counted down at the start of each block.
 */
import { RECORD_SIZE } from '../interpreter/record.ts'
import { Slot } from '../state/layout.ts'
import { FunctionBody } from '../wasm/assembler.ts'
import { ValueType, W } from '../wasm/opcodes.ts'
import { ExitList } from './exit-list.ts'
import { ExitKind, FLAGS_DYNAMIC, SETTLED_EXIT } from './exits.ts'
import type { ExitKindCode } from './exits.ts'
import { DISPATCH, FlowGraph } from './flow-graph.ts'
import { liveRegisters } from './guest-registers.ts'
import type { BlockUse } from './guest-registers.ts'
import { Parameter } from './parameters.ts'
import type { FlagState } from './operations-flags.ts'
import { RegionOps } from './operations.ts'
import type { Value } from '../semantics/ops.ts'
import type { Departure } from './operations.ts'
import type { RegionPlan, TranslatedRegion } from './plan.ts'
import type { CodeBlock, RegionCode } from './region-code.ts'

const { I32, I64 } = ValueType

export class RegionEmitter {
  private readonly plan: RegionPlan
  private readonly code: RegionCode
  private readonly graph: FlowGraph
  private readonly f: FunctionBody
  private readonly exits = new ExitList()
  private readonly o: RegionOps
  /** Depths of Wasm blocks that end at a block, of loops that begin with one, and of the dispatch loop. */
  private readonly labels = new Map<number, number>()
  private readonly loops = new Map<number, number>()
  private readonly entryNumbers: ReadonlyMap<number, number>
  private readonly uses: readonly BlockUse[]
  /** Where the code begins, behind what every entry does. */
  private readonly start: number
  /** Where the dispatch node's code belongs. */
  private dispatch = { at: 0, depth: 0 }

  constructor(plan: RegionPlan, code: RegionCode, f: FunctionBody, materialise: number) {
    this.plan = plan
    this.code = code
    this.f = f
    this.graph = new FlowGraph(code.blocks.map((block) => this.successorsOf(block)), [0, ...plan.entries])
    this.entryNumbers = new Map(this.graph.entries.map((block, number) => [block, number]))
    this.uses = code.blocks.map(() => ({ reads: new Set<number>(), writes: new Set<number>() }))
    f.block()
    this.o = new RegionOps(f, this.exits, plan.stores, materialise)
    this.loadFlags()
    this.start = f.code.length
  }

  emit(): TranslatedRegion {
    this.emitTree(DISPATCH)
    this.f.op(W.unreachable)
    this.f.end()
    this.emitEpilogue()
    if (this.plan.stores === 'late') this.f.insert(this.start, this.loadAll())
    this.f.insert(this.dispatch.at, this.dispatchCode())
    const { blocks } = this.code
    return {
      id: this.plan.id,
      entries: [...new Set([0, ...this.plan.entries])].map((block) => ({ at: blocks[block].at, number: this.entryNumbers.get(block) ?? 0 })),
      exits: this.exits.encode(),
      instructions: blocks.reduce((sum, block) => sum + block.instructions.length, 0),
    }
  }

  /** Successors inside the region. */
  private successorsOf({ plan: { next, target, expected } }: CodeBlock): number[] {
    return [...new Set([target, next, ...expected])].filter((block) => block >= 0)
  }

  // Structure.

  private emitTree(node: number): void {
    const merges = this.graph.dominated(node).filter((block) => this.graph.isMerge(block)).reverse()
    const loops = node === DISPATCH ? this.graph.loopsThroughDispatch : this.graph.isLoopHeader(node)
    if (!loops) return this.emitWithin(node, merges)
    if (node !== DISPATCH) this.o.makeFlagsDynamic()
    this.f.loop()
    this.loops.set(node, this.f.depth)
    this.emitWithin(node, merges)
    this.f.op(W.unreachable).end()
    this.f.op(W.unreachable)
  }

  private emitWithin(node: number, merges: readonly number[]): void {
    if (merges.length === 0) return node === DISPATCH ? this.markDispatch() : this.emitBlock(node)
    const [outermost, ...rest] = merges
    this.f.block()
    this.labels.set(outermost, this.f.depth)
    this.emitWithin(node, rest)
    this.f.end()
    this.o.flagState = undefined
    this.o.registers.state = new Set()
    this.emitTree(outermost)
  }

  private markDispatch(): void { this.dispatch = { at: this.f.code.length, depth: this.f.depth } }

  /** Leads to the entries. What registers they need is known once all blocks are emitted. */
  private dispatchCode(): FunctionBody {
    const f = new FunctionBody(0, [])
    f.depth = this.dispatch.depth
    const labels = this.graph.entries.map((block) => this.labels.get(block) ?? 0)
    if (this.plan.stores === 'early') this.loadForEach(f, labels)
    else if (labels.length === 1) f.br(labels[0])
    else f.get(Parameter.ENTRY).brTable(labels, labels[0])
    return f
  }

  private loadForEach(f: FunctionBody, labels: readonly number[]): void {
    const live = liveRegisters(this.uses, this.graph.successors)
    for (let n = 0; n < labels.length; n++) f.block()
    const depths = labels.map((_, number) => f.depth - number)
    if (depths.length > 1) f.get(Parameter.ENTRY).brTable(depths, depths[0])
    this.graph.entries.forEach((block, number) => {
      f.end()
      this.o.registers.load(f, live[block])
      f.br(labels[number])
    })
  }

  private loadAll(): FunctionBody {
    const f = new FunctionBody(0, [])
    this.o.registers.load(f, this.o.registers.used)
    return f
  }

  // Blocks.

  private emitBlock(number: number): void {
    const { f, o } = this
    const block = this.code.blocks[number]
    const count = block.instructions.length
    o.registers.begin(this.uses[number])
    f.get(Parameter.LEFT).i32(count * RECORD_SIZE).op(W.i32_sub).set(Parameter.LEFT)
    let departure: Departure = { kind: 'next' }
    block.instructions.forEach((placed, index) => {
      this.checkCrossing(placed.at, placed.at + placed.instruction.length - 1, count - index)
      departure = o.emitInstruction(placed, count - index)
    })
    this.emitDeparture(number, block, departure)
  }

  private emitDeparture(number: number, block: CodeBlock, departure: Departure): void {
    const { f, o } = this
    const from = block.instructions[block.instructions.length - 1].at
    switch (departure.kind) {
      case 'next': return this.goTo(number, from, block.end, block.plan.next)
      case 'jump': return this.goTo(number, from, block.target ?? block.end, block.plan.target)
      case 'branch': {
        const flags: FlagState = o.flagState
        const registers = o.registers.state
        departure.taken.emit(f)
        f.if()
        this.goTo(number, from, block.target ?? block.end, block.plan.target)
        f.else()
        o.flagState = flags
        o.registers.state = registers
        this.goTo(number, from, block.end, block.plan.next)
        f.end()
        f.op(W.unreachable)
        return
      }
      case 'indirect':
        if (block.plan.expected.length > 0) this.chooseAmong(number, from, block.plan.expected, departure.target)
        return this.leaveSettled(block.end, departure.target)
    }
  }

  /** Goes to one of several blocks if the target is there, by a binary search; else what follows is executed. */
  private chooseAmong(number: number, from: number, blocks: readonly number[], target: Value): void {
    const { f, o } = this
    if (blocks.length > 1) {
      // Once for all of them.
      o.registers.store()
      o.makeFlagsDynamic()
    }
    const distance = f.local(I64)
    const flags = o.flagState
    const registers = o.registers.state
    target.emit(f)
    f.get(Parameter.BASE).op(W.i64_sub).set(distance)
    const sorted = blocks.map((to) => ({ to, at: this.code.blocks[to].at })).sort((a, b) => a.at - b.at)
    const search = (low: number, high: number): void => {
      const middle = (low + high) >> 1
      const { to, at } = sorted[middle]
      f.get(distance).i64(BigInt(at))
      if (high - low > 1) {
        f.op(W.i64_lt_s).if()
        search(low, middle)
        f.else()
        search(middle, high)
        return void f.end()
      }
      f.op(W.i64_eq).if()
      this.goTo(number, from, at, to)
      f.end()
      o.flagState = flags
      o.registers.state = registers
    }
    search(0, sorted.length)
  }

  /** Leaves for another region or the interpreter, with everything in its place. */
  private leaveSettled(at: number, target: Value): void {
    const { f, o } = this
    o.registers.store()
    o.makeFlagsDynamic()
    f.get(Parameter.CPU)
    target.emit(f)
    f.memory(W.i64_store, Slot.RIP)
    f.i32(this.exits.add(at, ExitKind.INDIRECT, FLAGS_DYNAMIC, 0) | SETTLED_EXIT).set(o.exitLocal).br(o.exitDepth)
  }

  /** Goes on at an address, in block `to` if that is not -1, from an instruction in the page of `from`. */
  private goTo(number: number, from: number, at: number, to: number): void {
    const { f, graph } = this
    if (to < 0) return at >> 12 === from >> 12 ? this.leave(at, ExitKind.DOOR) : this.leaveSettled(at, this.o.codeAddress(at))
    if (at >> 12 !== from >> 12) this.requirePage(at, at, ExitKind.UNMAPPED, 0)
    if (graph.isBackEdge(number, to)) {
      this.prepareLoop(at)
      f.br(this.loops.get(to) ?? 0)
    } else if (graph.viaDispatch(number, to)) {
      this.prepareLoop(at)
      f.i32(this.entryNumbers.get(to) ?? 0).set(Parameter.ENTRY)
      f.br(this.loops.get(DISPATCH) ?? 0)
    } else if (graph.isMerge(to)) {
      this.o.registers.store()
      this.o.makeFlagsDynamic()
      f.br(this.labels.get(to) ?? 0)
    } else this.emitTree(to)
  }

  /** Before an edge back: the slice may be over. */
  private prepareLoop(at: number): void {
    const { f } = this
    this.o.registers.store()
    this.o.makeFlagsDynamic()
    f.i32(this.exits.add(at, ExitKind.DOOR, FLAGS_DYNAMIC, 0)).set(this.o.exitLocal)
    f.get(Parameter.LEFT).i32(0).op(W.i32_le_s).brIf(this.o.exitDepth)
  }

  private leave(at: number, kind: ExitKindCode): void {
    this.o.registers.store()
    this.f.i32(this.exits.add(at, kind, this.flags, 0)).set(this.o.exitLocal).br(this.o.exitDepth)
  }

  private get flags(): number { return this.o.exitFlags }

  /** An instruction that goes on in the next page is only what it was planned as while that page is mapped. */
  private checkCrossing(at: number, last: number, notExecuted: number): void {
    if (at >> 12 !== last >> 12) this.requirePage(last, at, ExitKind.HERE, notExecuted)
  }

  private requirePage(needed: number, at: number, kind: ExitKindCode, notExecuted: number): void {
    const { f } = this
    this.o.registers.store()
    f.i32(this.exits.add(at, kind, this.flags, notExecuted)).set(this.o.exitLocal)
    f.get(Parameter.VALID).i32(1 << this.code.pageOf(needed)).op(W.i32_and).op(W.i32_eqz).brIf(this.o.exitDepth)
  }

  // Entry and exit.

  private loadFlags(): void {
    const { f, o } = this
    const { kind, a, b, override } = o.flagLocals
    f.get(Parameter.CPU).memory(W.i32_load, Slot.FLAG_KIND).set(kind)
    f.get(Parameter.CPU).memory(W.i64_load, Slot.FLAG_A).set(a)
    f.get(Parameter.CPU).memory(W.i64_load, Slot.FLAG_B).set(b)
    f.get(Parameter.CPU).memory(W.i32_load, Slot.FLAG_OVERRIDE).set(override)
  }

  private emitEpilogue(): void {
    const { f, o } = this
    const { kind, a, b, override } = o.flagLocals
    o.registers.storeLast()
    f.get(Parameter.CPU).get(kind).memory(W.i32_store, Slot.FLAG_KIND)
    f.get(Parameter.CPU).get(a).memory(W.i64_store, Slot.FLAG_A)
    f.get(Parameter.CPU).get(b).memory(W.i64_store, Slot.FLAG_B)
    f.get(Parameter.CPU).get(override).memory(W.i32_store, Slot.FLAG_OVERRIDE)
    f.get(Parameter.CPU).get(Parameter.LEFT).memory(W.i32_store, Slot.BUDGET)
    f.get(o.exitLocal)
  }
}

export const REGION_RESULTS = [I32] as const
