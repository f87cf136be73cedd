/**
 * Locks on ranges of bytes: shared ones overlap each other, exclusive ones nothing. Who comes first goes first: a request waits for
 * every earlier one that it conflicts with, granted or not, so that nobody starves.
 */
export class RangeLock {
  private readonly entries: Entry[] = []

  /** Runs `work` while holding the range. An empty range holds nothing. */
  async run<Result>(offset: number, length: number, exclusive: boolean, work: () => Promise<Result>): Promise<Result> {
    const entry = this.enter(offset, offset + length, exclusive)
    if (entry.waitsFor > 0) await new Promise<void>((resolve) => { entry.granted = resolve })
    try {
      return await work()
    } finally {
      this.leave(entry)
    }
  }

  private enter(start: number, end: number, exclusive: boolean): Entry {
    const entry: Entry = { start, end, exclusive, waitsFor: 0, granted: null }
    for (const other of this.entries) if (conflict(other, entry)) entry.waitsFor++
    this.entries.push(entry)
    return entry
  }

  private leave(entry: Entry): void {
    const at = this.entries.indexOf(entry)
    this.entries.splice(at, 1)
    for (const later of this.entries.slice(at)) {
      if (conflict(entry, later) && --later.waitsFor === 0) later.granted?.()
    }
  }
}

interface Entry {
  readonly start: number
  readonly end: number
  readonly exclusive: boolean
  /** Earlier conflicting entries that have not left. */
  waitsFor: number
  granted: (() => void) | null
}

function conflict(one: Entry, other: Entry): boolean {
  return (one.exclusive || other.exclusive) && one.start < other.end && other.start < one.end
}
