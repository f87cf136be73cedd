/** Every guest, made anew: tests assemble them. */
import { farTransferGuests } from './far-transfers.ts'
import type { Guest } from './monitor.ts'
import { pagingGuests } from './paging.ts'
import { segmentGuests } from './segments.ts'

export function allGuests(): Guest[] {
  return [...pagingGuests(), ...segmentGuests(), ...farTransferGuests()]
}
