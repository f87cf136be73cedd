/** So many at a time, first come, first served; each may take one or several. */
export class Slots {
  private free: number
  private readonly waiting: { readonly count: number, granted: () => void }[] = []

  constructor(count: number) { this.free = count }

  /** Resolves when `count` are free and taken. */
  async take(count = 1): Promise<void> {
    if (this.waiting.length === 0 && this.free >= count) this.free -= count
    else await new Promise<void>((granted) => { this.waiting.push({ count, granted }) })
  }

  give(count = 1): void {
    this.free += count
    while (this.waiting.length > 0 && this.free >= this.waiting[0].count) {
      const next = this.waiting.shift()!
      this.free -= next.count
      next.granted()
    }
  }
}
