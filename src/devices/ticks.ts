/** A fixed-frequency counter driven by the virtual clock: `ticks` per `nanoseconds`, counting from power-on. */
export class TickRate {
  private readonly ticks: number
  private readonly nanoseconds: number

  constructor(ticks: number, nanoseconds: number) {
    this.ticks = ticks
    this.nanoseconds = nanoseconds
  }

  /** Whole ticks since power-on at a virtual time. */
  ticksAt(time: number): number { return Math.floor(time * this.ticks / this.nanoseconds) }

  /** The earliest whole nanosecond at which the counter has reached `tick`. */
  timeOf(tick: number): number {
    const time = Math.ceil(tick * this.nanoseconds / this.ticks)
    return this.ticksAt(time) < tick ? time + 1 : time
  }
}

/** 14.31818 MHz / 12: the 8254's clock in a PC. */
export const PIT_RATE = new TickRate(105, 88_000)
/** 3.579545 MHz (14.31818 MHz / 4): the ACPI power management timer, ACPI 6.5 §4.8.2.1. */
export const PM_TIMER_RATE = new TickRate(63, 17_600)
/** 32.768 kHz: the real-time clock's crystal. */
export const RTC_RATE = new TickRate(512, 15_625_000)

/**
 * The shortest period at which a device's periodic timer is served, in ns. A guest can ask for periods of one tick; the interrupts
 * between two services would merge into one anyway.
 */
export const SHORTEST_PERIOD = 10_000
