/**
 * Operations on open files. Source: Linux, include/uapi/linux/fuse.h.
 *
 *   OPEN     0 flags                                          fuse_open_out (16): 0 fh (8), 8 open_flags
 *   CREATE   0 flags, 4 mode, 8 umask, 16 name                entry, fuse_open_out
 *   READ     0 fh, 8 offset (8 each), 16 size                 data
 *   WRITE    0 fh, 8 offset (8 each), 16 size, 40 data        0 size, 4 padding
 *   RELEASE  0 fh (8)      nothing          FSYNC  0 fh (8), 8 flags   nothing          INTERRUPT  0 unique (8)   none
 *
 * An INTERRUPT comes when what it names has been answered: requests are served one after another. Left out on purpose: FLUSH (closing
 * shows no errors that a write did not), LSEEK and FALLOCATE (Node has no call for them; Linux manages without), locks.
 */
import { FuseError } from './errors.ts'
import type { FuseFileSystem, OpenMode } from './file-system.ts'
import type { FuseMessage } from './message.ts'
import { LARGEST_TRANSFER } from './negotiation.ts'
import type { Operation } from './operation.ts'
import { FSYNC_DATASYNC, FileType, Opcode, OpenFlag } from './protocol.ts'
import type { FuseReply } from './reply.ts'

export const FILE_OPERATIONS: readonly Operation[] = [
  {
    opcode: Opcode.OPEN, body: 8,
    perform: (files, message, reply) => openReply(reply, files.open(message.node, permitted(files, openMode(message.u32(0))))),
  },
  {
    opcode: Opcode.CREATE, body: 18, changes: true, perform: (files, message, reply) => {
      const flags = message.u32(0)
      const name = message.name(16)
      const mode = message.u32(4) & ~FileType.MASK
      const { entry, handle } = files.create(message.node, name, mode, openMode(flags), (flags & OpenFlag.EXCL) !== 0)
      reply.entry(entry)
      openReply(reply, handle)
    },
  },
  {
    opcode: Opcode.READ, body: 40, perform: (files, message, reply) => {
      const size = Math.min(message.u32(16), reply.dataRoom, LARGEST_TRANSFER)
      return files.read(message.u64(0), offsetOf(message), reply.data(size))
    },
  },
  {
    opcode: Opcode.WRITE, body: 40, changes: true, perform: (files, message, reply) => {
      const size = message.u32(16)
      if (size > LARGEST_TRANSFER) throw new FuseError('EINVAL')
      const written = files.write(message.u64(0), offsetOf(message), message.data(40, size))
      reply.u32(reply.append(8), written)
    },
  },
  { opcode: Opcode.RELEASE, body: 24, perform: (files, message) => files.release(message.u64(0)) },
  {
    opcode: Opcode.FSYNC, body: 16,
    perform: (files, message) => files.synchronize(message.u64(0), (message.u32(8) & FSYNC_DATASYNC) !== 0),
  },
  { opcode: Opcode.INTERRUPT, body: 8, isSilent: true, perform: () => { /* what it names is answered already */ } },
]

export function openReply(reply: FuseReply, handle: number): void { reply.u64(reply.append(16), handle) }

/** A signed 64-bit number in the host; what is exact here is far more than any file has. */
function offsetOf(message: FuseMessage): number {
  const offset = message.u64(8)
  if (!Number.isSafeInteger(offset + LARGEST_TRANSFER)) throw new FuseError('EFBIG')
  return offset
}

function openMode(flags: number): OpenMode {
  const access = flags & OpenFlag.ACCESS
  if (access === OpenFlag.ACCESS) throw new FuseError('EINVAL')
  return {
    reads: access !== OpenFlag.WRITE_ONLY, writes: access !== OpenFlag.READ_ONLY,
    appends: (flags & OpenFlag.APPEND) !== 0, truncates: (flags & OpenFlag.TRUNC) !== 0,
    synchronous: (flags & OpenFlag.SYNC) !== 0 ? 'all' : (flags & OpenFlag.DSYNC) !== 0 ? 'data' : 'no',
  }
}

function permitted(files: FuseFileSystem, how: OpenMode): OpenMode {
  if (files.readOnly && (how.writes || how.truncates)) throw new FuseError('EROFS')
  return how
}
