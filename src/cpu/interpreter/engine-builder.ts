/**
 * Builds the interpreter's WebAssembly module from the description: the run loop with the inline handlers, and one outlined handler
 * for every form.
 *
 * `run(cpu, record, budget * 32)` executes records until something needs TypeScript, and returns the record to go on from, not
 * executed yet; why is in Slot.EXIT_CODE, the rest of the budget (times 32) in Slot.BUDGET.
 *
 * Instructions are counted without a load or store: `account` is 32 times the budget plus the address of the record at which the
 * current straight line began, so that `account - record` is always 32 times what is left. Only a jump has to adjust it.
 *
 * The loop dispatches with `br_table` over the inline handlers; every other handler number takes the default case, one
 * `call_indirect`. What an inline handler cannot do (a TLB miss, flags that are not at hand, a jump-cache miss) takes the default
 * case too: the table holds the outlined twin of each inline handler at the inline handler's number.
 */
import { unreachable } from '../../base/errors.ts'
import { emitMaterialise } from '../semantics/flag-code.ts'
import { ExitCode, Slot } from '../state/layout.ts'
import { MAXIMUM_REGIONS, emitDispatcher } from '../translator/dispatcher.ts'
import { FunctionBody, ModuleBuilder } from '../wasm/assembler.ts'
import { ValueType, W } from '../wasm/opcodes.ts'
import { InterpreterOps } from './emitter.ts'
import { PSEUDO_COUNT, Pseudo, RECORD_SHIFT, RECORD_SIZE, Record } from './record.ts'
import { NotInlinable } from './site.ts'
import type { EngineFunctions, FormSample, Site } from './site.ts'

const { I32, I64 } = ValueType

export interface Form {
  readonly key: string
  /** The form whose outlined handler serves this one too. */
  readonly outlinedKey: string
  readonly sample: FormSample
}

export interface EngineDescription {
  /** Every form, each key once; each that is its own `outlinedKey` gets an outlined handler. */
  readonly forms: readonly Form[]
  /** Keys of the forms that get an inline handler too, hottest first. */
  readonly inline: readonly string[]
  /** Pairs (compare, conditional jump) that run as one inline handler. */
  readonly fused: readonly (readonly [string, string])[]
  /** For profiling: the run loop counts executions of the record at address r in the u32 at (r >> 3) + countsAt. */
  readonly countsAt?: number
}

export interface Engine {
  /** Not encoded yet, so that the tables can be added. */
  readonly module: ModuleBuilder
  /** Handler number of each form: its inline handler where it has one. */
  readonly handlers: ReadonlyMap<string, number>
  /** Handler number of each fused pair, keyed by both keys joined with `+`. */
  readonly fused: ReadonlyMap<string, number>
  /** Keys that were asked for inline but need calls. */
  readonly refused: readonly string[]
  /** Names of the helpers that the handlers call, by number. */
  readonly helpers: readonly string[]
  /** Size of the run loop's code in bytes, to watch V8's cliff at ~47 KB. */
  readonly loopSize: number
}

export const MAXIMUM_POOL_PAGES = 65536
/** Index of the table that holds translated regions; the first holds the handlers. */
const REGION_TABLE = 1

export function buildEngine(description: EngineDescription): Engine {
  return new EngineBuilder(description).build()
}

class EngineBuilder {
  private readonly description: EngineDescription
  private readonly module = new ModuleBuilder()
  private readonly functions: EngineFunctions
  private readonly checkCrossing: number
  private readonly validateRegion: number
  private readonly noteHotRegion: number
  private readonly resolveExit: number
  private readonly refused: string[] = []
  private readonly outlinedByCode = new Map<string, number>()
  private readonly helpers: string[] = []

