/** The thread that translates hot guest code, so that the guest need not wait for it. */
import { setFlagsFromString } from 'node:v8'
import { receiveMessageOnPort, workerData } from 'node:worker_threads'
import type { CompiledRegions } from '../../cpu/translator/compiler.ts'
import type { RegionPlan, Tier } from '../../cpu/translator/plan.ts'
import { RegionTranslator } from '../../cpu/translator/translate.ts'
import type { CompileOrder } from './compile-protocol.ts'

/** Plans that are compiled into one module at most: the last of them waits for all. */
const MAXIMUM_BATCH = 8
const MAXIMUM_OPTIMISED = 2

/**
 * V8's flags while regions are compiled, and afterwards. All go to the optimising compiler at once: by itself V8 would begin with the
 * fast one, and a region that is entered seldom and runs long would stay there, as V8 does not replace a function that runs. They do not
 * recurse, and come back regularly, so that they need no stack checks. The quick tier has the cheaper register allocator, and leaves out
 * what finds little to do in code that is mostly loads, stores and exits. The flags are the process's; they are set back, because the
 * engine's own functions are better compiled as V8 does.
 */
/** Later versions have one register allocator, and complain of flags that they do not know. */
const V8 = Number.parseInt(process.versions.v8)
const ALWAYS: Flags = { liftoff: false, 'wasm-lazy-compilation': false, 'wasm-stack-checks': false }
const FLAGS: Record<Tier, Flags> = {
  quick: { ...ALWAYS, 'wasm-opt': false, 'wasm-loop-unrolling': false, ...(V8 < 12 ? { 'turbo-force-mid-tier-regalloc': true } : {}) },
  optimised: ALWAYS,
}
type Flags = Readonly<Record<string, boolean>>

// One thread at a time: the guest needs the others.
setFlagsFromString('--wasm-num-compilation-tasks=1')
const { port, features } = workerData as CompileOrder
const translator = new RegionTranslator(new Set(features))

const waiting: Record<Tier, RegionPlan[]> = { quick: [], optimised: [] }

port.on('message', (first: RegionPlan) => {
  waiting[first.tier].push(first)
  for (let plans = next(); plans.length > 0; plans = next()) port.postMessage(compile(plans))
})

/** The plans to compile now: what is quick comes first. */
function next(): RegionPlan[] {
  for (let received = receive(); received !== undefined; received = receive()) waiting[received.message.tier].push(received.message)
  return waiting.quick.length > 0 ? waiting.quick.splice(0, MAXIMUM_BATCH) : waiting.optimised.splice(0, MAXIMUM_OPTIMISED)
}

function receive(): { message: RegionPlan } | undefined { return receiveMessageOnPort(port) }

function compile(plans: readonly RegionPlan[]): CompiledRegions {
  const started = performance.now()
  const { bytes, regions } = translator.translate(plans)
  const emitted = performance.now()
  const module = build(bytes as Uint8Array<ArrayBuffer>, plans[0].tier)
  return { module, regions, emitMilliseconds: emitted - started, compileMilliseconds: performance.now() - emitted }
}

function build(bytes: Uint8Array<ArrayBuffer>, tier: Tier): WebAssembly.Module {
  setFlags(FLAGS[tier], true)
  try {
    return new WebAssembly.Module(bytes)
  } finally {
    setFlags(FLAGS[tier], false)
  }
}

/** Sets flags, or (`on` false) sets them back. */
function setFlags(flags: Flags, on: boolean): void {
  for (const [name, value] of Object.entries(flags)) setFlagsFromString(value === on ? `--${name}` : `--no-${name}`)
}
