import type { Clock, Timer } from '../../machine/clock.ts'
import type { InterruptLine } from '../../machine/interrupts.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { ByteDevice } from '../bus/byte-device.ts'
import { PIT_RATE, SHORTEST_PERIOD } from '../ticks.ts'
import { PitCounter } from './counter.ts'
import type { CounterState } from './counter.ts'

/**
 * 8254 programmable interval timer, clocked at 1.193182 MHz. Source: Intel 8254 data sheet (231164-005).
 *
 *   0, 1, 2  counter 0 to 2 (read: latched status, latched count or count; write: count)
 *   3        control word (write): SC 7:6, RW 5:4, M 3:1, BCD 0; SC = 3 is the read-back command
 *
 * Counter 0's OUT is the output line. Counter 2 has its GATE and OUT at system control port B (system-control-port-b.ts).
 *
 * Left out on purpose: in modes 2 and 3 the output line's low part is not held but passes in no time at each period's end, which
 * makes one event of two; periods shorter than 10 us are served every 10 us.
 */
/** `output` is the level of the output line, `nextRise` the virtual time at which it rises next. */
export type PitState = { readonly counters: readonly CounterState[], readonly output: boolean, readonly nextRise: number | null }

/** What system control port B sees of counter 2. */
export interface GatedCounter {
  setGate(gate: boolean): void
  output(): boolean
}

const SHORTEST_PERIOD_TICKS = PIT_RATE.ticksAt(SHORTEST_PERIOD)

export class Pit8254 extends ByteDevice implements Stateful<PitState> {
  readonly schema = 'pit-8254'
  readonly version = 1
  readonly counter2: GatedCounter
  private readonly line: InterruptLine
  private readonly clock: Clock
  private readonly timer: Timer
  private readonly counters = [new PitCounter(true), new PitCounter(true), new PitCounter(false)]
  private outputLevel = false

  constructor(line: InterruptLine, clock: Clock) {
    super()
    this.line = line
    this.clock = clock
    this.timer = clock.timer(() => this.expire())
    const [, , counter2] = this.counters
    this.counter2 = {
      setGate: (gate) => counter2.setGate(this.tick(), gate),
      output: () => counter2.output(this.tick()),
    }
  }

  readByte(offset: number): number { return offset < 3 ? this.counters[offset].readByte(this.tick()) : 0 }

  writeByte(offset: number, value: number): void {
    if (offset < 3) this.counters[offset].writeByte(this.tick(), value)
    else if (offset === 3) this.writeControl(value)
    if (offset === 0 || offset === 3) this.update()
  }

  reset(): void {
    for (const counter of this.counters) counter.reset()
    this.drive(false)
    this.timer.disarm()
  }

  save(): PitState {
    const { deadline } = this.timer
    return {
      counters: this.counters.map((counter) => counter.save()), output: this.outputLevel,
      nextRise: deadline === Infinity ? null : deadline,
    }
  }

  restore(saved: PlainData): void {
    const state = new StateReader(this.schema, saved)
    state.children('counters', 3).forEach((counter, index) => this.counters[index].restore(counter))
    this.drive(state.boolean('output'))
    this.arm(state.timeOrNever('nextRise'))
  }

  private tick(): number { return PIT_RATE.ticksAt(this.clock.now()) }

  private writeControl(value: number): void {
    const select = value >> 6
    const access = value >> 4 & 3
    if (select === 3) this.readBack(value)
    else if (access === 0) this.counters[select].latchCount(this.tick())
    else this.counters[select].setControl(access, value >> 1 & 7, (value & 1) !== 0)
  }

  /** Bits 1 to 3 choose counters; bit 5 clear latches counts, bit 4 clear latches status. */
  private readBack(value: number): void {
    const tick = this.tick()
    this.counters.forEach((counter, index) => {
      if ((value & 2 << index) === 0) return
      if ((value & 0x20) === 0) counter.latchCount(tick)
      if ((value & 0x10) === 0) counter.latchStatus(tick)
    })
  }

  /** After a write: OUT may have changed at once. */
  private update(): void {
    const [counter] = this.counters
    this.drive(counter.period > 0 || counter.output(this.tick()))
    this.schedule()
  }

  private expire(): void {
    const [counter] = this.counters
    const level = counter.output(this.tick())
    if (counter.period > 0 || level) {
      this.drive(false)
      this.drive(true)
    }
    this.schedule()
  }

  private schedule(): void {
    const rise = this.counters[0].nextRise(this.tick(), SHORTEST_PERIOD_TICKS)
    this.arm(rise === Infinity ? Infinity : PIT_RATE.timeOf(rise))
  }

  private arm(rise: number): void {
    if (rise === Infinity) this.timer.disarm()
    else this.timer.arm(rise)
  }

  private drive(level: boolean): void {
    this.outputLevel = level
    this.line.setLevel(level)
  }
}
