/** CPU models, for rooms that choose one. */
export { CPU_MODELS, cpuModel, DEFAULT_CPU_MODEL, modelFeatures } from '../../cpu/system/cpu-model.ts'
export type { CpuModel } from '../../cpu/system/cpu-model.ts'
