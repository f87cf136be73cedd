/**
 * Two machines of one configuration in lockstep: one interprets, the other translates hot code. They run in turn for the same number of
 * instructions, see the same time, input and random numbers, and must then be the same in every register, device and byte of RAM.
 */
import { TenonError } from '../../base/errors.ts'
import type { RegionCompiler } from '../../cpu/translator/compiler.ts'
import { Machine } from '../machine.ts'
import type { BootConfig, MachineConfig, RunOutcome } from '../machine.ts'
import { compareMemory, compareParts } from './compare.ts'
import type { Differences } from './compare.ts'

/** LOCKSTEP_DIVERGED: the machines differ; the message says where. */
export type LockstepErrorCode = 'LOCKSTEP_DIVERGED'

export interface LockstepConfig extends Pick<MachineConfig, 'memory' | 'engine' | 'wallClock' | 'translationThreshold'> {
  /** The compiler of the machine that translates. */
  readonly compiler: RegionCompiler
  /** What the guest sends to COM1, once for both. */
  readonly transmit: (byte: number) => void
  /** Instructions between two comparisons of the processors and devices. */
  readonly step?: number
  /** Steps between two comparisons of RAM. */
  readonly stepsPerMemory?: number
}

const STEP = 20_000
const STEPS_PER_MEMORY = 256

interface Side { readonly machine: Machine; readonly input: number[]; readonly output: number[] }

export class Lockstep {
  readonly interpreted: Machine
  readonly translated: Machine
  private readonly sides: readonly [Side, Side]
  private readonly config: LockstepConfig
  private hostTime = 0
  private steps = 0

  constructor(config: LockstepConfig) {
    this.config = config
    this.sides = [this.side(), this.side(config.compiler)]
    this.interpreted = this.sides[0].machine
    this.translated = this.sides[1].machine
  }

  boot(config: BootConfig): void { for (const { machine } of this.sides) machine.boot(config) }

  /** Types at COM1 of both. */
  type(text: string): void {
    for (const { machine, input } of this.sides) {
      for (const character of text) input.push(character.charCodeAt(0))
      machine.serial[0].receiveReady()
    }
  }

  /**
   * Runs both for one step and compares them. What a halted machine waits for comes at once; false: it has ended, or waits for input.
   * @throws TenonError LOCKSTEP_DIVERGED.
   */
  step(): boolean {
    const { step = STEP, stepsPerMemory = STEPS_PER_MEMORY } = this.config
    const before = this.interpreted.retired
    const [outcome, other] = this.sides.map(({ machine }) => machine.runExactly(step))
    this.check(before, compareOutcomes(outcome, other), compareParts(this.interpreted, this.translated), this.compareOutput())
    const isOver = outcome.state === 'ended' || (outcome.state === 'halted' && outcome.wakeAt === Infinity)
    if (isOver || ++this.steps % stepsPerMemory === 0) this.check(before, compareMemory(this.interpreted, this.translated))
    this.hostTime += this.interpreted.retired - before
    if (outcome.state === 'halted' && !isOver) this.hostTime += Math.max(0, outcome.wakeAt - this.interpreted.clock.now())
    return !isOver
  }

  private side(compiler?: RegionCompiler): Side {
    const { memory, engine, wallClock, translationThreshold } = this.config
    const input: number[] = []
    const output: number[] = []
    let random = 1
    const machine = new Machine({
      memory, engine, wallClock, compiler, translationThreshold,
      serial: [{ transmit: (byte) => output.push(byte) > 0, receive: () => input.shift() ?? -1 }],
      hostNow: () => this.hostTime,
      random: () => random = Math.imul(random, 0x41c64e6d) + 12345 >>> 0,
    })
    return { machine, input, output }
  }

  private compareOutput(): Differences {
    const [ours, theirs] = this.sides.map(({ output }) => String.fromCharCode(...output.splice(0)))
    if (ours !== theirs) return [`COM1: ${JSON.stringify(ours)}, ${JSON.stringify(theirs)}`]
    for (const character of ours) this.config.transmit(character.charCodeAt(0))
    return []
  }

  private check(before: number, ...differences: Differences[]): void {
    const all = differences.flat()
    if (all.length === 0) return
    throw new TenonError<LockstepErrorCode>('LOCKSTEP_DIVERGED',
      `interpreted and translated code differ within ${this.interpreted.retired - before} instructions after instruction ${before} `
      + `(interpreted: ${this.interpreted.describe()}; please report it):\n${all.join('\n')}`)
  }
}

function compareOutcomes(a: RunOutcome, b: RunOutcome): Differences {
  const [left, right] = [JSON.stringify(a), JSON.stringify(b)]
  return left === right ? [] : [`outcome: ${left}, ${right}`]
}
