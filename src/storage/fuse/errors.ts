import { TenonError } from '../../base/errors.ts'

/**
 * Errors as the guest gets them: numbers of Linux, by name. Source: Linux, include/uapi/asm-generic/errno-base.h and errno.h.
 */
export const Errno = {
  EPERM: 1, ENOENT: 2, EIO: 5, ENXIO: 6, EBADF: 9, EAGAIN: 11, ENOMEM: 12, EACCES: 13, EBUSY: 16, EEXIST: 17, EXDEV: 18, ENODEV: 19,
  ENOTDIR: 20, EISDIR: 21, EINVAL: 22, ENFILE: 23, EMFILE: 24, ETXTBSY: 26, EFBIG: 27, ENOSPC: 28, EROFS: 30, EMLINK: 31,
  ENAMETOOLONG: 36, ENOSYS: 38, ENOTEMPTY: 39, ELOOP: 40, EPROTO: 71, EILSEQ: 84, EOPNOTSUPP: 95, ENOTSUP: 95, ESTALE: 116, EDQUOT: 122,
} as const

export type ErrnoName = keyof typeof Errno

/** A request that is refused. It is an answer to the guest and never leaves the server. */
export class FuseError extends TenonError<'FUSE_REFUSED'> {
  readonly errno: ErrnoName

  constructor(errno: ErrnoName) {
    super('FUSE_REFUSED', `the guest is answered ${errno}`)
    this.errno = errno
  }
}

/** The number for whatever an operation failed with: a FuseError, or an error of the host's file system, which has a name in `code`. */
export function errnoOf(error: unknown): number {
  if (error instanceof FuseError) return Errno[error.errno]
  const { code } = error as { readonly code?: unknown }
  return typeof code === 'string' && Object.hasOwn(Errno, code) ? Errno[code as ErrnoName] : Errno.EIO
}
