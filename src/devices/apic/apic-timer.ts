import type { Clock, Timer } from '../../machine/clock.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { SHORTEST_PERIOD } from '../ticks.ts'

/**
 * The local APIC's timer: one-shot, periodic and TSC-deadline. Source: SDM Vol. 3A §11.5.4.
 *
 * Its clock, before the divider, is APIC_TIMER_HZ. Periods shorter than 10 us are served every 10 us.
 */
export const APIC_TIMER_HZ = 1e9
const NANOSECONDS_PER_TICK = 1e9 / APIC_TIMER_HZ

export const TimerMode = { ONE_SHOT: 0, PERIODIC: 1, TSC_DEADLINE: 2 } as const

export type ApicTimerState = {
  readonly mode: number, readonly divide: number, readonly initialCount: number
  /** Virtual time at which the count was `initialCount`; null while nothing counts. */
  readonly start: number | null
  readonly tscDeadline: bigint
  /** Virtual time of the next expiry; null for none. */
  readonly expiry: number | null
}

export class ApicTimer {
  private readonly clock: Clock
  private readonly timer: Timer
  private readonly onExpire: () => void
  private readonly timeOfTsc: (tsc: bigint) => number
  private mode: number = TimerMode.ONE_SHOT
  private divide = 0
  private initial = 0
  private start = Infinity
  private deadline = 0n

  /** `timeOfTsc` tells the virtual time at which the guest's TSC has a value. */
  constructor(clock: Clock, timeOfTsc: (tsc: bigint) => number, onExpire: () => void) {
    this.clock = clock
    this.timeOfTsc = timeOfTsc
    this.onExpire = onExpire
    this.timer = clock.timer(() => this.expire())
  }

  get initialCount(): number { return this.initial }
  get divideConfiguration(): number { return this.divide }
  /** 0 while disarmed, and after it has passed. */
  get tscDeadline(): bigint { return this.deadline }
  get usesTscDeadline(): boolean { return this.mode === TimerMode.TSC_DEADLINE }

  get currentCount(): number {
    if (this.start === Infinity) return 0
    const elapsed = Math.max(0, Math.floor((this.clock.now() - this.start) / this.tick))
    if (this.mode === TimerMode.PERIODIC) return this.initial - elapsed % this.initial
    return Math.max(0, this.initial - elapsed)
  }

  /** Changing to or from TSC-deadline mode disarms the timer. The reserved mode 3 counts as one-shot. */
  setMode(bits: number): void {
    const mode = bits === 3 ? TimerMode.ONE_SHOT : bits
    if (mode === this.mode) return
    const count = this.currentCount
    if (mode === TimerMode.TSC_DEADLINE || this.mode === TimerMode.TSC_DEADLINE) this.stop()
    this.mode = mode
    this.restart(count)
  }

  setInitialCount(count: number): void {
    if (this.usesTscDeadline) return
    this.initial = count
    this.start = count === 0 ? Infinity : this.clock.now()
    this.schedule()
  }

  /** Bits 3, 1 and 0. The count goes on from where it is. */
  setDivide(configuration: number): void {
    const count = this.currentCount
    this.divide = configuration & 0x0b
    this.restart(count)
  }

  /** IA32_TSC_DEADLINE; ignored in the other modes. */
  setTscDeadline(tsc: bigint): void {
    if (!this.usesTscDeadline) return
    this.deadline = tsc
    this.schedule()
  }

  /** The relation between TSC and virtual time has changed. */
  tscChanged(): void { if (this.usesTscDeadline) this.schedule() }

  reset(): void {
    this.stop()
    this.mode = TimerMode.ONE_SHOT
    this.divide = 0
  }

  save(): ApicTimerState {
    return {
      mode: this.mode, divide: this.divide, initialCount: this.initial,
      start: this.start === Infinity ? null : this.start, tscDeadline: this.deadline,
      expiry: this.timer.deadline === Infinity ? null : this.timer.deadline,
    }
  }

  restore(state: StateReader): void {
    this.mode = state.integer('mode', 0, 2)
    this.divide = state.u8('divide') & 0x0b
    this.initial = state.u32('initialCount')
    this.start = this.initial === 0 ? Infinity : state.timeOrNever('start')
    this.deadline = state.bigint('tscDeadline', 2n ** 64n - 1n)
    this.arm(state.timeOrNever('expiry'))
  }

  /** Nanoseconds per count. Divide configuration 0 to 6 are 2 to 128, 7 is 1 (figure 11-10). */
  private get tick(): number {
    const code = this.divide >> 1 & 4 | this.divide & 3
    return NANOSECONDS_PER_TICK * (code === 7 ? 1 : 2 << code)
  }

  private stop(): void {
    this.initial = 0
    this.start = Infinity
    this.deadline = 0n
    this.timer.disarm()
  }

  /** Lets a running count go on at `count` under a changed mode or divider. */
  private restart(count: number): void {
    if (this.start === Infinity) return
    this.start = Math.max(0, this.clock.now() - (this.initial - count) * this.tick)
    this.schedule()
  }

  private schedule(): void {
    this.arm(this.usesTscDeadline ? this.deadlineTime() : this.countEnd())
  }

  private arm(expiry: number): void {
    if (expiry === Infinity) this.timer.disarm()
    else this.timer.arm(expiry)
  }

  private deadlineTime(): number { return this.deadline === 0n ? Infinity : Math.max(0, this.timeOfTsc(this.deadline)) }

  private countEnd(): number {
    if (this.start === Infinity) return Infinity
    const period = this.initial * this.tick
    if (this.mode !== TimerMode.PERIODIC) return this.start + period
    const served = period * Math.ceil(SHORTEST_PERIOD / period)
    const passed = Math.floor(Math.max(0, this.clock.now() - this.start) / served)
    return this.start + (passed + 1) * served
  }

  private expire(): void {
    if (this.usesTscDeadline) this.deadline = 0n
    else if (this.mode === TimerMode.ONE_SHOT) this.start = Infinity
    this.schedule()
    this.onExpire()
  }
}
