import type { Flow } from './flow.ts'

interface Count {
  /** For all of its flows, which need not have one each. */
  readonly address: Uint8Array
  flows: number
  openings: number
}

/** How many flows each guest has, and how many of them wait for the host. */
export class GuestCounts {
  private readonly counts = new Map<string, Count>()

  flows(guest: Uint8Array): number { return this.counts.get(keyOf(guest))?.flows ?? 0 }

  openings(guest: Uint8Array): number { return this.counts.get(keyOf(guest))?.openings ?? 0 }

  /** The guest's address as its flows have it already, or as it is given. */
  addressOf(guest: Uint8Array): Uint8Array { return this.counts.get(keyOf(guest))?.address ?? guest }

  add(flow: Flow): void {
    const { remoteAddress: address } = flow.connection.pair
    const key = keyOf(address)
    const count = this.counts.get(key) ?? { address, flows: 0, openings: 0 }
    count.flows++
    this.counts.set(key, count)
  }

  /** Says whether the flow waits for the host; as often as one likes. */
  setOpening(flow: Flow, isOpening: boolean): void {
    if (flow.isOpening === isOpening) return
    flow.isOpening = isOpening
    const count = this.counts.get(keyOf(flow.connection.pair.remoteAddress))
    if (count !== undefined) count.openings += isOpening ? 1 : -1
  }

  remove(flow: Flow): void {
    const key = keyOf(flow.connection.pair.remoteAddress)
    const count = this.counts.get(key)
    if (count !== undefined && --count.flows === 0) this.counts.delete(key)
  }
}

function keyOf(address: Uint8Array): string { return address.join('.') }
