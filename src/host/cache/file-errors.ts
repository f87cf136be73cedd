import { TenonError } from '../../base/errors.ts'
import { hostError } from '../errors.ts'

/** Turns a failed file operation into a TenonError that says what to do; other errors stay as they are. */
export function fileError(error: unknown, path: string): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException
  if (error instanceof TenonError || syscall === undefined || code === undefined) return error
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return hostError('CACHE_DISK_FULL', `the disk is full: ${path} cannot be written; make room, or set TENON_CACHE to a folder elsewhere`, error)
  }
  return hostError('CACHE_UNUSABLE', `${path} cannot be used (${code} in ${syscall}): see to its permissions, or set TENON_CACHE to another folder`, error)
}

/** Runs file operations under `path` with their errors explained. */
export async function explained<T>(path: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation()
  } catch (error) {
    throw fileError(error, path)
  }
}
