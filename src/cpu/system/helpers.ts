import {
  clearTaskSwitched, loadMachineStatus, readControl, readDebug, storeMachineStatus, writeControl, writeDebug,
} from './control-registers.ts'
import { identify } from './cpuid.ts'
import {
  loadAccessRights, loadGdt, loadIdt, loadLdt, loadSegmentLimit, loadTaskRegister, requirePrivilege,
  storeGdt, storeIdt, storeLdt, storeTaskRegister, verifyRead, verifyWrite,
} from './descriptor-tables.ts'
import { enterFrame } from './enter.ts'
import {
  readExtendedControl, restoreExtended, restoreFast, saveExtended, saveFast, writeExtendedControl,
} from './extended-state.ts'
import { systemCall, systemEnter, systemExit, systemReturn } from './fast-calls.ts'
import { clearInterruptFlag, popFlags, pushFlags, setInterruptFlag } from './flags-control.ts'
import { checkPort, readPort, writePort } from './io.ts'
import {
  flushCaches, halt, hypercall, invalidatePage, readPerformanceCounter, readProcessorId, readRandom, readSegmentBase,
  readTimeStamp, readTimeStampAndProcessor, setAlignmentCheck, writeSegmentBase,
} from './miscellaneous.ts'
import { readModelSpecific, swapGs, writeModelSpecific } from './msr.ts'
import type { HelperOutcome } from './outcome.ts'
import type { Processor } from './processor.ts'
import { breakpointInterrupt, debugInterrupt, overflowInterrupt, softwareInterrupt } from './software-interrupts.ts'
import {
  callFar, jumpFar, loadFarPointer, moveFromSegment, moveToSegment, returnFar, returnFromInterrupt,
} from './transfer-helpers.ts'

/** A helper finds its arguments in Block.ARGUMENTS and leaves its result in Block.RESULT; Slot.RIP is the instruction's own. */
export type SystemHelper = (cpu: Processor) => HelperOutcome

/** The helpers of system instructions, by the names that the semantics call them with. */
export const SYSTEM_HELPERS = {
  breakpointInterrupt, callFar, checkPort, clearInterruptFlag, clearTaskSwitched, debugInterrupt, enterFrame, flushCaches, halt,
  hypercall, identify,
  invalidatePage, jumpFar, loadAccessRights, loadFarPointer, loadGdt, loadIdt, loadLdt, loadMachineStatus, loadSegmentLimit,
  loadTaskRegister, moveFromSegment, moveToSegment, overflowInterrupt, popFlags, pushFlags, readControl, readDebug,
  readExtendedControl, readModelSpecific, readPerformanceCounter, readPort, readProcessorId, readRandom, readSegmentBase,
  readTimeStamp, readTimeStampAndProcessor, requirePrivilege, restoreExtended, restoreFast, returnFar, returnFromInterrupt,
  saveExtended, saveFast,
  setAlignmentCheck, setInterruptFlag, softwareInterrupt, storeGdt, storeIdt, storeLdt, storeMachineStatus, storeTaskRegister,
  swapGs, systemCall, systemEnter, systemExit, systemReturn, verifyRead, verifyWrite, writeControl, writeDebug,
  writeExtendedControl, writeModelSpecific, writePort, writeSegmentBase,
} as const satisfies Readonly<Record<string, SystemHelper>>

export type SystemHelperName = keyof typeof SYSTEM_HELPERS
