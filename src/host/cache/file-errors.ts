import { TenonError } from '../../base/errors.ts'
import { hostError } from '../errors.ts'
import type { HostErrorCode } from '../errors.ts'

/** Whose files they are: what their errors are called, and the variable that moves them elsewhere. */
export interface FileOwner {
  readonly full: HostErrorCode
  readonly unusable: HostErrorCode
  readonly variable: string
}

export const CACHE_FILES: FileOwner = { full: 'CACHE_DISK_FULL', unusable: 'CACHE_UNUSABLE', variable: 'TENON_CACHE' }

/** Turns a failed file operation into a TenonError that says what to do; other errors stay as they are. */
export function fileError(error: unknown, path: string, { full, unusable, variable }: FileOwner = CACHE_FILES): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException
  if (error instanceof TenonError || syscall === undefined || code === undefined) return error
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return hostError(full, `the disk is full: ${path} cannot be written; make room, or set ${variable} to a folder elsewhere`, error)
  }
  return hostError(unusable, `${path} cannot be used (${code} in ${syscall}): see to its permissions, or set ${variable} to another folder`, error)
}

/** Runs file operations under `path` with their errors explained. */
export async function explained<T>(path: string, operation: () => Promise<T>, owner: FileOwner = CACHE_FILES): Promise<T> {
  try {
    return await operation()
  } catch (error) {
    throw fileError(error, path, owner)
  }
}
