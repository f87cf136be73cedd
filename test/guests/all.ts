/** Every guest, made anew: tests assemble them. */
import { coprocessorGuests } from './coprocessor.ts'
import { farTransferGuests } from './far-transfers.ts'
import { debugGuests } from './debug.ts'
import { exceptionGuests } from './exceptions.ts'
import { inspectionGuests } from './inspections.ts'
import { interruptGuests } from './interrupts.ts'
import { longModeGuests } from './long-mode.ts'
import { modeSwitchGuests } from './mode-switches.ts'
import type { Guest } from './monitor.ts'
import { nearBranchGuests } from './near-branches.ts'
import { pagingGuests } from './paging.ts'
import { realModeGuests } from './real-mode.ts'
import { refusalGuests } from './refusals.ts'
import { segmentGuests } from './segments.ts'
import { selfModifyingGuests } from './self-modifying.ts'
import { taskGuests } from './tasks.ts'
import { unitGuests } from './units.ts'
import { virtual8086Guests } from './virtual-8086.ts'
import { wrapGuests } from './wraps.ts'

export function allGuests(): Guest[] {
  return [
    ...pagingGuests(), ...segmentGuests(), ...farTransferGuests(), ...nearBranchGuests(), ...longModeGuests(), ...taskGuests(), ...debugGuests(),
    ...exceptionGuests(), ...unitGuests(), ...coprocessorGuests(), ...refusalGuests(), ...interruptGuests(), ...selfModifyingGuests(), ...realModeGuests(),
    ...virtual8086Guests(), ...modeSwitchGuests(), ...inspectionGuests(),
    ...wrapGuests(),
  ]
}
