/**
 * Clusters of the disk that are getting a cluster of the file just now. Who would change their mapping waits; who reads sees what was
 * there before.
 */
export class InFlight {
  private readonly entries: Entry[] = []

  /** Marks clusters, until the function that is returned is called. None of them may be marked already. */
  begin(first: number, count: number): () => void {
    let release = (): void => {}
    const done = new Promise<void>((resolve) => { release = resolve })
    const entry = { first, end: first + count, done }
    this.entries.push(entry)
    return () => {
      this.entries.splice(this.entries.indexOf(entry), 1)
      release()
    }
  }

  /** The first marked cluster from `first` on, or `first + count`. */
  nextFrom(first: number, count: number): number {
    let next = first + count
    for (const entry of this.entries) {
      if (entry.end > first && entry.first < next) next = Math.max(entry.first, first)
    }
    return next
  }

  /** Waits while a cluster is marked; null if it is not. */
  waitFor(cluster: number): Promise<void> | null {
    return this.entries.find(entry => entry.first <= cluster && cluster < entry.end)?.done ?? null
  }
}

interface Entry {
  readonly first: number
  readonly end: number
  readonly done: Promise<void>
}
