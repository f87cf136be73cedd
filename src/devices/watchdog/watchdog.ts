import type { Clock, Timer } from '../../machine/clock.ts'
import type { PortDevice, PortSize } from '../../machine/io.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { RegisterMap } from '../registers/register-map.ts'

/**
 * A watchdog timer, as ACPI's watchdog action table describes it to the guest, whose driver (Linux: wdat_wdt) then needs no knowledge of
 * this device. Source: Microsoft, "Hardware Watchdog Timers Design Specification", version 1.01; the registers are ours.
 *
 *   0  CONTROL (1)    bit 0: it runs
 *   1  STATUS (1)     bit 0: it has expired before the last reset (write 1 to clear)
 *   2  COUNTDOWN (2)  ticks of 100 ms from a reload to the expiry; 1 at least
 *   4  COUNT (2)      ticks that are left; 0 while it does not run (read-only)
 *   6  RELOAD (1)     any write begins the countdown again
 *
 * It counts virtual time: a machine that is paused, or saved and restored, does not lose its time. When it expires it stops. Where time
 * has leapt past the expiry, as after the host's sleep, the guest had no chance to reload it, and gets one.
 *
 * Left out on purpose: a warning before the expiry, and the choice between reboot and shutdown, which is that of the machine's owner.
 */
export const WatchdogRegister = { CONTROL: 0, STATUS: 1, COUNTDOWN: 2, COUNT: 4, RELOAD: 6, LENGTH: 8 } as const
export const WATCHDOG_RUNNING = 1
export const WATCHDOG_EXPIRED = 1
/** Milliseconds. */
export const WATCHDOG_TICK = 100
export const WATCHDOG_MAXIMUM_COUNT = 0xffff

const TICK_NS = WATCHDOG_TICK * 1e6
/** A machine that runs serves its timers within milliseconds. */
const LEAP_NS = 1e9
/** A minute. */
const DEFAULT_COUNTDOWN = 600

export type WatchdogState = {
  readonly CONTROL: number, readonly STATUS: number, readonly COUNTDOWN: number
  /** Virtual time; null while it does not run. */
  readonly deadline: number | null
}

export class Watchdog implements PortDevice, Stateful<WatchdogState> {
  readonly schema = 'watchdog'
  readonly version = 1
  private readonly clock: Clock
  private readonly timer: Timer
  private readonly registers: RegisterMap
  private readonly expired: () => void
  private deadline = Infinity

  /** `expired` is called between instructions. */
  constructor(clock: Clock, expired: () => void) {
    this.clock = clock
    this.expired = expired
    this.timer = clock.timer(() => this.expire())
    this.registers = new RegisterMap([
      { name: 'CONTROL', offset: WatchdogRegister.CONTROL, width: 1, writable: WATCHDOG_RUNNING, written: () => this.controlled() },
      { name: 'STATUS', offset: WatchdogRegister.STATUS, width: 1, writeOneToClear: WATCHDOG_EXPIRED },
      { name: 'COUNTDOWN', offset: WatchdogRegister.COUNTDOWN, width: 2, writable: WATCHDOG_MAXIMUM_COUNT, reset: DEFAULT_COUNTDOWN },
      { name: 'COUNT', offset: WatchdogRegister.COUNT, width: 2, read: () => this.count },
      { name: 'RELOAD', offset: WatchdogRegister.RELOAD, width: 1, written: () => this.reload() },
    ], WatchdogRegister.LENGTH)
  }

  readPort(offset: number, size: PortSize): number { return this.registers.read(offset, size) }

  writePort(offset: number, size: PortSize, value: number): void { this.registers.write(offset, size, value) }

  /** The machine begins anew because the watchdog had expired: the guest may know. */
  noteExpiry(): void { this.registers.set('STATUS', WATCHDOG_EXPIRED) }

  reset(): void {
    this.registers.reset()
    this.arm(Infinity)
  }

  save(): WatchdogState {
    const { deadline } = this
    return {
      CONTROL: this.registers.get('CONTROL'), STATUS: this.registers.get('STATUS'), COUNTDOWN: this.registers.get('COUNTDOWN'),
      deadline: deadline === Infinity ? null : deadline,
    }
  }

  restore(saved: PlainData): void {
    const state = new StateReader(this.schema, saved)
    this.registers.restore((name) => state.u16(name))
    const deadline = state.timeOrNever('deadline')
    if (this.running !== (deadline !== Infinity)) throw state.invalid('deadline', 'does not fit CONTROL')
    this.arm(deadline)
  }

  private get running(): boolean { return (this.registers.get('CONTROL') & WATCHDOG_RUNNING) !== 0 }

  private get count(): number {
    return this.running ? Math.max(0, Math.min(WATCHDOG_MAXIMUM_COUNT, Math.ceil((this.deadline - this.clock.now()) / TICK_NS))) : 0
  }

  /** Writing what is there already changes nothing: only a reload, or a new start, begins the countdown again. */
  private controlled(): void {
    if (!this.running) this.arm(Infinity)
    else if (this.deadline === Infinity) this.reload()
  }

  private reload(): void {
    if (this.running) this.arm(this.clock.now() + Math.max(1, this.registers.get('COUNTDOWN')) * TICK_NS)
  }

  private arm(deadline: number): void {
    this.deadline = deadline
    this.timer.arm(deadline)
  }

  private expire(): void {
    if (this.clock.now() - this.deadline > LEAP_NS) return this.reload()
    this.registers.set('CONTROL', 0)
    this.deadline = Infinity
    this.expired()
  }
}
