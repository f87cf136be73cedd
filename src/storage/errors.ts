import { TenonError } from '../base/errors.ts'

/**
 * What disks may fail with.
 *
 * DISK_UNKNOWN_FORMAT  nothing here knows this file          DISK_CORRUPT        its structures contradict themselves
 * DISK_UNSUPPORTED     a feature of the format we lack       DISK_OUT_OF_RANGE   an access beyond the end
 * DISK_READ_ONLY       a write to what may not be written    DISK_IN_USE         another writer has it open
 * DISK_NOT_FOUND       a file, often a backing file          DISK_BACKING_CHANGED  a backing file is not the one it was
 * DISK_READ_FAILED, DISK_WRITE_FAILED, DISK_FULL             what the host said
 * DISK_CLOSED          the node was closed                   DISK_PEER_FAILED    a disk over the network
 * FILESYSTEM_TOO_SMALL what is to be in it does not fit      FILE_UNFIT          a file that a file system cannot hold
 * DISK_EXISTS          a new file would replace another      DISK_DESCRIPTION_INVALID  a graph that cannot be built so
 */
export type StorageErrorCode =
  | 'DISK_UNKNOWN_FORMAT' | 'DISK_CORRUPT' | 'DISK_UNSUPPORTED' | 'DISK_OUT_OF_RANGE' | 'DISK_READ_ONLY' | 'DISK_IN_USE'
  | 'DISK_NOT_FOUND' | 'DISK_BACKING_CHANGED' | 'DISK_READ_FAILED' | 'DISK_WRITE_FAILED' | 'DISK_FULL' | 'DISK_CLOSED'
  | 'DISK_PEER_FAILED' | 'DISK_EXISTS' | 'DISK_DESCRIPTION_INVALID' | 'FILESYSTEM_TOO_SMALL' | 'FILE_UNFIT'

export function storageError(code: StorageErrorCode, message: string, cause?: unknown): TenonError<StorageErrorCode> {
  return new TenonError<StorageErrorCode>(code, message, cause === undefined ? undefined : { cause })
}
