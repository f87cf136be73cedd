import type { ProgressListener } from '../images/progress.ts'

/** What all long work on disk files takes beside what is to be done. */
export interface DiskWork {
  readonly progress?: ProgressListener
  /** Ends the work; what it was making is then removed. */
  readonly signal?: AbortSignal
  /** Also writes what a suspended guest will go on with: it can only be started afresh then. */
  readonly disturbSuspended?: boolean
}

/** Reports `done` of `total` bytes under a file's name. */
export function reporter({ progress = () => {} }: DiskWork, name: string, action: 'reading' | 'writing' = 'writing'): (done: number, total: number) => void {
  return (done, total) => progress({ kind: 'transfer', name, received: done, total, action })
}