  constructor(description: EngineDescription) {
    this.description = description
    const { module } = this
    module.importSharedMemory('env', 'memory', MAXIMUM_POOL_PAGES)
    const access = module.importFunction('env', 'access', [I32, I32, I32, I32], [I32])
    const commitSlowStores = module.importFunction('env', 'commitSlowStores', [], [])
    const helper = module.importFunction('env', 'helper', [I32], [I32])
    const lookup = module.importFunction('env', 'lookup', [I32, I32], [I32])
    const checkSegment = module.importFunction('env', 'checkSegment', [I32, I32, I32], [I32])
    this.checkCrossing = module.importFunction('env', 'checkCrossing', [I32], [I32])
    this.validateRegion = module.importFunction('env', 'validateRegion', [I32], [])
    this.noteHotRegion = module.importFunction('env', 'noteHotRegion', [I32], [])
    this.resolveExit = module.importFunction('env', 'resolveExit', [I32, I32], [I32])
    const helperNumber = (name: string): number => {
      const known = this.helpers.indexOf(name)
      return known >= 0 ? known : this.helpers.push(name) - 1
    }
    const materialise = emitMaterialise(module).index
    this.functions = { materialise, access, commitSlowStores, helper, lookup, checkSegment, helperNumber }
  }

  build(): Engine {
    const { inline, fused } = this.chooseInline()
    const standing = this.description.forms.filter((form) => form.key === form.outlinedKey)
    const functionOf = new Map(standing.map((form) => [form.key, this.emitOutlined(form.sample)]))
    const outlinedOf = (form: Form): number => functionOf.get(form.outlinedKey) ?? unreachable(`no form is called ${form.outlinedKey}`)
    const distinct = [...new Set(functionOf.values())]
    const firstFused = PSEUDO_COUNT + inline.length
    const inlineCount = firstFused + fused.length
    const outlinedNumber = (form: Form): number => inlineCount + distinct.indexOf(outlinedOf(form))
    const table = [
      ...this.emitPseudoHandlers(REGION_TABLE),
      ...inline.map(outlinedOf),
      ...fused.map(([first]) => outlinedOf(first)),
      ...distinct,
    ]
    this.module.table(table.length)
    this.module.table(MAXIMUM_REGIONS, 'regions')
    this.module.element(0, table)
    const loopSize = this.emitLoop(inline, fused)
    const outlined = this.description.forms.map((form): [string, number] => [form.key, outlinedNumber(form)])
    return {
      module: this.module,
      handlers: new Map([...outlined, ...inline.map((form, index): [string, number] => [form.key, PSEUDO_COUNT + index])]),
      fused: new Map(fused.map(([first, second], index) => [`${first.key}+${second.key}`, firstFused + index])),
      refused: this.refused,
      helpers: this.helpers,
      loopSize,
    }
  }

  /** The forms asked for inline that can be: tried in a scratch function first. */
  private chooseInline(): { inline: Form[]; fused: [Form, Form][] } {
    const byKey = new Map(this.description.forms.map((form) => [form.key, form]))
    const fits = (keys: readonly string[]): Form[] | undefined => {
      const forms = keys.flatMap((key) => byKey.get(key) ?? [])
      if (forms.length === keys.length && this.canBeInline(forms)) return forms
      this.refused.push(keys.join('+'))
      return undefined
    }
    return {
      inline: this.description.inline.flatMap((key) => fits([key]) ?? []),
      fused: this.description.fused.flatMap((keys) => {
        const pair = fits(keys)
        return pair === undefined ? [] : [[pair[0], pair[1]] as [Form, Form]]
      }),
    }
  }

  private canBeInline(forms: readonly Form[]): boolean {
    const f = new FunctionBody(0, [I32, I32, I32])
    const flags = { kind: f.local(I32), a: f.local(I64), b: f.local(I64), override: f.local(I32) }
    const nothing = (): void => {}
    const site: Site = { f, kind: 'inline', cpu: 0, record: 1, context: 2, flags, slow: 0, next: nothing, jump: nothing }
    try {
      new InterpreterOps(site, this.functions).emitForm(forms.map((form) => form.sample))
      return true
    } catch (error) {
      if (error instanceof NotInlinable) return false
      throw error
    }
  }

