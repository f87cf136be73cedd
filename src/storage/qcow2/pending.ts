/** Operations of one request on several places of the file, a bounded number at a time. The first failure is kept until all have ended. */
export class Pending {
  private readonly most: number
  private running = 0
  private failed = false
  private failure: unknown = null
  private wake: (() => void) | null = null

  constructor(most = 16) { this.most = most }

  add(operation: Promise<void>): void {
    this.running++
    operation.then(() => this.end(), (error: unknown) => {
      if (!this.failed) this.failure = error
      this.failed = true
      this.end()
    })
  }

  private end(): void {
    this.running--
    this.wake?.()
  }

  /** Waits until another operation may be added. */
  async room(): Promise<void> { await this.atMost(this.most - 1) }

  /** Waits for all, then rejects with the first failure if there was one. */
  async done(): Promise<void> {
    await this.atMost(0)
    if (this.failed) throw this.failure
  }

  private async atMost(count: number): Promise<void> {
    while (this.running > count) await new Promise<void>((resolve) => { this.wake = resolve })
  }
}
