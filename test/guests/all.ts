/** Every guest, made anew: tests assemble them. */
import { farTransferGuests } from './far-transfers.ts'
import { debugGuests } from './debug.ts'
import { exceptionGuests } from './exceptions.ts'
import { interruptGuests } from './interrupts.ts'
import type { Guest } from './monitor.ts'
import { pagingGuests } from './paging.ts'
import { segmentGuests } from './segments.ts'
import { taskGuests } from './tasks.ts'

export function allGuests(): Guest[] {
  return [
    ...pagingGuests(), ...segmentGuests(), ...farTransferGuests(), ...taskGuests(), ...debugGuests(), ...exceptionGuests(),
    ...interruptGuests(),
  ]
}
