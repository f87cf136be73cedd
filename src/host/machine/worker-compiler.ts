import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { receiveMessageOnPort } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import type { CompiledRegions, RegionCompiler } from '../../cpu/translator/compiler.ts'
import type { RegionPlan } from '../../cpu/translator/plan.ts'

/** Has regions compiled by another thread (compile-worker.ts). */
export class WorkerCompiler implements RegionCompiler {
  pending = 0
  readonly #port: MessagePort

  constructor(port: MessagePort) { this.#port = port }

  submit(plan: RegionPlan): void {
    this.pending++
    this.#port.postMessage(plan, plan.pages.map(page => page.bytes.buffer as ArrayBuffer))
  }

  discarded(): void { collectGarbage() }

  collect(): CompiledRegions | undefined {
    if (this.pending === 0) return undefined
    const received = receiveMessageOnPort(this.#port) as { message: CompiledRegions } | undefined
    if (received === undefined) return undefined
    this.pending -= received.message.regions.length
    return received.message
  }
}

/** A thread that runs a guest makes hardly any garbage, so that V8 would not notice that thousands of modules are dead. */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
}
