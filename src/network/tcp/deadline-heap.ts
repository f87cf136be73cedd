/** Something that wants to be called at a time. The two fields belong to the heap. */
export interface Sleeper {
  wakesAt: number
  heapIndex: number
}

/**
 * Sleepers by the time at which they wake: a binary heap that knows where each of them is. One that wants to wake later than it said
 * needs no change: it is woken, sees that it is early, and says so again.
 */
export class DeadlineHeap<Item extends Sleeper> {
  private readonly items: Item[] = []

  /** The next time; Infinity if nobody sleeps. */
  get next(): number { return this.items.length > 0 ? this.items[0].wakesAt : Infinity }

  /** Has `item` woken at `time` at the latest. */
  wakeBy(item: Item, time: number): void {
    if (time >= item.wakesAt) return
    item.wakesAt = time
    if (item.heapIndex < 0) item.heapIndex = this.items.push(item) - 1
    this.rise(item)
  }

  /** Takes out the one that wakes first, which no longer sleeps. */
  pop(): Item | undefined {
    const [first] = this.items
    if (first !== undefined) this.remove(first)
    return first
  }

  remove(item: Item): void {
    if (item.heapIndex < 0) return
    const last = this.items.pop() as Item
    if (last !== item) {
      this.put(last, item.heapIndex)
      this.rise(last)
      this.sink(last)
    }
    item.heapIndex = -1
    item.wakesAt = Infinity
  }

  private put(item: Item, index: number): void {
    this.items[index] = item
    item.heapIndex = index
  }

  private rise(item: Item): void {
    for (;;) {
      const index = item.heapIndex
      const above = (index - 1) >> 1
      if (index === 0 || this.items[above].wakesAt <= item.wakesAt) return
      this.put(this.items[above], index)
      this.put(item, above)
    }
  }

  private sink(item: Item): void {
    for (;;) {
      const index = item.heapIndex
      let below = 2 * index + 1
      if (below + 1 < this.items.length && this.items[below + 1].wakesAt < this.items[below].wakesAt) below++
      if (below >= this.items.length || this.items[below].wakesAt >= item.wakesAt) return
      this.put(this.items[below], index)
      this.put(item, below)
    }
  }
}
