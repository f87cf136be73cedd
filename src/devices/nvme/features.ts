import type { StateReader } from '../../machine/state-reader.ts'
import { IO_QUEUES, VECTORS } from './limits.ts'
import { Status } from './status.ts'

/**
 * Features: what Set Features changes and Get Features reads. Source: NVM Express Base Specification 1.4, §5.21.1.
 *
 *   01h Arbitration                 burst 2:0 (2^n commands, 7 without limit), weights
 *   02h Power Management            only state 0
 *   04h Temperature Threshold       kelvin 15:0, sensor 19:16, 0 over or 1 under 21:20
 *   05h Error Recovery              kept
 *   06h Volatile Write Cache        WCE 0; cleared, each write is on stable storage before it is completed
 *   07h Number of Queues            fixed before the first I/O queue is created
 *   08h Interrupt Coalescing        kept: what a controller may wait, ours never does
 *   09h Interrupt Vector Configuration   vector 15:0, no coalescing 16; kept
 *   0ah Write Atomicity Normal      kept
 *   0bh Asynchronous Event Configuration  critical warnings 7:0
 *
 * Left out on purpose: saving features, and those for which Identify claims nothing.
 */
export const Feature = {
  ARBITRATION: 0x01, POWER_MANAGEMENT: 0x02, TEMPERATURE_THRESHOLD: 0x04, ERROR_RECOVERY: 0x05, VOLATILE_WRITE_CACHE: 0x06,
  NUMBER_OF_QUEUES: 0x07, INTERRUPT_COALESCING: 0x08, INTERRUPT_VECTOR_CONFIGURATION: 0x09, WRITE_ATOMICITY: 0x0a,
  ASYNCHRONOUS_EVENT_CONFIGURATION: 0x0b,
} as const

/** Composite temperature in kelvin. A disk of ours has none; this is a cool one. */
export const TEMPERATURE = 298
const DEFAULT_OVER_THRESHOLD = 343
const NO_LIMIT_BURST = 7
/** Features that are one number, and the bits of it that mean something. */
const PLAIN = new Map<number, number>([
  [Feature.ARBITRATION, 0xffffff07], [Feature.ERROR_RECOVERY, 0xffff], [Feature.VOLATILE_WRITE_CACHE, 1],
  [Feature.INTERRUPT_COALESCING, 0xffff], [Feature.WRITE_ATOMICITY, 1], [Feature.ASYNCHRONOUS_EVENT_CONFIGURATION, 0xff],
])
const ALL_QUEUES = (IO_QUEUES - 1) * 0x10001

export interface FeatureAnswer {
  readonly status: number
  /** Dword 0 of the completion. */
  readonly result: number
}

const refused = (status: number): FeatureAnswer => ({ status, result: 0 })
const answer = (result: number): FeatureAnswer => ({ status: Status.SUCCESS, result })

export class Features {
  private readonly plain = new Map<number, number>()
  private readonly vectors = new Uint8Array(VECTORS)
  private readonly thresholds = new Uint16Array(2)

  constructor() { this.reset() }

  get writeCache(): boolean { return this.plain.get(Feature.VOLATILE_WRITE_CACHE) === 1 }

  /** Commands that are taken from one queue before the next has its turn. */
  get burst(): number {
    const burst = this.plain.get(Feature.ARBITRATION)! & 7
    return burst === NO_LIMIT_BURST ? Infinity : 1 << burst
  }

  /** Bits of the critical warning that the temperature sets: SMART log page, byte 0. */
  get criticalWarning(): number { return TEMPERATURE >= this.thresholds[0] || TEMPERATURE <= this.thresholds[1] ? 2 : 0 }

  /** Those that are to be told as an asynchronous event. */
  get reportedWarning(): number { return this.criticalWarning & this.plain.get(Feature.ASYNCHRONOUS_EVENT_CONFIGURATION)! }

  get(feature: number, value: number): FeatureAnswer {
    const plain = this.plain.get(feature)
    if (plain !== undefined) return answer(plain)
    switch (feature) {
      case Feature.POWER_MANAGEMENT: return answer(0)
      case Feature.NUMBER_OF_QUEUES: return answer(ALL_QUEUES)
      case Feature.TEMPERATURE_THRESHOLD: return this.threshold(value)
      case Feature.INTERRUPT_VECTOR_CONFIGURATION: return this.vector(value & 0xffff)
      default: return refused(Status.INVALID_FIELD)
    }
  }

  /** `hasQueues`: there are I/O queues already. */
  set(feature: number, value: number, hasQueues: boolean): FeatureAnswer {
    const mask = PLAIN.get(feature)
    if (mask !== undefined) {
      this.plain.set(feature, (value & mask) >>> 0)
      return answer(0)
    }
    switch (feature) {
      case Feature.POWER_MANAGEMENT: return (value & 0x1f) === 0 ? answer(0) : refused(Status.INVALID_FIELD)
      case Feature.NUMBER_OF_QUEUES: return this.setQueues(value, hasQueues)
      case Feature.TEMPERATURE_THRESHOLD: return this.setThreshold(value)
      case Feature.INTERRUPT_VECTOR_CONFIGURATION: return this.setVector(value)
      default: return refused(Status.INVALID_FIELD)
    }
  }

  reset(): void {
    for (const feature of PLAIN.keys()) this.plain.set(feature, 0)
    this.plain.set(Feature.ARBITRATION, NO_LIMIT_BURST)
    this.plain.set(Feature.VOLATILE_WRITE_CACHE, 1)
    this.vectors.fill(0)
    this.thresholds.set([DEFAULT_OVER_THRESHOLD, 0])
  }

  save(): { plain: number[], vectors: number[], thresholds: number[] } {
    const plain = Array.from(PLAIN.keys(), (feature) => this.plain.get(feature)!)
    return { plain, vectors: Array.from(this.vectors), thresholds: Array.from(this.thresholds) }
  }

  restore(state: StateReader): void {
    const plain = state.integers('plain', PLAIN.size, 0, 0xffffffff)
    Array.from(PLAIN).forEach(([feature, mask], index) => this.plain.set(feature, (plain[index] & mask) >>> 0))
    this.vectors.set(state.integers('vectors', VECTORS, 0, 1))
    this.thresholds.set(state.integers('thresholds', 2, 0, 0xffff))
  }

  private setQueues(value: number, hasQueues: boolean): FeatureAnswer {
    if ((value & 0xffff) === 0xffff || value >>> 16 === 0xffff) return refused(Status.INVALID_FIELD)
    return hasQueues ? refused(Status.COMMAND_SEQUENCE_ERROR) : answer(ALL_QUEUES)
  }

  private threshold(value: number): FeatureAnswer {
    const [sensor, type] = [value >>> 16 & 0xf, value >>> 20 & 3]
    return sensor === 0 && type < 2 ? answer(this.thresholds[type]) : refused(Status.INVALID_FIELD)
  }

  private setThreshold(value: number): FeatureAnswer {
    const [sensor, type] = [value >>> 16 & 0xf, value >>> 20 & 3]
    if (sensor !== 0 && sensor !== 0xf || type > 1) return refused(Status.INVALID_FIELD)
    this.thresholds[type] = value & 0xffff
    return answer(0)
  }

  private vector(vector: number): FeatureAnswer {
    return vector < VECTORS ? answer(vector | this.vectors[vector] << 16) : refused(Status.INVALID_FIELD)
  }

  private setVector(value: number): FeatureAnswer {
    if ((value & 0xffff) >= VECTORS) return refused(Status.INVALID_FIELD)
    this.vectors[value & 0xffff] = value >>> 16 & 1
    return answer(0)
  }
}
