/** Ways to run a hot program: engines, and how they are driven. Each gives the outcome. */
import { HELPERS } from '../../../src/cpu/helpers.ts'
import { Interpreter, Stop } from '../../../src/cpu/interpreter/interpreter.ts'
import { features } from '../../../src/cpu/isa/rows.ts'
import { readArithmeticFlags, readFlags, writeArithmeticFlags } from '../../../src/cpu/state/flags.ts'
import { Slot } from '../../../src/cpu/state/layout.ts'
import { ImmediateCompiler } from '../../../src/cpu/translator/compiler.ts'
import { gpa } from '../../../src/base/addresses.ts'
import { backgroundData, CODE, CODE_SIZE, DATA, DATA_SIZE, WRITABLE_SIZE } from '../../vectors/environment.ts'
import { CODE_PAGE, TABLES, VectorMachine } from '../../vectors/interpreter/machine.ts'
import { loadState } from '../../vectors/interpreter/transfer.ts'
import type { HotProgram } from './assemble.ts'
import { digest, EVENT_WORDS, EventWord, FAULTS_OF_ONE, hasErrorCode, MAXIMUM_EVENTS, XMM_WORDS } from './outcome.ts'
import type { Event, Outcome } from './outcome.ts'
import { RESUME, STACK, STACK_SIZE } from './registers.ts'

const PAGE = 4096
const NOP = 0x90
const RF = 0x10000
/** A program that executes more is one that does not end. */
const MAXIMUM_EXECUTED = 2_000_000
/** Guest-physical page of the stack. */
const STACK_PAGE = 0x28
const PRESENT_WRITABLE_USER = 7n
const NO_EXECUTE = 1n << 63n

/** How a way drives the engine: the next slice. */
export type Advance = (interpreter: Interpreter, machine: VectorMachine) => number

export interface Way {
  readonly name: string
  run(program: HotProgram): Outcome
  /** Regions that were translated, for all programs. */
  readonly regions: number
}

/** One instruction at a time, with no flags left lazy. */
export const stepping: Advance = (interpreter, { state }) => {
  const stop = interpreter.step()
  writeArithmeticFlags(state, readArithmeticFlags(state))
  state.setSlotU32(Slot.FLAG_OVERRIDE, 0)
  return stop
}

export const slices = (length: number): Advance => (interpreter) => interpreter.execute(length)
export const slicesOf = (next: () => number): Advance => (interpreter) => interpreter.execute(next())

/** In slices, with the translations of pages forgotten behind each: all of them, or one page of the code or of the data. */
export const flushing = (next: (limit: number) => number): Advance => (interpreter, { cpu: { mmu } }) => {
  const page = next(3)
  if (page === 0) mmu.tlb.flushAll()
  else mmu.tlb.flushPage((page === 1 ? CODE : DATA) + next(2) * PAGE, 0)
  return interpreter.execute(1 + next(300))
}

/** A way by the engine's module; with a threshold, hot code is translated. */
export class EngineWay implements Way {
  readonly name: string
  private readonly advance: Advance
  private readonly machine = new VectorMachine()
  private readonly interpreter: Interpreter
  private readonly frames: { readonly data: readonly number[]; readonly all: readonly Uint32Array[] }

  constructor(name: string, engine: WebAssembly.Module, advance: Advance, threshold?: number) {
    const { machine } = this
    this.name = name
    this.advance = advance
    mapPages(machine)
    this.interpreter = new Interpreter({
      processor: machine.cpu, pool: machine.pool, frames: machine.frames, module: engine, helpers: HELPERS, features: features(),
      arenaSize: 1 << 20, ...threshold === undefined ? {} : { compiler: new ImmediateCompiler(features()), threshold },
    })
    this.frames = framesOf(machine)
  }

  get regions(): number { return this.interpreter.translator?.statistics.installed ?? 0 }

