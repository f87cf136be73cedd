import { TenonError } from '../../base/errors.ts'
import { FEATURE_NAMES } from './cpuid.ts'

/**
 * CPU models: which of the processor's features a machine has. The levels are those of the System V ABI for x86-64 (section "Processor
 * features"): programs compiled for a level run on its model and above. A model limits what programs compute with; what systems need
 * (APIC, paging, protection, random numbers) every model has, and LAHF and SAHF in 64-bit mode, which level 1 does not promise.
 */
export type CpuModel = 'x86-64' | 'x86-64-v2' | 'x86-64-v3' | 'max'

/** What a level adds to the one before it, beginning with level 2; at last what no level here has. */
const ADDITIONS: readonly (readonly string[])[] = [
  ['CX16', 'POPCNT', 'SSE3', 'SSE4_1', 'SSE4_2', 'SSSE3'],
  ['AVX', 'AVX2', 'BMI1', 'BMI2', 'F16C', 'FMA', 'LZCNT', 'MOVBE', 'XSAVE'],
  ['ADX', 'AES', 'PCLMULQDQ', 'SHA'],
]

/** The features of a model are all but the additions above it. */
const without = (additions: readonly (readonly string[])[]): ReadonlySet<string> => {
  const missing = new Set(additions.flat())
  return new Set([...FEATURE_NAMES].filter((name) => !missing.has(name)))
}

const FEATURES_OF: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ['x86-64', without(ADDITIONS)],
  ['x86-64-v2', without(ADDITIONS.slice(1))],
  ['x86-64-v3', without(ADDITIONS.slice(2))],
  ['max', FEATURE_NAMES],
])

export const CPU_MODELS = [...FEATURES_OF.keys()] as readonly CpuModel[]

/**
 * The highest that is fast: what `max` adds is emulated in more time than programs take to do without it
 * (docs/decisions/the-default-processor-is-level-3.md).
 */
export const DEFAULT_CPU_MODEL: CpuModel = 'x86-64-v3'

export type CpuModelErrorCode = 'CPU_UNKNOWN'

/** The model of a name; the default for none. @throws TenonError CPU_UNKNOWN */
export function cpuModel(name: string = DEFAULT_CPU_MODEL): CpuModel {
  if (FEATURES_OF.has(name)) return name as CpuModel
  throw new TenonError<CpuModelErrorCode>('CPU_UNKNOWN', `${JSON.stringify(name)} is no CPU model: there is ${CPU_MODELS.join(', ')}`)
}

/** The CPUID features of a model. */
export const modelFeatures = (model: CpuModel): ReadonlySet<string> => FEATURES_OF.get(model)!
