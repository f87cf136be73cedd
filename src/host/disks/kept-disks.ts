import { DiskThread } from './disk-thread.ts'
import type { DiskFailureListener, DiskOrder } from './disk-order.ts'

/**
 * Disks that outlive their machine: opened when the first one starts, and there with all that was written for the next. So a guest can
 * reboot whose changes are kept in memory. Whoever made it closes it.
 */
export class KeptDisks {
  readonly orders: readonly DiskOrder[]
  #thread: Promise<DiskThread> | undefined

  constructor(orders: readonly DiskOrder[]) { this.orders = orders }

  /** Their thread, for a machine that starts. Throws as `DiskThread.start` does. */
  open(onFailure: DiskFailureListener): Promise<DiskThread> { return this.#thread ??= DiskThread.start(this.orders, onFailure) }

  /** No machine may use them any more. */
  async close(): Promise<void> {
    const thread = await this.#thread?.catch(() => undefined)
    await thread?.close()
  }
}