  /** Forms with equal code share a function: that is found out by emitting them into a scratch function first. */
  private emitOutlined(sample: FormSample): number {
    const scratch = new FunctionBody(0, [I32, I32, I32])
    this.emitInto(scratch, sample)
    const code = String.fromCharCode(...scratch.encode())
    // A profile must tell forms apart.
    const known = this.description.countsAt === undefined ? this.outlinedByCode.get(code) : undefined
    if (known !== undefined) return known
    const f = this.module.function([I32, I32, I32], [I32])
    this.emitInto(f, sample)
    this.outlinedByCode.set(code, f.index)
    return f.index
  }

  private emitInto(f: FunctionBody, sample: FormSample): void {
    new InterpreterOps({ f, kind: 'outlined', cpu: 0, record: 1, context: 2 }, this.functions).emitForm([sample])
  }

  /** Outlined functions of the pseudo handlers, by number. */
  private emitPseudoHandlers(regionTable: number): number[] {
    const leaveWith = (code: number): number => {
      const f = this.module.function([I32, I32, I32], [I32])
      f.get(0).i32(code).memory(W.i32_store, Slot.EXIT_CODE).i32(0)
      return f.index
    }
    const handlers: number[] = []
    handlers[Pseudo.STALE] = leaveWith(ExitCode.STALE)
    handlers[Pseudo.LINK] = leaveWith(ExitCode.LINK)
    handlers[Pseudo.GOTO] = handlers[Pseudo.STALE]
    handlers[Pseudo.GOTO_PAGE] = this.emitGotoPage()
    handlers[Pseudo.CHECK_CROSSING] = this.emitCheckCrossing()
    handlers[Pseudo.RAISE] = this.emitRaise()
    handlers[Pseudo.STOP] = leaveWith(ExitCode.BUDGET)
    handlers[Pseudo.COUNT] = leaveWith(ExitCode.HOT)
    const { validateRegion, noteHotRegion, resolveExit } = this
    const dispatcher = { lookup: this.functions.lookup, validateRegion, noteHotRegion, resolveExit }
    handlers[Pseudo.ENTER] = emitDispatcher(this.module, dispatcher, regionTable).index
    return handlers
  }

  private emitGotoPage(): number {
    const f = this.module.function([I32, I32, I32], [I32])
    const target = f.local(I64)
    f.get(0).memory(W.i64_load, Slot.RIP_PAGE).get(1).memory(W.i64_load, Record.IMMEDIATE).op(W.i64_add).tee(target)
    f.op(W.i32_wrap_i64).get(target).i64(32n).op(W.i64_shr_u).op(W.i32_wrap_i64).call(this.functions.lookup)
    return f.index
  }

  private emitCheckCrossing(): number {
    const f = this.module.function([I32, I32, I32], [I32])
    f.get(1).call(this.checkCrossing).if(I32).get(1).i32(RECORD_SIZE).op(W.i32_add)
    f.else().get(0).i32(ExitCode.STALE).memory(W.i32_store, Slot.EXIT_CODE).i32(0).end()
    return f.index
  }

  private emitRaise(): number {
    const f = this.module.function([I32, I32, I32], [I32])
    f.get(0).get(1).memory(W.i32_load, Record.IMMEDIATE).memory(W.i32_store, Slot.EXIT_VECTOR)
    f.get(0).get(1).memory(W.i32_load, Record.LINK).memory(W.i32_store, Slot.EXIT_ERROR_CODE)
    f.get(0).i32(ExitCode.EXCEPTION).memory(W.i32_store, Slot.EXIT_CODE).i32(0)
    return f.index
  }

