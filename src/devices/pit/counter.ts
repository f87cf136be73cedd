import { StateReader } from '../../machine/state-reader.ts'
import { fromBcd, toBcd } from '../bcd.ts'

/**
 * One counter of the 8254, in clock ticks since power-on. It holds no running count: the count and OUT are computed from the tick
 * at which counting began. Source: Intel 8254 data sheet (231164-005), "Mode Definitions".
 */
export type CounterState = {
  readonly mode: number, readonly bcd: boolean
  /** 1: low byte, 2: high byte, 3: low then high. */
  readonly access: number
  readonly gate: boolean
  /** The count loaded last, 1 to 65536, and the one to load at the period's end; 0 for none. */
  readonly count: number, readonly nextCount: number
  /** Tick at which `count` was loaded; the ticks counted before a gate stopped it, or null while it runs. */
  readonly start: number, readonly stoppedAfter: number | null
  /** Waiting for a trigger (modes 1 and 5) or for a count. */
  readonly armed: boolean
  readonly lowWritten: number | null
  readonly highByteNext: boolean
  readonly latchedCount: number | null, readonly latchedStatus: number | null
}

const NEVER = Infinity

export class PitCounter {
  private mode = 3
  private bcd = false
  private access = 3
  private gate: boolean
  private count = 0
  private nextCount = 0
  private start = 0
  private stoppedAfter: number | null = null
  private armed = false
  private lowWritten: number | null = null
  private highByteNext = false
  private latchedCount: number | null = null
  private latchedStatus: number | null = null
  private readonly initialGate: boolean

  constructor(initialGate: boolean) {
    this.initialGate = initialGate
    this.gate = initialGate
  }

  reset(): void {
    this.mode = this.access = 3
    this.count = this.nextCount = this.start = 0
    this.bcd = this.armed = this.highByteNext = false
    this.stoppedAfter = this.lowWritten = this.latchedCount = this.latchedStatus = null
    this.gate = this.initialGate
  }

  /** Control word: access 1 to 3, mode 0 to 7 (6 and 7 are 2 and 3). Counting stops until a count is written. */
  setControl(access: number, mode: number, bcd: boolean): void {
    this.access = access
    this.mode = mode > 5 ? mode - 4 : mode
    this.bcd = bcd
    this.count = this.nextCount = 0
    this.armed = this.highByteNext = false
    this.stoppedAfter = this.lowWritten = this.latchedCount = this.latchedStatus = null
  }

  writeByte(tick: number, value: number): void {
    if (this.access === 1) this.writeCount(tick, value)
    else if (this.access === 2) this.writeCount(tick, value << 8)
    else if (this.lowWritten === null) this.writeLow(value)
    else {
      const low = this.lowWritten
      this.lowWritten = null
      this.writeCount(tick, value << 8 | low)
    }
  }

  readByte(tick: number): number {
    if (this.latchedStatus !== null) {
      const status = this.latchedStatus
      this.latchedStatus = null
      return status
    }
    const count = this.latchedCount ?? this.currentCount(tick)
    const high = this.access === 2 || this.access === 3 && this.highByteNext
    if (this.access === 3) this.highByteNext = !this.highByteNext
    if (!this.highByteNext) this.latchedCount = null
    return high ? count >> 8 & 0xff : count & 0xff
  }

  /** A second latch before the first is read is ignored. */
  latchCount(tick: number): void { this.latchedCount ??= this.currentCount(tick) }

  /** Read-back status: OUT, NULL COUNT, RW, mode, BCD. */
  latchStatus(tick: number): void {
    const nullCount = this.count === 0 || this.nextCount !== 0 || tick < this.start
    this.latchedStatus ??= (this.output(tick) ? 0x80 : 0) | (nullCount ? 0x40 : 0)
      | this.access << 4 | this.mode << 1 | (this.bcd ? 1 : 0)
  }

  setGate(tick: number, gate: boolean): void {
    if (gate === this.gate) return
    this.settle(tick)
    this.gate = gate
    if (this.mode === 1 || this.mode === 5) {
      if (gate && this.count > 0) this.begin(tick)
    } else if (!gate) this.stoppedAfter = this.elapsed(tick)
    else if (this.mode === 2 || this.mode === 3) this.begin(tick)
    else if (this.stoppedAfter !== null) this.resume(tick)
  }

  /** The level of OUT. */
  output(tick: number): boolean {
    this.settle(tick)
    if (this.count === 0) return this.mode !== 0
    const elapsed = this.elapsed(tick)
    switch (this.mode) {
      case 0: return elapsed >= this.count
      case 1: return !this.armed || elapsed >= this.count || tick < this.start
      case 2: return this.stopped || elapsed % this.count !== this.count - 1
      case 3: return this.stopped || elapsed % this.count < Math.ceil(this.count / 2)
      default: return !this.armed || elapsed !== this.count
    }
  }

