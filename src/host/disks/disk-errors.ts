import { TenonError } from '../../base/errors.ts'
import { storageError, type StorageErrorCode } from '../../storage/errors.ts'

type What = 'open' | 'read' | 'write'

interface Explanation {
  readonly code: StorageErrorCode
  readonly message: string
}

const EXPLANATIONS: Readonly<Record<string, Explanation>> = {
  ENOENT: { code: 'DISK_NOT_FOUND', message: 'there is no such file' },
  ENOTDIR: { code: 'DISK_NOT_FOUND', message: 'a part of its path is no folder' },
  ELOOP: { code: 'DISK_NOT_FOUND', message: 'its symbolic links lead in a circle' },
  EEXIST: { code: 'DISK_EXISTS', message: 'there is a file already: choose another name, or remove it first' },
  EROFS: { code: 'DISK_READ_ONLY', message: 'its file system is read-only' },
  ENOSPC: { code: 'DISK_FULL', message: 'the host\'s disk is full: make room and try again' },
  EDQUOT: { code: 'DISK_FULL', message: 'your quota on the host is used up: make room and try again' },
  EFBIG: { code: 'DISK_FULL', message: 'the host\'s file system or a limit (ulimit -f) does not allow a file so large' },
  EBUSY: { code: 'DISK_IN_USE', message: 'another program has it open' },
  EISDIR: { code: 'DISK_UNSUPPORTED', message: 'it is a folder' },
}

const PERMISSIONS: Readonly<Record<What, Explanation>> = {
  open: { code: 'DISK_READ_FAILED', message: 'its permissions forbid it' },
  read: { code: 'DISK_READ_FAILED', message: 'its permissions forbid it' },
  write: { code: 'DISK_READ_ONLY', message: 'its permissions forbid writing' },
}

/** What the host's refusal means for a disk. Errors that have a code already stay as they are. */
export function diskError(error: unknown, path: string, what: What): TenonError {
  if (error instanceof TenonError) return error
  const { code = '', message } = error as NodeJS.ErrnoException
  const known = code === 'EACCES' || code === 'EPERM' ? PERMISSIONS[what] : EXPLANATIONS[code]
  if (known !== undefined) return storageError(known.code, `${path} cannot be ${past(what)}: ${known.message}`, error)
  const otherwise = what === 'write' ? 'DISK_WRITE_FAILED' : 'DISK_READ_FAILED'
  return storageError(otherwise, `${path} cannot be ${past(what)}: the host says ${code || message}`, error)
}

function past(what: What): string { return { open: 'opened', read: 'read', write: 'written' }[what] }
