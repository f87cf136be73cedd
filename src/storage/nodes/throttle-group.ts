/**
 * A budget of bytes and requests a second that several disks share.
 *
 * Two leaky buckets: each fills with its rate up to its burst. A request goes when neither is empty, and takes its cost, if need be on
 * credit; so a request that is larger than the burst passes too, and the next waits the longer. Over time the rates are exact.
 *
 * Who goes next among waiting disks is decided by weight (start-time fair queueing: Goyal, Vin and Cheng, 1996): a disk of weight 200
 * gets twice what one of weight 100 gets while both want more than there is, and nobody starves. What one does not use, others may.
 */
import type { Timer } from '../format.ts'

export interface ThrottleLimits {
  /** Infinity: no limit. At least 1. */
  readonly bytesPerSecond?: number
  readonly requestsPerSecond?: number
  /** What may pass at once after a rest; default: a tenth of a second's worth. */
  readonly bytesBurst?: number
  readonly requestsBurst?: number
}

class Bucket {
  readonly rate: number
  private readonly burst: number
  private level: number
  private filledAt: number

  constructor(rate: number, burst: number, now: number) {
    this.rate = rate
    this.burst = burst
    this.level = burst
    this.filledAt = now
  }

  fill(now: number): void {
    if (this.rate !== Infinity) this.level = Math.min(this.burst, this.level + (now - this.filledAt) * this.rate / 1000)
    this.filledAt = now
  }

  /** Milliseconds until something may pass; 0 if it may now. */
  get wait(): number { return this.rate === Infinity || this.level > 0 ? 0 : (1 - this.level) * 1000 / this.rate }

  take(cost: number): void { if (this.rate !== Infinity) this.level -= cost }
}

interface Waiting {
  readonly member: ThrottleMember
  readonly bytes: number
  /** In virtual time: when its turn begins. */
  readonly turn: number
  readonly order: number
  readonly go: () => void
}

export class ThrottleGroup {
  private readonly timer: Timer
  private readonly bytes: Bucket
  private readonly requests: Bucket
  private readonly waiting: Waiting[] = []
  private virtualTime = 0
  private order = 0
  private cancel: (() => void) | null = null

  constructor(limits: ThrottleLimits, timer: Timer) {
    const { bytesPerSecond = Infinity, requestsPerSecond = Infinity } = limits
    this.timer = timer
    this.bytes = new Bucket(bytesPerSecond, limits.bytesBurst ?? bytesPerSecond / 10, timer.now())
    this.requests = new Bucket(requestsPerSecond, limits.requestsBurst ?? Math.max(1, requestsPerSecond / 10), timer.now())
  }

  /** Requests that wait. */
  get backlog(): number { return this.waiting.length }

  /** Joins with a weight from 1 to 10 000; 100 is usual. */
  member(weight: number): ThrottleMember { return new ThrottleMember(this, weight) }

  /** For members: whether a request may pass right now; then it has been counted. */
  passes(bytes: number): boolean {
    this.fill()
    if (this.waiting.length > 0 || this.wait > 0) return false
    this.take(bytes)
    return true
  }

  /** For members. */
  enqueue(member: ThrottleMember, bytes: number, go: () => void): void {
    const turn = Math.max(this.virtualTime, member.finish)
    member.finish = turn + this.cost(bytes) / member.weight
    this.waiting.push({ member, bytes, turn, order: this.order++, go })
    this.schedule()
  }

  /** For members: lets all that one waits for pass. */
  release(member: ThrottleMember): void {
    for (const entry of this.waiting.filter(each => each.member === member)) {
      this.waiting.splice(this.waiting.indexOf(entry), 1)
      entry.go()
    }
  }

  /** Seconds of the tighter budget, so that bytes and requests can be added up. */
  private cost(bytes: number): number {
    const cost = bytes / this.bytes.rate + 1 / this.requests.rate
    return cost === 0 ? 1 : cost
  }

  private get wait(): number { return Math.max(this.bytes.wait, this.requests.wait) }

  private fill(): void {
    const now = this.timer.now()
    this.bytes.fill(now)
    this.requests.fill(now)
  }

  private take(bytes: number): void {
    this.bytes.take(bytes)
    this.requests.take(1)
  }

  private schedule(): void {
    if (this.cancel !== null || this.waiting.length === 0) return
    this.fill()
    this.cancel = this.timer.after(this.wait, () => {
      this.cancel = null
      this.dispatch()
    })
  }

  private dispatch(): void {
    this.fill()
    while (this.waiting.length > 0 && this.wait === 0) {
      const next = this.waiting.splice(this.indexOfNext(), 1)[0]
      this.virtualTime = Math.max(this.virtualTime, next.turn)
      this.take(next.bytes)
      next.go()
    }
    this.schedule()
  }

  private indexOfNext(): number {
    let best = 0
    for (const [at, { turn, order }] of this.waiting.entries()) {
      const { turn: bestTurn, order: bestOrder } = this.waiting[best]
      if (turn < bestTurn || (turn === bestTurn && order < bestOrder)) best = at
    }
    return best
  }
}

/** One disk's place in a group. */
export class ThrottleMember {
  readonly weight: number
  /** For the group: when its last request's turn ends, in virtual time. */
  finish = 0
  private readonly group: ThrottleGroup
  private released = false

  constructor(group: ThrottleGroup, weight: number) {
    this.group = group
    this.weight = weight
  }

  /** Waits until a request of so many bytes may go. */
  async pass(bytes: number): Promise<void> {
    if (this.released || this.group.passes(bytes)) return
    await new Promise<void>((go) => { this.group.enqueue(this, bytes, go) })
  }

  /** From now on nothing of this disk waits: it is being closed. */
  release(): void {
    this.released = true
    this.group.release(this)
  }
}
