/**
 * Numbers of the FUSE protocol, version 7.31, as Linux speaks it. Source: Linux, include/uapi/linux/fuse.h, and for the numbers of errors
 * and flags its asm-generic headers; the guest is x86-64. All numbers are little-endian.
 *
 *   fuse_in_header    0 len (4), 4 opcode (4), 8 unique (8), 16 nodeid (8), 24 uid, 28 gid, 32 pid (4 each)   then what the operation takes
 *   fuse_out_header   0 len (4), 4 error (4: 0 or a negative errno), 8 unique (8)                             then what it gives
 */
export const IN_HEADER_SIZE = 40
export const OUT_HEADER_SIZE = 16

export const MAJOR_VERSION = 7
export const MINOR_VERSION = 31
/** Before it some messages were shorter. */
export const OLDEST_MINOR_VERSION = 27

/** The share's own folder. */
export const ROOT_NODE = 1

export const Opcode = {
  LOOKUP: 1, FORGET: 2, GETATTR: 3, SETATTR: 4, READLINK: 5, SYMLINK: 6, MKNOD: 8, MKDIR: 9, UNLINK: 10, RMDIR: 11, RENAME: 12,
  LINK: 13, OPEN: 14, READ: 15, WRITE: 16, STATFS: 17, RELEASE: 18, FSYNC: 20, SETXATTR: 21, GETXATTR: 22, LISTXATTR: 23,
  REMOVEXATTR: 24, FLUSH: 25, INIT: 26, OPENDIR: 27, READDIR: 28, RELEASEDIR: 29, FSYNCDIR: 30, ACCESS: 34, CREATE: 35, INTERRUPT: 36,
  DESTROY: 38, BATCH_FORGET: 42, FALLOCATE: 43, READDIRPLUS: 44, RENAME2: 45, LSEEK: 46,
} as const

/** Flags of INIT: what kernel and server can do. */
export const InitFlag = {
  ASYNC_READ: 1 << 0, BIG_WRITES: 1 << 5, AUTO_INVAL_DATA: 1 << 12, DO_READDIRPLUS: 1 << 13, READDIRPLUS_AUTO: 1 << 14,
  ASYNC_DIO: 1 << 15, PARALLEL_DIROPS: 1 << 18, MAX_PAGES: 1 << 22,
} as const

/** Which fields of SETATTR count. */
export const SetAttribute = {
  MODE: 1 << 0, UID: 1 << 1, GID: 1 << 2, SIZE: 1 << 3, ATIME: 1 << 4, MTIME: 1 << 5, FH: 1 << 6, ATIME_NOW: 1 << 7, MTIME_NOW: 1 << 8,
} as const

/** GETATTR: the handle is given. FSYNC: data only. */
export const GETATTR_FH = 1
export const FSYNC_DATASYNC = 1

/** RENAME2: fail if the new name is taken. */
export const RENAME_NOREPLACE = 1

/** Flags of open(2), as an x86-64 guest has them. */
export const OpenFlag = {
  ACCESS: 3, READ_ONLY: 0, WRITE_ONLY: 1, READ_WRITE: 2, EXCL: 0o200, TRUNC: 0o1000, APPEND: 0o2000, DSYNC: 0o10000, SYNC: 0o4000000,
} as const

/** Types in the mode of a file. A directory's entry has them 12 bits lower. */
export const FileType = { MASK: 0o170000, FIFO: 0o010000, CHARACTER: 0o020000, DIRECTORY: 0o040000, BLOCK: 0o060000, REGULAR: 0o100000,
  SYMLINK: 0o120000, SOCKET: 0o140000 } as const

/** Bits of a mode beside the type. */
export const Mode = { PERMISSIONS: 0o777, STICKY: 0o1000, SETGID: 0o2000, SETUID: 0o4000 } as const

/** The longest name, and the longest target of a symbolic link (PATH_MAX without its zero). */
export const NAME_MAX = 255
export const TARGET_MAX = 4095
