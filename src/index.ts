/** Tenon as a library: `Machine` boots Linux in this program. */
export { Machine } from './api/machine.ts'
export type { MachineConsole, MachineOptions, OutputStream, RunOptions, RunResult } from './api/types.ts'
export type { CpuModel } from './host/machine/cpu-models.ts'
export type { EngineName } from './host/machine/engines.ts'
export type { MachineExit, MachineExitReason } from './host/machine/machine-exit.ts'
export type { ProgressEvent } from './host/images/progress.ts'
export { TenonError } from './base/errors.ts'
