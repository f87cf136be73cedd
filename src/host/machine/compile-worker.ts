/** The thread that translates hot guest code, so that the guest need not wait for it. */
import { setFlagsFromString } from 'node:v8'
import { receiveMessageOnPort, workerData } from 'node:worker_threads'
import type { CompiledRegions } from '../../cpu/translator/compiler.ts'
import type { RegionPlan } from '../../cpu/translator/plan.ts'
import { RegionTranslator } from '../../cpu/translator/translate.ts'
import type { CompileOrder } from './compile-protocol.ts'

/** Plans that are compiled into one module at most: the last of them waits for all. */
const MAXIMUM_BATCH = 8

/** V8's flags that are off while regions are compiled. They do not recurse, and come back regularly, so that they need no stack checks. */
const REGION_FLAGS = ['liftoff', 'wasm-lazy-compilation', 'wasm-stack-checks']

// One thread at a time: the guest needs the others.
setFlagsFromString('--wasm-num-compilation-tasks=1')
const { port, features } = workerData as CompileOrder
const translator = new RegionTranslator(new Set(features))

port.on('message', (first: RegionPlan) => port.postMessage(compile([first, ...waiting(MAXIMUM_BATCH - 1)])))

/** Plans that have arrived in the meantime. */
function waiting(limit: number): RegionPlan[] {
  const plans: RegionPlan[] = []
  while (plans.length < limit) {
    const received = receiveMessageOnPort(port) as { message: RegionPlan } | undefined
    if (received === undefined) break
    plans.push(received.message)
  }
  return plans
}

function compile(plans: readonly RegionPlan[]): CompiledRegions {
  const { bytes, regions } = translator.translate(plans)
  return { module: optimised(bytes as Uint8Array<ArrayBuffer>), regions }
}

/**
 * V8's optimising compiler at once, for all functions: by itself it would begin with the fast one, and a region that is entered seldom
 * and runs long would stay there, as V8 does not replace a function that runs. The flags are the process's; they are set back, because
 * the engine's own functions are better compiled as V8 does.
 */
function optimised(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  for (const flag of REGION_FLAGS) setFlagsFromString(`--no-${flag}`)
  try {
    return new WebAssembly.Module(bytes)
  } finally {
    for (const flag of REGION_FLAGS) setFlagsFromString(`--${flag}`)
  }
}
