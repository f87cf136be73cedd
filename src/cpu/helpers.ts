/** Every TypeScript helper that instructions call, by the name that their semantics use. */
import { SYSTEM_HELPERS } from './system/helpers.ts'
import { integerHelpers } from './system/integer-helpers.ts'
import type { Processor } from './system/processor.ts'
import { gatherHelpers, maskedHelpers, vectorHelpers } from './vector/index.ts'
import { x87Helpers } from './x87/helpers.ts'

/** Returns a HelperOutcome. */
export type Helper = (cpu: Processor) => number

export const HELPERS: Readonly<Record<string, Helper>> = { ...SYSTEM_HELPERS, ...integerHelpers, ...vectorHelpers, ...maskedHelpers, ...gatherHelpers, ...x87Helpers }
