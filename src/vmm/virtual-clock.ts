import { TenonError } from '../base/errors.ts'
import type { Clock, Timer } from '../machine/clock.ts'
import type { PlainData, Stateful } from '../machine/lifecycle.ts'

/**
 * A machine's clock: virtual time follows a host clock while the machine runs and stands still while it is paused.
 *
 * Expired timers fire in `expire`, which the vCPU's thread calls between instructions.
 */
export class VirtualClock implements Clock, Stateful<{ now: number }> {
  readonly schema = 'virtual-clock'
  readonly version = 1
  private readonly hostNow: () => number
  private readonly timers: MachineTimer[] = []
  /** Virtual time at `startedAt` of the host's; the host's time counts only while running. */
  private base = 0
  private startedAt = 0
  private running = false
  /** Earliest deadline of all timers, Infinity if none is armed. */
  private earliest = Infinity

  /** `hostNow` is monotonic, in nanoseconds. */
  constructor(hostNow: () => number) { this.hostNow = hostNow }

  now(): number { return this.running ? this.base + (this.hostNow() - this.startedAt) : this.base }

  start(): void {
    if (this.running) return
    this.startedAt = this.hostNow()
    this.running = true
  }

  pause(): void {
    this.base = this.now()
    this.running = false
  }

  timer(onExpire: () => void): Timer {
    const timer = new MachineTimer(onExpire, () => this.findEarliest())
    this.timers.push(timer)
    return timer
  }

  /** Virtual time of the next expiry, Infinity if there is none. */
  get nextDeadline(): number { return this.earliest }

  /** Fires all timers whose deadline has passed. */
  expire(): void {
    const now = this.now()
    if (now < this.earliest) return
    for (const timer of this.timers) timer.expireAt(now)
  }

  save(): { now: number } { return { now: this.now() } }

  restore(state: PlainData): void {
    const now = (state as { now?: unknown } | null)?.now
    if (typeof now !== 'number' || !Number.isFinite(now) || now < 0) {
      throw new TenonError('SNAPSHOT_INVALID', 'the snapshot is damaged: virtual-clock has no valid time')
    }
    this.reset()
    this.base = now
  }

  reset(): void {
    this.base = 0
    this.startedAt = this.hostNow()
    for (const timer of this.timers) timer.disarm()
  }

  private findEarliest(): void {
    this.earliest = Infinity
    for (const timer of this.timers) if (timer.deadline < this.earliest) this.earliest = timer.deadline
  }
}

class MachineTimer implements Timer {
  deadline = Infinity
  private readonly onExpire: () => void
  private readonly changed: () => void

  constructor(onExpire: () => void, changed: () => void) {
    this.onExpire = onExpire
    this.changed = changed
  }

  arm(deadline: number): void {
    this.deadline = deadline
    this.changed()
  }

  disarm(): void { this.arm(Infinity) }

  expireAt(now: number): void {
    if (now < this.deadline) return
    this.disarm()
    this.onExpire()
  }
}
