/** Helpers of the vector instructions: what is too rare or too long to be emitted. */
import { aesHelpers } from './aes.ts'
import { floatHelpers } from './float-helpers.ts'
import type { HelperTable } from './helper.ts'

export type { HelperContext, HelperTable } from './helper.ts'

export { gatherHelpers } from './gather.ts'
export { maskedHelpers } from './masked.ts'
export const vectorHelpers: Readonly<HelperTable> = { ...floatHelpers, ...aesHelpers }
