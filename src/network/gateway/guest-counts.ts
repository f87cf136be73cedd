/** How many of something each guest has, so that one cannot take all. A guest is its address as text. */
export class GuestCounts {
  total = 0
  private readonly counts = new Map<string, number>()

  of(guest: string): number { return this.counts.get(guest) ?? 0 }

  add(guest: string): void {
    this.total++
    this.counts.set(guest, this.of(guest) + 1)
  }

  remove(guest: string): void {
    this.total--
    if (this.of(guest) > 1) this.counts.set(guest, this.of(guest) - 1)
    else this.counts.delete(guest)
  }
}
