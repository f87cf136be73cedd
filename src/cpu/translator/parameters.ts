/** Parameters of a region's function. */
import { ValueType } from '../wasm/opcodes.ts'
import type { ValueTypeCode } from '../wasm/opcodes.ts'

export const Parameter = { CPU: 0, CONTEXT: 1, BASE: 2, ENTRY: 3, LEFT: 4, VALID: 5 } as const

const { I32, I64 } = ValueType
export const PARAMETERS: readonly ValueTypeCode[] = [I32, I32, I64, I32, I32, I32]
