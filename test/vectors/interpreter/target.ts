/** The interpreter as an engine for the vectors: one processor and one built engine for all of them. */
import { HELPERS } from '../../../src/cpu/helpers.ts'
import { Interpreter, Stop } from '../../../src/cpu/interpreter/interpreter.ts'
import { ImmediateCompiler } from '../../../src/cpu/translator/compiler.ts'
import { features, rows } from '../../../src/cpu/isa/rows.ts'
import { Slot } from '../../../src/cpu/state/layout.ts'
import { CODE_SIZE, DATA_SIZE } from '../environment.ts'
import { setSelector, Word, WORDS } from '../state.ts'
import type { Outcome, VectorTarget } from '../target.ts'
import { codeOffset, dataBefore, rowKey } from '../vector.ts'
import type { Exception, Vector } from '../vector.ts'
import { makeLazy } from './lazy-flags.ts'
import { VectorMachine } from './machine.ts'
import { loadState, storeState } from './transfer.ts'

const PAGE = 4096
const INT3 = 0xcc
const PAGE_FAULT = 14
/** More than the longest repeated vector needs, a step an element. */
const MAXIMUM_STEPS = 100_000

/** String instructions: a step is one iteration (or one run). */
const repeatable = new Set(rows.filter((row) => row.attributes.repeat !== undefined).map(rowKey))

export class InterpreterTarget implements VectorTarget {
  readonly name: string
  private readonly lazyFlags: boolean
  private readonly translated: boolean
  private readonly machine = new VectorMachine()
  private readonly interpreter: Interpreter
  private readonly code: Uint8Array[]
  private readonly data: Uint8Array[]
  private readonly before = new Uint8Array(DATA_SIZE)
  private readonly outcome = { state: new BigUint64Array(WORDS), exception: undefined as Exception | undefined, data: new Uint8Array(DATA_SIZE) }

  /**
   * With `lazyFlags` the arithmetic flags are given as an instruction leaves them, where one can; with `translated` each instruction
   * runs as a region of its own, if it can be translated.
   */
  constructor(name: string, engine: WebAssembly.Module, options: { readonly lazyFlags: boolean; readonly translated?: boolean }) {
    this.name = name
    this.lazyFlags = options.lazyFlags
    this.translated = options.translated === true
    const { machine } = this
    const page = (frame: number): Uint8Array => machine.pool.u8.subarray(frame, frame + PAGE)
    this.code = machine.codeFrames().map(page)
    this.data = machine.dataFrames().map(page)
    for (const bytes of this.code) bytes.fill(INT3)
    this.interpreter = new Interpreter({
      processor: machine.cpu, pool: machine.pool, frames: machine.frames, module: engine, helpers: HELPERS, features: features(),
      arenaSize: 1 << 20, ...this.translated ? { compiler: new ImmediateCompiler(features()), threshold: 1 } : {},
    })
  }

  /** Regions that were made. */
  get regions(): number { return this.interpreter.translator?.statistics.installed ?? 0 }

  run(vector: Vector): Outcome {
    this.load(vector)
    const stop = this.execute(vector)
    this.placeCode(vector, false)
    // A branch looks for its target at once: a fault at another place is the next instruction's.
    return this.read(stop === Stop.EXCEPTION && this.machine.state.rip === vector.initial[Word.RIP])
  }

  private load(vector: Vector): void {
    const { machine } = this
    this.placeCode(vector, true)
    dataBefore(vector, this.before)
    this.data.forEach((page, n) => page.set(this.before.subarray(n * PAGE, (n + 1) * PAGE)))
    loadState(machine.state, vector.initial, vector.mode)
    if (this.lazyFlags) makeLazy(machine.state, Number(vector.initial[Word.RFLAGS]), vector.seed)
    machine.cpu.mmu.selectContext()
    machine.cpu.mmu.abandonSlowStores()
  }

  /** Writes the instruction, or INT3 in its place. */
  private placeCode(vector: Vector, present: boolean): void {
    const from = codeOffset(vector)
    for (let n = 0; n < vector.code.length && from + n < CODE_SIZE; n++) {
      this.code[(from + n) >> 12][(from + n) & (PAGE - 1)] = present ? vector.code[n] : INT3
    }
  }

  private execute(vector: Vector): number {
    const { interpreter, machine } = this
    if (this.translated && !repeatable.has(vector.row)) {
      interpreter.flush()
      return interpreter.execute(1)
    }
    let stop = interpreter.step()
    if (!repeatable.has(vector.row)) return stop
    const start = vector.initial[Word.RIP]
    for (let n = 0; stop === Stop.BUDGET && machine.state.rip === start; n++) {
      if (n === MAXIMUM_STEPS) throw new Error('a repeated instruction does not end')
      stop = interpreter.step()
    }
    return stop
  }

  private read(faulted: boolean): Outcome {
    const { machine: { state }, outcome } = this
    storeState(state, outcome.state)
    this.data.forEach((page, n) => outcome.data.set(page, n * PAGE))
    outcome.exception = faulted ? this.recordedException() : this.deliveredException()
    if (state.slotU32(Slot.SLOW_STORES) !== 0 && !faulted) throw new Error('stores were left behind')
    return outcome
  }

  private recordedException(): Exception {
    const { state } = this.machine
    const vector = state.slotU32(Slot.EXIT_VECTOR)
    const errorCode = Math.max(state.slotU32(Slot.EXIT_ERROR_CODE) | 0, 0)
    return { vector, errorCode, address: vector === PAGE_FAULT ? state.slotU64(Slot.FAULT_ADDRESS) : 0n }
  }

  /** INT3 and its like go through their gate; their state is in the frame. */
  private deliveredException(): Exception | undefined {
    if (!this.machine.inHandler) return undefined
    const { state } = this.outcome
    const { vector, frame: [rip, cs, flags, rsp, ss] } = this.machine.handlerFrame()
    state[Word.RIP] = rip
    state[Word.RFLAGS] = flags
    state[Word.GPR + 4] = rsp
    setSelector(state, 1, Number(cs))
    setSelector(state, 2, Number(ss))
    return { vector, errorCode: 0, address: 0n }
  }
}