  private emitLoop(inline: readonly Form[], fused: readonly (readonly [Form, Form])[]): number {
    const loop = new LoopEmitter(this.module.function([I32, I32, I32], [I32], 'run'), this.module, this.functions, this.description.countsAt)
    return loop.emit(inline.map((form) => [form.sample]), fused.map((pair) => pair.map((form) => form.sample)))
  }
}

/** The run loop: parameters cpu, record, account. */
class LoopEmitter {
  private readonly f: FunctionBody
  private readonly module: ModuleBuilder
  private readonly functions: EngineFunctions
  private readonly countsAt: number | undefined
  private readonly cpu = 0
  private readonly record = 1
  private readonly account = 2
  private readonly context: number
  private readonly flags: { kind: number; a: number; b: number; override: number }
  private readonly target: number
  private readonly left: number
  /** Depths of the blocks that handlers branch to. */
  private exit = 0
  private loop = 0
  private budget = 0
  private slow = 0

  constructor(f: FunctionBody, module: ModuleBuilder, functions: EngineFunctions, countsAt: number | undefined) {
    this.f = f
    this.countsAt = countsAt
    this.module = module
    this.functions = functions
    this.context = f.local(I32)
    this.flags = { kind: f.local(I32), a: f.local(I64), b: f.local(I64), override: f.local(I32) }
    this.target = f.local(I32)
    this.left = f.local(I32)
  }

  emit(inline: readonly (readonly FormSample[])[], fused: readonly (readonly FormSample[])[]): number {
    const { f } = this
    f.get(this.account).get(this.record).op(W.i32_add).set(this.account)
    this.loadState()
    f.block()
    this.exit = f.depth
    f.block()
    this.budget = f.depth
    f.loop()
    this.loop = f.depth
    f.block()
    this.slow = f.depth
    this.emitHandlers([...inline, ...fused])
    f.end()
    this.emitDefault()
    f.end().op(W.unreachable).end()
    f.get(this.cpu).i32(ExitCode.BUDGET).memory(W.i32_store, Slot.EXIT_CODE)
    f.end()
    this.storeFlags()
    this.storeBudget()
    f.get(this.record)
    return f.code.length
  }

  /** What is left, times RECORD_SIZE. */
  private storeBudget(): void {
    this.f.get(this.cpu).get(this.account).get(this.record).op(W.i32_sub).memory(W.i32_store, Slot.BUDGET)
  }

  /** One block a handler, the dispatch innermost. Pseudo handlers that are not inline share the slow path. */
  private emitHandlers(forms: readonly (readonly FormSample[])[]): void {
    const { f } = this
    const count = PSEUDO_COUNT + forms.length
    const depths: number[] = []
    for (let handler = count - 1; handler >= 0; handler--) {
      if (isSlowPseudo(handler)) depths[handler] = this.slow
      else { f.block(); depths[handler] = f.depth }
    }
    this.emitCount()
    f.get(this.record).memory(W.i32_load16_u, Record.HANDLER).brTable(depths, this.slow)
    const site: Site = {
      f, kind: 'inline', cpu: this.cpu, record: this.record, context: this.context, flags: this.flags, slow: this.slow,
      next: (instructions) => { f.get(this.record).i32(RECORD_SIZE * instructions).op(W.i32_add).set(this.record).br(this.loop) },
      jump: (target, instructions) => this.emitJump(target, instructions),
    }
    const ops = new InterpreterOps(site, this.functions)
    f.end()
    this.emitGoto()
    f.end()
    this.emitDoor()
    for (const samples of forms) {
      f.end()
      ops.emitForm(samples)
    }
  }

  private emitCount(): void {
    const { f, countsAt } = this
    if (countsAt === undefined) return
    f.get(this.record).i32(3).op(W.i32_shr_u).tee(this.left)
    f.get(this.left).memory(W.i32_load, countsAt).i32(1).op(W.i32_add).memory(W.i32_store, countsAt)
  }