  run(program: HotProgram): Outcome {
    this.load(program)
    const events: Event[] = []
    const counts = new Uint8Array(CODE_SIZE)
    const end = this.interpreter.executed + MAXIMUM_EXECUTED
    for (;;) {
      if (this.advance(this.interpreter, this.machine) !== Stop.EXCEPTION) {
        if (this.interpreter.executed > end) return undefined
        continue
      }
      this.machine.cpu.mmu.abandonSlowStores()
      const event = this.event()
      events.push(event)
      if (events.length === MAXIMUM_EVENTS || !this.resume(program, event, counts)) return events
    }
  }

  /** Leads from a fault to the program's handler; false if the program ends there. */
  private resume({ lengths, handler }: HotProgram, { words }: Event, counts: Uint8Array): boolean {
    const { state, memory } = this.machine
    const at = Number(words[EventWord.RIP] - BigInt(CODE))
    const length = at >= 0 && at < CODE_SIZE ? lengths[at] : 0
    if (length === 0) return false
    if (++counts[at] === FAULTS_OF_ONE) memory.write(gpa(CODE_PAGE * PAGE + at), new Uint8Array(length).fill(NOP))
    state.setGpr(RESUME, BigInt(CODE + at + length))
    state.rip = BigInt(CODE + handler)
    return true
  }

  private load(program: HotProgram): void {
    const { machine } = this
    const code = new Uint8Array(CODE_SIZE).fill(NOP)
    code.set(program.code, program.offset)
    machine.memory.write(gpa(CODE_PAGE * PAGE), code)
    machine.memory.write(gpa(STACK_PAGE * PAGE), new Uint8Array(STACK_SIZE))
    this.frames.data.forEach((frame, n) => machine.pool.u8.set(backgroundData().subarray(n * PAGE, (n + 1) * PAGE), frame))
    loadState(machine.state, program.state, 64)
    machine.cpu.mmu.selectContext()
    if (this.interpreter.translator !== undefined) this.interpreter.flush()
  }

  private event(): Event {
    const { state } = this.machine
    const vector = state.slotU32(Slot.EXIT_VECTOR)
    const words = new BigUint64Array(EVENT_WORDS)
    for (let n = 0; n < 16; n++) words[n] = state.gpr(n)
    words[EventWord.RIP] = state.rip
    words[EventWord.RFLAGS] = BigInt(readFlags(state) & ~RF)
    words[EventWord.MXCSR] = BigInt(state.slotU32(Slot.MXCSR))
    const xmm = BigUint64Array.from({ length: XMM_WORDS }, (_, n) => state.slotU64(Slot.YMM + (n >> 1) * 32 + (n & 1) * 8))
    return {
      vector, errorCode: hasErrorCode(vector) ? state.slotU32(Slot.EXIT_ERROR_CODE) : 0, address: vector === 14 ? state.slotU64(Slot.FAULT_ADDRESS) : 0n,
      words, xmm, xmmDigest: digest(new Uint32Array(xmm.buffer)), memoryDigest: this.frames.all.reduce((sum, frame) => digest(frame, sum), 0),
    }
  }
}

/** Code can be written, and there are pages for the stack. */
function mapPages({ memory }: VectorMachine): void {
  const set = (table: number, linear: number, page: number, rights: bigint): void =>
    memory.writeU64(gpa(table + (linear >>> 12 & 0x1ff) * 8), BigInt(page * PAGE) | rights)
  for (let n = 0; n < CODE_SIZE / PAGE; n++) set(TABLES.code, CODE + n * PAGE, CODE_PAGE + n, PRESENT_WRITABLE_USER)
  for (let n = 0; n < STACK_SIZE / PAGE; n++) set(TABLES.data, STACK + n * PAGE, STACK_PAGE + n, PRESENT_WRITABLE_USER | NO_EXECUTE)
}

function framesOf(machine: VectorMachine): { data: number[]; all: Uint32Array[] } {
  const data = machine.dataFrames()
  const stack = Array.from({ length: STACK_SIZE / PAGE }, (_, n) => machine.frames.writableFrame(STACK_PAGE + n))
  const written = [...machine.codeFrames(), ...data.slice(0, WRITABLE_SIZE / PAGE), ...stack]
  return { data: data.slice(0, DATA_SIZE / PAGE), all: written.map((frame) => new Uint32Array(machine.pool.buffer, frame, PAGE / 4)) }
}

