/** One virtual CPU: a processor and the engine that runs it, in slices. */
import { Interpreter, Stop } from '../cpu/interpreter/interpreter.ts'
import { HELPERS } from '../cpu/helpers.ts'
import { PendingEvent, clearSignal, pendingEvents, signal } from '../cpu/system/events.ts'
import { Processor } from '../cpu/system/processor.ts'
import type { ProcessorEnvironment } from '../cpu/system/environment.ts'
import { FEATURE_NAMES } from '../cpu/system/cpuid.ts'
import { ServiceOutcome, afterStep, serviceEvents, serviceFault } from '../cpu/system/service.ts'

/** What a slice ended with. */
export type SliceOutcome =
  /** There is more to run. */
  | 'running'
  /** HLT: nothing to do until an interrupt. */
  | 'halted'
  /** A triple fault. */
  | 'shutdown'

export class Vcpu {
  readonly processor: Processor
  readonly engine: Interpreter

  constructor(environment: ProcessorEnvironment, module: WebAssembly.Module) {
    this.processor = new Processor(environment)
    this.engine = new Interpreter({
      processor: this.processor, pool: environment.frames.pool, frames: environment.frames, module,
      helpers: HELPERS, features: FEATURE_NAMES,
    })
  }

  /** Runs about `budget` instructions, delivering what is due in between. */
  run(budget: number): SliceOutcome {
    const { engine, processor } = this
    const end = engine.retired + budget
    clearSignal(processor.state, PendingEvent.HOST)
    let outcome = serviceEvents(processor)
    for (;;) {
      if (outcome === ServiceOutcome.HALT) return 'halted'
      if (outcome === ServiceOutcome.SHUTDOWN) return 'shutdown'
      if (engine.retired >= end || (pendingEvents(processor.state) & PendingEvent.HOST) !== 0) return 'running'
      outcome = outcome === ServiceOutcome.STEP ? this.step() : this.runOn(end - engine.retired)
    }
  }

  /** Makes `run` come back soon; may be called from an instruction. */
  stop(): void { signal(this.processor.state, PendingEvent.HOST) }

  private runOn(budget: number): ServiceOutcome {
    const stop = this.engine.execute(budget)
    if (stop === Stop.EXCEPTION) return this.afterFault()
    return stop === Stop.RESYNC || pendingEvents(this.processor.state) !== 0 ? serviceEvents(this.processor) : ServiceOutcome.RUN
  }

  private step(): ServiceOutcome {
    const stop = this.engine.step()
    if (stop === Stop.EXCEPTION) return this.afterFault()
    afterStep(this.processor)
    return serviceEvents(this.processor)
  }

  private afterFault(): ServiceOutcome {
    const outcome = serviceFault(this.processor)
    return outcome === ServiceOutcome.SHUTDOWN ? outcome : serviceEvents(this.processor)
  }
}
