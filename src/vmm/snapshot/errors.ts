import { TenonError } from '../../base/errors.ts'

/**
 * What can be wrong with a snapshot. INVALID: damaged. VERSION: by a Tenon whose format this one does not read. MISMATCH: of a
 * machine that is built otherwise. MACHINE_IN_USE: the machine to restore is not a fresh one. MACHINE_UNUSABLE: a restore of it
 * failed half way.
 */
export type SnapshotErrorCode =
  | 'SNAPSHOT_INVALID' | 'SNAPSHOT_VERSION' | 'SNAPSHOT_MISMATCH' | 'MACHINE_IN_USE' | 'MACHINE_UNUSABLE'

export function snapshotError(code: SnapshotErrorCode, message: string, cause?: unknown): TenonError<SnapshotErrorCode> {
  return new TenonError<SnapshotErrorCode>(code, message, cause === undefined ? undefined : { cause })
}

/** A snapshot, or its file, that was changed or cut off since it was written. */
export function damaged(what: string, cause?: unknown): TenonError<SnapshotErrorCode> {
  return snapshotError('SNAPSHOT_INVALID', `the snapshot is damaged: ${what}; use another copy, or take a new one`, cause)
}
