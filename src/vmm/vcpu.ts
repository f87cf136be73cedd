/** One virtual CPU: a processor and the engine that runs it, in slices. */
import { Interpreter, Stop } from '../cpu/interpreter/interpreter.ts'
import type { StopCode } from '../cpu/interpreter/interpreter.ts'
import type { RegionCompiler } from '../cpu/translator/compiler.ts'
import { HELPERS } from '../cpu/helpers.ts'
import { PendingEvent, clearSignal, pendingEvents, signal } from '../cpu/system/events.ts'
import { Processor } from '../cpu/system/processor.ts'
import type { ProcessorEnvironment } from '../cpu/system/environment.ts'
import type { ProcessorState } from '../cpu/system/snapshot.ts'
import { Slot } from '../cpu/state/layout.ts'
import type { PlainData, Stateful } from '../machine/lifecycle.ts'
import { ServiceOutcome, afterStep, beforeRun, betweenIterations, postponeStep, serviceEvents, serviceFault } from '../cpu/system/service.ts'

/** What a slice ended with. */
export type SliceOutcome =
  /** There is more to run. */
  | 'running'
  /** HLT: nothing to do until an interrupt. */
  | 'halted'
  /** A triple fault. */
  | 'shutdown'

/** Instructions that may run between two looks at the budget: those of a page, if none of them branches or leaves the run loop. */
const LONGEST_LINE = 4096

/** So many exceptions without an instruction between them are a guest's way to run for ever: the slice ends. */
const MAXIMUM_FAULTS_IN_A_ROW = 1000

export class Vcpu implements Stateful<ProcessorState> {
  readonly schema: string
  readonly version: number
  readonly processor: Processor
  readonly engine: Interpreter
  private faultsInARow = 0
  /** `engine.executed` at the last of them. */
  private executedAtFault = -1

  /** `compiler`: translates hot code; without it everything is interpreted. */
  constructor(environment: ProcessorEnvironment, module: WebAssembly.Module, compiler?: RegionCompiler, threshold?: number) {
    this.processor = new Processor(environment)
    this.schema = this.processor.schema
    this.version = this.processor.version
    this.engine = new Interpreter({
      processor: this.processor, pool: environment.frames.pool, frames: environment.frames, module,
      helpers: HELPERS, features: this.processor.features, compiler, threshold,
    })
  }

  save(): ProcessorState {
    this.processor.state.setSlotU64(Slot.RETIRED, BigInt(this.engine.retired))
    return this.processor.save()
  }

  restore(state: PlainData): void {
    this.processor.restore(state)
    this.follow()
  }

  reset(): void {
    this.processor.reset()
    this.follow()
  }

  /** Runs about `budget` instructions, delivering what is due in between. */
  run(budget: number): SliceOutcome {
    const { engine } = this
    const end = engine.executed + budget
    return this.slice(() => end - engine.executed, (left) => this.runOn(left))
  }

  /**
   * Runs `count` instructions, neither more nor fewer unless the processor stops before. Where interrupts are delivered depends on
   * nothing but the machine's state, so that runs can be repeated; it costs some milliseconds more than `run`.
   */
  runExactly(count: number): SliceOutcome {
    const { engine } = this
    const end = engine.retired + count
    return this.slice(() => end - engine.retired, (left) => this.runShort(left))
  }

  /**
   * Runs on as `runExactly` does, but for a few instructions as they come: a line of the interpreter's, or a region up to its exit or an
   * edge back in it, and no more once `size` instructions have run. It ends where `runExactly` for as many instructions ends too: not
   * between the iterations of a repeated instruction, and before an exception is delivered.
   */
  runPiece(size: number): SliceOutcome {
    const { engine } = this
    const before = engine.retired
    return this.slice(() => (engine.repeats ? 1 : before + 1 - engine.retired), () => this.runToFault(size, before))
  }

  private slice(remaining: () => number, runSome: (left: number) => ServiceOutcome): SliceOutcome {
    const { processor } = this
    clearSignal(processor.state, PendingEvent.HOST)
    this.faultsInARow = 0
    let outcome = serviceEvents(processor)
    for (;;) {
      if (outcome === ServiceOutcome.HALT) return 'halted'
      if (outcome === ServiceOutcome.SHUTDOWN) return 'shutdown'
      const left = remaining()
      if (left <= 0 || (pendingEvents(processor.state) & PendingEvent.HOST) !== 0) {
        if (outcome === ServiceOutcome.STEP) postponeStep(processor)
        return 'running'
      }
      outcome = outcome === ServiceOutcome.STEP ? this.step() : runSome(left)
    }
  }

  /** Makes `run` come back soon; may be called from an instruction. */
  stop(): void { signal(this.processor.state, PendingEvent.HOST) }

  private runOn(budget: number): ServiceOutcome {
    const stop = this.execute(budget)
    if (stop === Stop.EXCEPTION) return this.afterFault()
    return stop === Stop.RESYNC || pendingEvents(this.processor.state) !== 0 ? serviceEvents(this.processor) : ServiceOutcome.RUN
  }

  /** As runOn, but never past `left` instructions; events wait for the slice's end, or for an instruction that resynchronises. */
  private runShort(left: number): ServiceOutcome {
    const stop = this.execute(left > LONGEST_LINE ? left - LONGEST_LINE : 1)
    if (stop === Stop.EXCEPTION) return this.afterFault()
    return stop === Stop.RESYNC ? serviceEvents(this.processor) : ServiceOutcome.RUN
  }

  /**
   * As runShort, but an exception of an instruction that is neither the first nor half done waits: the instruction raises it again.
   */
  private runToFault(budget: number, before: number): ServiceOutcome {
    const { engine } = this
    const halfDone = engine.repeats ? engine.retired : -1
    beforeRun(this.processor)
    const stop = engine.execute(budget)
    if (engine.repeats) betweenIterations(this.processor)
    if (stop === Stop.EXCEPTION) return engine.retired > before && engine.retired !== halfDone ? ServiceOutcome.RUN : this.afterFault()
    return stop === Stop.RESYNC ? serviceEvents(this.processor) : ServiceOutcome.RUN
  }

  /** One instruction, or about `budget` of them. */
  private execute(budget: number): StopCode {
    beforeRun(this.processor)
    const stop = budget === 1 ? this.engine.step() : this.engine.execute(budget)
    if (this.engine.repeats) betweenIterations(this.processor)
    return stop
  }

  private step(): ServiceOutcome {
    const stop = this.engine.step()
    if (stop === Stop.EXCEPTION) return this.afterFault()
    afterStep(this.processor, this.engine.repeats)
    return serviceEvents(this.processor)
  }

  private afterFault(): ServiceOutcome {
    this.noteFault()
    const outcome = serviceFault(this.processor)
    return outcome === ServiceOutcome.SHUTDOWN ? outcome : serviceEvents(this.processor)
  }

  private noteFault(): void {
    const { executed } = this.engine
    this.faultsInARow = executed === this.executedAtFault ? this.faultsInARow + 1 : 1
    this.executedAtFault = executed
    if (this.faultsInARow >= MAXIMUM_FAULTS_IN_A_ROW) this.stop()
  }

  /** The engine follows a processor whose state was replaced. */
  private follow(): void {
    this.engine.retired = Number(this.processor.state.slotU64(Slot.RETIRED))
    this.engine.flush()
  }
}
