/**
 * A machine that checks its translator: two machines in lockstep, which must be the same in every register, device and byte of RAM after
 * each step. Towards its host it is one machine. When the two differ, it goes back to its last checkpoint and finds out where
 * (diagnosis.ts).
 */
import { TenonError } from '../../base/errors.ts'
import type { SerialBackend, SerialPort } from '../../machine/serial.ts'
import type { Machine, BootConfig, RunOutcome } from '../machine.ts'
import { compareMemory, compareParts } from './compare.ts'
import type { Differences } from './compare.ts'
import { diagnose } from './diagnosis.ts'
import { Pair } from './pair.ts'
import type { PairConfig, PairEvent, PairSnapshot, PairStep } from './pair.ts'

/** LOCKSTEP_DIVERGED: the machines differ. The first line of the message says so, the others say where, for a bug report. */
export type LockstepErrorCode = 'LOCKSTEP_DIVERGED'

export interface LockstepConfig extends PairConfig {
  /** Back ends of COM1 to COM4: what both machines send goes there once, and what comes from there goes to both. */
  readonly serial?: readonly SerialBackend[]
  /** Monotonic, nanoseconds. Without it time follows the instructions, and what a halted machine waits for comes at once. */
  readonly hostNow?: () => number
  /** Instructions between two comparisons of processor and devices. The end of a step is single-stepped, so that it should be long. */
  readonly step?: number
  /** Steps between two checkpoints, at which RAM is compared as well. */
  readonly stepsPerCheckpoint?: number
}

const STEP = 1_000_000
const STEPS_PER_CHECKPOINT = 100
/** Bytes of input that reach the guest in one step at most. */
const MAXIMUM_INPUT = 4096
/** How long to wait for a host that takes no more output, in nanoseconds. */
const OUTPUT_WAIT = 5_000_000

export class Lockstep {
  readonly serial: readonly SerialPort[]
  private readonly config: LockstepConfig
  private readonly pair: Pair
  private readonly backends: readonly SerialBackend[]
  /** Lines that may have input, and what else waits for the next step. */
  private readonly ready = new Set<number>()
  private events: PairEvent[] = []
  private readonly outgoing: number[][]
  private time = 0
  private readonly hostStart: number
  private checkpoint: PairSnapshot | undefined
  /** Steps since the checkpoint. */
  private log: PairStep[] = []

  constructor(config: LockstepConfig) {
    this.config = config
    this.pair = new Pair(config)
    this.backends = config.serial ?? []
    this.hostStart = config.hostNow?.() ?? 0
    this.outgoing = this.backends.map(() => [])
    this.serial = this.pair.interpreted.serial.map((_, line) => this.portOf(line))
  }

  get interpreted(): Machine { return this.pair.interpreted }
  get translated(): Machine { return this.pair.translated }
  get clock(): Machine['clock'] { return this.interpreted.clock }
  get retired(): number { return this.interpreted.retired }
  get figures(): Machine['figures'] { return this.translated.figures }
  describe(): string { return this.interpreted.describe() }
  powerButton(): void { this.events.push({ kind: 'power-button' }) }

  boot(config: BootConfig): void { this.pair.boot(config) }

  /**
   * Runs both for one step and compares them.
   * @throws TenonError LOCKSTEP_DIVERGED.
   */
  run(): RunOutcome {
    if (!this.sendOutput()) return { state: 'halted', wakeAt: this.clock.now() + OUTPUT_WAIT, interruptible: true }
    const { stepsPerCheckpoint = STEPS_PER_CHECKPOINT, step = STEP } = this.config
    if (this.checkpoint === undefined || this.log.length >= stepsPerCheckpoint) this.saveCheckpoint()
    const next = { time: this.timeNow(), events: this.takeEvents(), instructions: step }
    this.log.push(next)
    this.pair.begin(next)
    const before = this.retired
    const outcome = this.interpreted.runExactly(step)
    const other = this.translated.runExactly(step)
    this.check(compareOutcomes(outcome, other), compareParts(this.interpreted, this.translated), this.collectOutput())
    if (outcome.state === 'ended') this.check(compareMemory(this.interpreted, this.translated))
    this.passTime(this.retired - before, outcome)
    this.sendOutput()
    return outcome
  }

  /** Time for the next step. Whole nanoseconds, so that pausing a clock and starting it changes nothing. */
  private timeNow(): number {
    const { hostNow } = this.config
    return hostNow === undefined ? this.time : Math.floor(hostNow() - this.hostStart)
  }

  private passTime(instructions: number, outcome: RunOutcome): void {
    const wait = outcome.state === 'halted' && outcome.wakeAt !== Infinity ? Math.ceil(outcome.wakeAt - this.clock.now()) : 0
    this.time += Math.max(instructions, wait)
  }

  private saveCheckpoint(): void {
    if (this.checkpoint !== undefined) this.check(compareMemory(this.interpreted, this.translated))
    this.checkpoint = this.pair.save()
    this.log = []
  }

  private takeEvents(): PairEvent[] {
    const events = this.events
    this.events = []
    for (const line of this.ready) {
      const bytes = this.receive(line)
      if (bytes.length < MAXIMUM_INPUT) this.ready.delete(line)
      if (bytes.length > 0) events.push({ kind: 'input', line, bytes })
    }
    return events
  }

  private receive(line: number): number[] {
    const bytes: number[] = []
    while (bytes.length < MAXIMUM_INPUT) {
      const byte = this.backends[line]?.receive() ?? -1
      if (byte < 0) break
      bytes.push(byte)
    }
    return bytes
  }

  private collectOutput(): Differences {
    return this.serial.flatMap((_, line) => {
      const { bytes, differences } = this.pair.output(line)
      this.outgoing[line]?.push(...bytes)
      return differences
    })
  }

  /** Whether the back ends have taken all. */
  private sendOutput(): boolean {
    this.outgoing.forEach((bytes, line) => {
      let sent = 0
      while (sent < bytes.length && this.backends[line].transmit(bytes[sent])) sent++
      bytes.splice(0, sent)
    })
    return this.outgoing.every(({ length }) => length === 0)
  }

  private portOf(line: number): SerialPort {
    return {
      transmitReady: () => undefined,
      receiveReady: () => { this.ready.add(line) },
      receiveBreak: () => false,
      setModemInputs: (levels) => { this.events.push({ kind: 'modem', line, levels }) },
    }
  }

  private check(...differences: Differences[]): void {
    const all = differences.flat()
    if (all.length === 0) return
    const { memory } = this.config
    throw new TenonError<LockstepErrorCode>('LOCKSTEP_DIVERGED', [
      'translated code does something else than interpreted code: this is a fault of Tenon, please report it with what follows',
      `found before instruction ${this.retired}, ${this.describe()}`,
      `processor ${this.interpreted.cpu}, ${memory / 2 ** 20} MiB of memory; differences are written as place: interpreted, translated`,
      ...all, ...this.diagnose(),
    ].join('\n'))
  }

  /** A search that fails must not take away what is known. */
  private diagnose(): string[] {
    if (this.checkpoint === undefined) return []
    try {
      return diagnose(this.config, this.checkpoint, this.log)
    } catch (error) {
      return [`the search for the instruction failed: ${String(error)}`]
    }
  }
}

function compareOutcomes(a: RunOutcome, b: RunOutcome): Differences {
  const [left, right] = [JSON.stringify(a), JSON.stringify(b)]
  return left === right ? [] : [`outcome: ${left}, ${right}`]
}