  /**
   * The next tick after `tick` at which OUT rises, Infinity if it will not unless something is written. In the periodic modes those
   * that come less than `shortest` ticks apart are left out.
   */
  nextRise(tick: number, shortest: number): number {
    this.settle(tick)
    if (this.count === 0 || this.stopped) return NEVER
    if (this.period > 0) {
      const step = this.nextCount === 0 ? this.count * Math.ceil(shortest / this.count) : this.count
      return this.start + (Math.floor(Math.max(0, tick - this.start) / step) + 1) * step
    }
    if (this.mode !== 0 && !this.armed) return NEVER
    const rise = this.start + this.count + (this.mode >= 4 ? 1 : 0)
    return rise > tick ? rise : NEVER
  }

  /** Ticks from one rise to the next in the periodic modes; 0 in the others. */
  get period(): number { return this.mode === 2 || this.mode === 3 ? this.count : 0 }

  save(): CounterState {
    return {
      mode: this.mode, bcd: this.bcd, access: this.access, gate: this.gate, count: this.count, nextCount: this.nextCount,
      start: this.start, stoppedAfter: this.stoppedAfter, armed: this.armed, lowWritten: this.lowWritten,
      highByteNext: this.highByteNext, latchedCount: this.latchedCount, latchedStatus: this.latchedStatus,
    }
  }

  restore(state: StateReader): void {
    this.mode = state.integer('mode', 0, 5)
    this.bcd = state.boolean('bcd')
    this.access = state.integer('access', 1, 3)
    this.gate = state.boolean('gate')
    this.count = state.integer('count', 0, 65536)
    this.nextCount = state.integer('nextCount', 0, 65536)
    this.start = state.integer('start', 0, Number.MAX_SAFE_INTEGER)
    this.stoppedAfter = integerOrNull(state, 'stoppedAfter', Number.MAX_SAFE_INTEGER)
    this.armed = state.boolean('armed')
    this.lowWritten = integerOrNull(state, 'lowWritten', 0xff)
    this.highByteNext = state.boolean('highByteNext')
    this.latchedCount = integerOrNull(state, 'latchedCount', 0xffff)
    this.latchedStatus = integerOrNull(state, 'latchedStatus', 0xff)
  }

  private get stopped(): boolean { return this.stoppedAfter !== null }

  /** In mode 0 the first byte stops the count. */
  private writeLow(value: number): void {
    this.lowWritten = value
    if (this.mode === 0) this.count = 0
  }

  private writeCount(tick: number, written: number): void {
    this.settle(tick)
    const value = this.bcd ? fromBcd(written) : written
    const count = value || (this.bcd ? 10000 : 65536)
    const running = this.count !== 0
    switch (this.mode) {
      case 0: case 4:
        this.count = count
        this.begin(tick)
        if (!this.gate) this.stoppedAfter = 0
        break
      case 1: case 5: this.writeTriggered(count); break
      default: this.writePeriod(tick, count, running)
    }
  }

  /** Modes 1 and 5 take a new count at the next trigger. */
  private writeTriggered(count: number): void {
    if (this.armed) this.nextCount = count
    else this.count = count
  }

  /** Modes 2 and 3 take a new count at the period's end. A count of 1 is illegal: the shortest period is 2. */
  private writePeriod(tick: number, count: number, running: boolean): void {
    const period = Math.max(2, count)
    if (running && !this.stopped) {
      this.start += Math.floor(this.elapsed(tick) / this.count) * this.count
      this.nextCount = period
      return
    }
    this.count = period
    this.begin(tick)
    if (!this.gate) this.stoppedAfter = 0
  }

  /** Loads the count at the next tick of the clock and starts counting. */
  private begin(tick: number): void {
    if (this.nextCount !== 0) this.count = this.nextCount
    this.nextCount = 0
    this.start = tick + 1
    this.stoppedAfter = null
    this.armed = true
  }

  private resume(tick: number): void {
    this.start = tick - (this.stoppedAfter ?? 0)
    this.stoppedAfter = null
  }

  private elapsed(tick: number): number { return this.stoppedAfter ?? Math.max(0, tick - this.start) }

  /** Lets a period that has ended since take its new count. */
  private settle(tick: number): void {
    if (this.nextCount === 0 || this.stopped || this.mode !== 2 && this.mode !== 3) return
    const elapsed = tick - this.start
    if (elapsed < this.count) return
    // `start` is that of the period in which the new count was written: the next one is its first.
    this.start += this.count
    this.count = this.nextCount
    this.nextCount = 0
  }

  private currentCount(tick: number): number {
    this.settle(tick)
    if (this.count === 0) return 0
    const elapsed = this.elapsed(tick)
    const modulus = this.bcd ? 10000 : 65536
    const left = this.leftAfter(elapsed)
    const value = (left % modulus + modulus) % modulus
    return this.bcd ? toBcd(value) : value
  }

  /** Mode 3 counts down by two, twice a period. */
  private leftAfter(elapsed: number): number {
    if (this.mode === 2) return this.count - elapsed % this.count
    if (this.mode !== 3) return this.armed ? this.count - elapsed : this.count
    const phase = elapsed % this.count
    const half = Math.ceil(this.count / 2)
    const even = this.count - this.count % 2
    return even - 2 * (phase < half ? phase : phase - half)
  }
}

function integerOrNull(state: StateReader, name: string, maximum: number): number | null {
  return state.timeOrNever(name) === Infinity ? null : state.integer(name, 0, maximum)
}
