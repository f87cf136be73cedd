import type { Workload } from '../workloads.ts'

export function networkWorkloads(isQuick: boolean): Workload[] {
  return isQuick ? [] : []
}
