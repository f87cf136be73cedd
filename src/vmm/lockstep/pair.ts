/**
 * Two machines of one configuration that see the same time, input and random numbers: one interprets, the other translates hot code.
 * Whatever comes from outside comes between steps, and to both.
 */
import type { RegionCompiler } from '../../cpu/translator/compiler.ts'
import { Machine } from '../machine.ts'
import type { BootConfig, MachineConfig } from '../machine.ts'
import type { MachineSnapshot } from '../snapshot/snapshot.ts'
import type { Differences } from './compare.ts'

export interface PairConfig extends Pick<MachineConfig, 'memory' | 'engine' | 'cpu' | 'translationThreshold'> {
  /** Makes the compiler of the machine that translates. */
  readonly compiler: () => RegionCompiler
  /** Milliseconds since 1970 at time 0. */
  readonly startTime: number
}

/** What reaches both machines before a step. */
export type PairEvent =
  | { readonly kind: 'input', readonly line: number, readonly bytes: readonly number[] }
  | { readonly kind: 'modem', readonly line: number, readonly levels: number }
  | { readonly kind: 'power-button' }

/** A step: the time it begins at (whole nanoseconds), what comes before it, and its instructions. */
export interface PairStep { readonly time: number, readonly events: readonly PairEvent[], readonly instructions: number }

/** Where a pair can be taken up again, while both are the same. */
export interface PairSnapshot {
  readonly machine: MachineSnapshot
  readonly time: number
  readonly random: number
  readonly inputs: readonly (readonly number[])[]
}

const LINES = 4

interface Side { readonly machine: Machine, random: number, readonly inputs: number[][], readonly outputs: number[][] }

export class Pair {
  readonly interpreted: Machine
  readonly translated: Machine
  private readonly config: PairConfig
  private readonly sides: readonly [Side, Side]
  private time = 0

  constructor(config: PairConfig) {
    this.config = config
    this.sides = [this.side(), this.side(config.compiler())]
    this.interpreted = this.sides[0].machine
    this.translated = this.sides[1].machine
  }

  boot(config: BootConfig): void { for (const { machine } of this.sides) machine.boot(config) }

  /** Lets time pass, and what comes from outside reach both. */
  begin({ time, events }: Omit<PairStep, 'instructions'>): void {
    this.time = time
    for (const event of events) for (const side of this.sides) deliver(side, event)
  }

  /** What both sent on a line since the last call; where they differ, that. */
  output(line: number): { readonly bytes: readonly number[], readonly differences: Differences } {
    const [ours, theirs] = this.sides.map(({ outputs }) => outputs[line].splice(0))
    const [left, right] = [ours, theirs].map((bytes) => JSON.stringify(String.fromCharCode(...bytes)))
    return { bytes: ours, differences: left === right ? [] : [`COM${line + 1}: ${left}, ${right}`] }
  }

  save(): PairSnapshot {
    const [{ machine, random, inputs }, other] = this.sides
    other.machine.pause()
    return { machine: machine.save(), time: this.time, random, inputs: inputs.map((input) => [...input]) }
  }

  /** Makes both of a fresh pair what `save` saw. */
  restore(snapshot: PairSnapshot): void {
    this.time = snapshot.time
    for (const side of this.sides) {
      side.random = snapshot.random
      snapshot.inputs.forEach((input, line) => side.inputs[line].push(...input))
      side.machine.restore(snapshot.machine)
    }
  }

  private side(compiler?: RegionCompiler): Side {
    const { memory, engine, cpu, translationThreshold, startTime } = this.config
    const inputs = Array.from({ length: LINES }, (): number[] => [])
    const outputs = Array.from({ length: LINES }, (): number[] => [])
    const machine = new Machine({
      memory, engine, cpu, compiler, translationThreshold,
      serial: inputs.map((input, line) => ({
        transmit: (byte) => outputs[line].push(byte) > 0,
        receive: () => input.shift() ?? -1,
      })),
      hostNow: () => this.time,
      wallClock: () => startTime + Math.floor(this.time / 1e6),
      random: () => side.random = Math.imul(side.random, 0x41c64e6d) + 12345 >>> 0,
    })
    const side: Side = { machine, random: 1, inputs, outputs }
    return side
  }
}

function deliver({ machine, inputs }: Side, event: PairEvent): void {
  switch (event.kind) {
    case 'input':
      inputs[event.line].push(...event.bytes)
      return machine.serial[event.line].receiveReady()
    case 'modem': return machine.serial[event.line].setModemInputs(event.levels)
    case 'power-button': return machine.powerButton()
  }
}
