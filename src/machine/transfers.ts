/**
 * Knows when a frame that a guest has given back is really free: back ends may still be reading or writing it for a transfer that
 * began before. Nobody waits; frames do.
 *
 * Transfers are counted by the epoch in which they began, of which there are two at a time. A frame that is retired in one epoch can
 * be in use by transfers of that epoch and of the one before. When the older epoch has no transfers left, it begins anew as the
 * current one, and once the other's have ended, the frames that were retired in it are free.
 */
export class TransferLedger {
  private current = 0
  private readonly counts = [0, 0]
  private readonly retired: [number[], number[]] = [[], []]

  /** A transfer to or from views of guest memory begins. The result belongs to `end`, which comes once. */
  begin(): number {
    this.counts[this.current]++
    return this.current
  }

  end(transfer: number): void { this.counts[transfer]-- }

  /** This frame is no longer any page's. */
  retire(frame: number): void { this.retired[this.current].push(frame) }

  /** Gives out the frames that no transfer can reach any more. Cheap if there are none; to be called now and then. */
  reclaim(free: (frame: number) => void): void {
    const older = this.current ^ 1
    if (this.counts[older] !== 0 || this.retired[0].length + this.retired[1].length === 0) return
    this.retired[older].forEach((frame) => free(frame))
    this.retired[older].length = 0
    if (this.retired[this.current].length > 0) this.current = older
  }
}
