/**
 * Who is using an image: any number of requests at once, or one exclusive operation (a snapshot, a new size) and nobody else.
 *
 * Requests are also counted by *epochs*. A cluster that was freed must not be used again while a request that began before may still
 * read or write it: `newEpoch` begins another epoch, and `isOver` says whether all requests of an earlier one have ended.
 */
import { storageError } from '../errors.ts'

export interface Epoch {
  readonly number: number
  active: number
}

export class Operations {
  private readonly name: string
  private epochs: Epoch[] = [{ number: 0, active: 0 }]
  /** Requests that free nothing up and hold no cluster: flushes. */
  private readonly apart: Epoch = { number: Infinity, active: 0 }
  private total = 0
  /** Requests and exclusive operations that wait for an exclusive one to end. */
  private waiting = 0
  private exclusive: Promise<void> | null = null
  private closing = false
  private idle: (() => void)[] = []

  constructor(name: string) { this.name = name }

  /** Whether a request has to wait, with `whenFree`, before it enters. */
  get mustWait(): boolean { return this.exclusive !== null }

  /** Waits for exclusive operations to end. Rejects with DISK_CLOSED as `enter` throws it. */
  async whenFree(): Promise<void> {
    this.checkOpen()
    this.waiting++
    while (this.exclusive !== null) await this.exclusive
    this.waiting--
  }

  /** Throws DISK_CLOSED once `close` was called. */
  checkOpen(): void {
    if (this.closing) throw storageError('DISK_CLOSED', `${this.name} is closed: open it again to use it`)
  }

  enter(): Epoch { return this.count(this.epochs[this.epochs.length - 1]) }

  /** As `enter`, for an operation that touches no cluster of data. */
  enterApart(): Epoch { return this.count(this.apart) }

  private count(epoch: Epoch): Epoch {
    epoch.active++
    this.total++
    return epoch
  }

  leave(epoch: Epoch): void {
    epoch.active--
    this.total--
    while (this.epochs.length > 1 && this.epochs[0].active === 0) this.epochs.shift()
    if (this.total === 0) for (const resolve of this.idle.splice(0)) resolve()
  }

  /** Begins an epoch; returns the number of the one that ends. */
  newEpoch(): number {
    const { number, active } = this.epochs[this.epochs.length - 1]
    if (active === 0 && this.epochs.length === 1) this.epochs = []
    this.epochs.push({ number: number + 1, active: 0 })
    return number
  }

  isOver(epoch: number): boolean { return this.epochs[0].number > epoch }

  /** Runs `work` when nobody else uses the image. */
  async alone<Result>(work: () => Promise<Result>): Promise<Result> {
    this.checkOpen()
    await this.whenFree()
    const running = this.runAlone(work)
    this.exclusive = running.then(() => undefined, () => undefined).finally(() => { this.exclusive = null })
    return running
  }

  private async runAlone<Result>(work: () => Promise<Result>): Promise<Result> {
    await this.whenIdle()
    return work()
  }

  private async whenIdle(): Promise<void> {
    while (this.total > 0) await new Promise<void>((resolve) => { this.idle.push(resolve) })
  }

  /** Refuses whatever comes from now on, and waits for what is there. */
  async close(): Promise<void> {
    this.closing = true
    while (this.exclusive !== null || this.waiting > 0 || this.total > 0) {
      await this.whenIdle()
      await (this.exclusive ?? null)
    }
  }
}
