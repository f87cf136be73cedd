/** A machine's figures on their way to the main thread: numbers in shared memory, written by the machine's thread now and then. */
import type { EngineFigures } from '../../cpu/interpreter/figures.ts'

export interface MachineStatistics extends EngineFigures {
  /** How long the machine's thread has run guest code or devices, in milliseconds. */
  readonly busyMilliseconds: number
}

const NAMES: readonly (keyof MachineStatistics)[] = [
  'busyMilliseconds', 'instructions', 'translated', 'regionsMade', 'regionInstructions', 'regionsLive', 'regionsRemoved', 'regionEntries',
  'regionMisses', 'pageChecks', 'emitMilliseconds', 'compileMilliseconds', 'tlbMisses', 'jumpMisses', 'decoded', 'invalidations',
]
export const STATISTICS_SIZE = NAMES.length * 8

export class SharedStatistics {
  readonly #numbers: Float64Array

  constructor(memory: SharedArrayBuffer, offset: number) { this.#numbers = new Float64Array(memory, offset, NAMES.length) }

  write(statistics: MachineStatistics): void {
    NAMES.forEach((name, index) => { this.#numbers[index] = statistics[name] })
  }

  read(): MachineStatistics {
    return Object.fromEntries(NAMES.map((name, index) => [name, this.#numbers[index]])) as unknown as MachineStatistics
  }
}
