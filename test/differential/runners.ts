/** Runs a program on an engine to its end: the exception that stops it. */
import { HELPERS } from '../../src/cpu/helpers.ts'
import { Interpreter, Stop } from '../../src/cpu/interpreter/interpreter.ts'
import { features } from '../../src/cpu/isa/rows.ts'
import { ImmediateCompiler } from '../../src/cpu/translator/compiler.ts'
import { gpa } from '../../src/base/addresses.ts'
import { readArithmeticFlags, writeArithmeticFlags } from '../../src/cpu/state/flags.ts'
import { Slot } from '../../src/cpu/state/layout.ts'
import { backgroundData, CODE_SIZE, DATA_SIZE } from '../vectors/environment.ts'
import { CODE_PAGE, VectorMachine } from '../vectors/interpreter/machine.ts'
import { loadState, storeState } from '../vectors/interpreter/transfer.ts'
import { WORDS, wordName } from '../vectors/state.ts'
import type { State } from '../vectors/state.ts'
import type { Program } from './program.ts'

const PAGE = 4096
const NOP = 0x90
/** Far more than any program runs. */
const MAXIMUM_SLICES = 1_000_000

export interface Result {
  readonly state: State
  readonly data: Uint8Array
  /** Vector, error code and, for #PF, address. */
  readonly exception: string
}

abstract class Runner {
  readonly name: string
  protected readonly machine = new VectorMachine()
  protected readonly interpreter: Interpreter
  private readonly data: Uint8Array[]
  private readonly code = new Uint8Array(CODE_SIZE)

  constructor(name: string, engine: WebAssembly.Module, threshold?: number) {
    const { machine } = this
    this.name = name
    this.data = machine.dataFrames().map((frame) => machine.pool.u8.subarray(frame, frame + PAGE))
    this.interpreter = new Interpreter({
      processor: machine.cpu, pool: machine.pool, frames: machine.frames, module: engine, helpers: HELPERS, features: features(),
      arenaSize: 1 << 20, ...threshold === undefined ? {} : { compiler: new ImmediateCompiler(features()), threshold },
    })
  }

  /** Instructions run in all programs. */
  get retired(): number { return this.interpreter.retired }

  run(program: Program): Result {
    this.load(program)
    if (this.interpreter.translator !== undefined) this.interpreter.flush()
    for (let n = 0; this.advance() !== Stop.EXCEPTION; n++) if (n > MAXIMUM_SLICES) throw new Error(`${this.name}: the program does not end, at ${this.machine.state.rip.toString(16)}`)
    this.machine.cpu.mmu.abandonSlowStores()
    return this.result()
  }

  /** Runs a little. */
  protected abstract advance(): number

  private load(program: Program): void {
    const { machine } = this
    this.code.fill(NOP)
    this.code.set(program.code.subarray(0, CODE_SIZE - program.offset), program.offset)
    machine.memory.write(gpa(CODE_PAGE * PAGE), this.code)
    this.data.forEach((page, n) => page.set(backgroundData().subarray(n * PAGE, (n + 1) * PAGE)))
    loadState(machine.state, program.state, program.mode)
    machine.cpu.mmu.selectContext()
  }

  private result(): Result {
    const { state } = this.machine
    const words = new BigUint64Array(WORDS)
    storeState(state, words)
    const data = new Uint8Array(DATA_SIZE)
    this.data.forEach((page, n) => data.set(page, n * PAGE))
    const vector = state.slotU32(Slot.EXIT_VECTOR)
    const address = vector === 14 ? state.slotU64(Slot.FAULT_ADDRESS).toString(16) : ''
    return { state: words, data, exception: `${vector} ${state.slotU32(Slot.EXIT_ERROR_CODE).toString(16)} ${address}` }
  }
}

/** One instruction at a time, with no flags left lazy: what the recorded vectors check. */
export class SteppingRunner extends Runner {
  protected advance(): number {
    const { machine: { state }, interpreter } = this
    const stop = interpreter.step()
    writeArithmeticFlags(state, readArithmeticFlags(state))
    state.setSlotU32(Slot.FLAG_OVERRIDE, 0)
    return stop
  }
}

/** As a machine runs: from decoded traces, in slices. */
export class SlicedRunner extends Runner {
  private readonly slice: number
  constructor(name: string, engine: WebAssembly.Module, slice: number, threshold?: number) {
    super(name, engine, threshold)
    this.slice = slice
  }

  /** Regions that were translated. */
  get regions(): number { return this.interpreter.translator?.statistics.installed ?? 0 }

  protected advance(): number { return this.interpreter.execute(this.slice) }
}

/** What differs, a line each. */
export function compareResults(expected: Result, actual: Result): string[] {
  const lines = expected.exception === actual.exception ? [] : [`exception: ${expected.exception}, not ${actual.exception}`]
  for (let word = 0; word < WORDS; word++) {
    if (expected.state[word] === actual.state[word]) continue
    lines.push(`${wordName(word)}: ${expected.state[word].toString(16)}, not ${actual.state[word].toString(16)}`)
  }
  if (Buffer.compare(expected.data, actual.data) !== 0) {
    const at = expected.data.findIndex((byte, n) => byte !== actual.data[n])
    lines.push(`data at +${at.toString(16)}: ${expected.data[at].toString(16)}, not ${actual.data[at].toString(16)}`)
  }
  return lines
}