  /** `account` from the old line to the new one; the slice ends when nothing is left. */
  private emitJump(target: number, instructions: number): void {
    const { f } = this
    f.get(this.account).get(this.record).op(W.i32_sub).i32(RECORD_SIZE * instructions).op(W.i32_sub).tee(this.left)
    f.get(target).op(W.i32_add).set(this.account)
    f.get(target).set(this.record)
    f.get(this.left).i32(0).op(W.i32_gt_s).brIf(this.loop)
    f.br(this.budget)
  }

  private emitGoto(): void {
    const { f } = this
    f.get(this.record).memory(W.i32_load, Record.LINK).set(this.target)
    f.get(this.account).get(this.record).op(W.i32_sub).get(this.target).op(W.i32_add).set(this.account)
    f.get(this.target).set(this.record).br(this.loop)
  }

  /** Counts a door's executions; it stands for no instruction. */
  private emitDoor(): void {
    const { f } = this
    f.get(this.record).get(this.record).memory(W.i32_load, Record.LINK).i32(1).op(W.i32_sub).tee(this.left).memory(W.i32_store, Record.LINK)
    f.get(this.left).op(W.i32_eqz).brIf(this.slow)
    f.get(this.account).i32(RECORD_SIZE).op(W.i32_add).set(this.account)
    f.get(this.record).i32(RECORD_SIZE).op(W.i32_add).set(this.record).br(this.loop)
  }

  /** The outlined handler: flags go through memory, because it may read and write them, and so does what is left: it may run a region. */
  private emitDefault(): void {
    const { f } = this
    this.storeFlags()
    this.storeBudget()
    // The handler's number is kept: an instruction that overwrites its own page makes its record stale.
    f.get(this.cpu).get(this.record).get(this.context).get(this.record).memory(W.i32_load16_u, Record.HANDLER).tee(this.left)
    f.callIndirect(this.module.type([I32, I32, I32], [I32])).set(this.target)
    this.loadState()
    f.get(this.cpu).memory(W.i32_load, Slot.BUDGET).get(this.record).op(W.i32_add).set(this.account)
    f.get(this.target).op(W.i32_eqz).brIf(this.exit)
    // A pseudo handler counts nothing.
    f.get(this.account).get(this.record).op(W.i32_sub)
    f.get(this.left).i32(PSEUDO_COUNT).op(W.i32_ge_u).i32(RECORD_SHIFT).op(W.i32_shl)
    f.op(W.i32_sub).tee(this.left).get(this.target).op(W.i32_add).set(this.account)
    f.get(this.target).set(this.record)
    f.get(this.left).i32(0).op(W.i32_gt_s).brIf(this.loop)
    f.br(this.budget)
  }

  private loadState(): void {
    const { f, flags } = this
    f.get(this.cpu).memory(W.i32_load, Slot.FLAG_KIND).set(flags.kind)
    f.get(this.cpu).memory(W.i64_load, Slot.FLAG_A).set(flags.a)
    f.get(this.cpu).memory(W.i64_load, Slot.FLAG_B).set(flags.b)
    f.get(this.cpu).memory(W.i32_load, Slot.FLAG_OVERRIDE).set(flags.override)
    f.get(this.cpu).memory(W.i32_load, Slot.CONTEXT).set(this.context)
  }

  private storeFlags(): void {
    const { f, flags } = this
    f.get(this.cpu).get(flags.kind).memory(W.i32_store, Slot.FLAG_KIND)
    f.get(this.cpu).get(flags.a).memory(W.i64_store, Slot.FLAG_A)
    f.get(this.cpu).get(flags.b).memory(W.i64_store, Slot.FLAG_B)
    f.get(this.cpu).get(flags.override).memory(W.i32_store, Slot.FLAG_OVERRIDE)
  }
}

/** Straight on into the next page is rare enough for the slow path, as are the others; only GOTO and doors that count are inline. */
const isSlowPseudo = (handler: number): boolean => handler < PSEUDO_COUNT && handler !== Pseudo.GOTO && handler !== Pseudo.COUNT
