/**
 * Operations on names and attributes. Source: Linux, include/uapi/linux/fuse.h. Names end with a zero.
 *
 *   LOOKUP        name                                      entry      GETATTR   0 flags, 8 fh                         attributes
 *   FORGET        0 nlookup (8)                             none       SETATTR   0 valid, 8 fh, 16 size, 32 atime, 40 mtime (8 each),
 *   BATCH_FORGET  0 count (4), 8 count * { nodeid, nlookup }  none               56 atimensec, 60 mtimensec, 68 mode, 76 uid, 80 gid
 *   READLINK      nothing                                   target     SYMLINK   name, target                          entry
 *   MKNOD         0 mode, 4 rdev, 8 umask, 16 name          entry      MKDIR     0 mode, 4 umask, 8 name               entry
 *   UNLINK, RMDIR name                                      nothing    RENAME    0 newdir (8), 8 name, new name        nothing
 *   LINK          0 oldnodeid (8), 8 name                   entry      RENAME2   0 newdir (8), 8 flags, 16 name, new name
 *   ACCESS        0 mask                                    nothing    STATFS    nothing                               fuse_kstatfs (80)
 *
 * A node's kind in MKNOD can be a regular file alone. RENAME2 knows NOREPLACE, not EXCHANGE and WHITEOUT. Left out on purpose: extended
 * attributes (all answered ENOSYS, as is every opcode without a row).
 */
import { FuseError } from './errors.ts'
import type { AttributeChanges, NewTime } from './file-system.ts'
import { LONGEST_BODY, type FuseMessage } from './message.ts'
import { checkFileName } from './names.ts'
import type { Operation } from './operation.ts'
import { FileType, GETATTR_FH, NAME_MAX, Opcode, RENAME_NOREPLACE, SetAttribute, TARGET_MAX } from './protocol.ts'

const FORGET_ONE = 16

export const NODE_OPERATIONS: readonly Operation[] = [
  { opcode: Opcode.LOOKUP, body: 2, perform: (files, message, reply) => reply.entry(files.lookup(message.node, message.name(0))) },
  { opcode: Opcode.FORGET, body: 8, isSilent: true, perform: (files, message) => files.forget(message.node, message.u64(0)) },
  {
    opcode: Opcode.BATCH_FORGET, body: 8, isSilent: true, perform: (files, message) => {
      const count = Math.min(message.u32(0), Math.floor((Math.min(message.bodyLength, LONGEST_BODY) - 8) / FORGET_ONE))
      for (let index = 0; index < count; index++) files.forget(message.u64(8 + FORGET_ONE * index), message.u64(16 + FORGET_ONE * index))
    },
  },
  {
    opcode: Opcode.GETATTR, body: 16, perform: (files, message, reply) => {
      const handle = (message.u32(0) & GETATTR_FH) !== 0 ? message.u64(8) : undefined
      reply.attributeReply(files.attributes(message.node, handle))
    },
  },
  {
    opcode: Opcode.SETATTR, body: 88, changes: true, perform: (files, message, reply) => {
      const handle = (message.u32(0) & SetAttribute.FH) !== 0 ? message.u64(8) : undefined
      reply.attributeReply(files.setAttributes(message.node, attributeChanges(message), handle))
    },
  },
  { opcode: Opcode.READLINK, body: 0, perform: (files, message, reply) => reply.put(files.readLink(message.node).subarray(0, TARGET_MAX)) },
  {
    opcode: Opcode.SYMLINK, body: 4, changes: true, perform: (files, message, reply) => {
      const [name, target] = [message.name(0), message.text(0, 1)]
      if (target === '') throw new FuseError('ENOENT')
      if (target.length > TARGET_MAX) throw new FuseError('ENAMETOOLONG')
      reply.entry(files.makeLink(message.node, name, target))
    },
  },
  {
    opcode: Opcode.MKNOD, body: 18, changes: true, perform: (files, message, reply) => {
      const mode = message.u32(0)
      if ((mode & FileType.MASK) !== FileType.REGULAR) throw new FuseError('EPERM')
      reply.entry(files.makeFile(message.node, message.name(16), mode & ~FileType.MASK))
    },
  },
  {
    opcode: Opcode.MKDIR, body: 10, changes: true,
    perform: (files, message, reply) => reply.entry(files.makeFolder(message.node, message.name(8), message.u32(0) & ~FileType.MASK)),
  },
  { opcode: Opcode.UNLINK, body: 2, changes: true, perform: (files, message) => files.removeFile(message.node, message.name(0)) },
  { opcode: Opcode.RMDIR, body: 2, changes: true, perform: (files, message) => files.removeFolder(message.node, message.name(0)) },
  {
    opcode: Opcode.RENAME, body: 8 + 4, changes: true,
    perform: (files, message) => files.rename(message.node, message.name(8), message.u64(0), checkFileName(message.text(8, 1)), true),
  },
  {
    opcode: Opcode.RENAME2, body: 16 + 4, changes: true, perform: (files, message) => {
      const flags = message.u32(8)
      if ((flags & ~RENAME_NOREPLACE) !== 0) throw new FuseError('EINVAL')
      files.rename(message.node, message.name(16), message.u64(0), checkFileName(message.text(16, 1)), flags === 0)
    },
  },
  {
    opcode: Opcode.LINK, body: 8 + 2, changes: true,
    perform: (files, message, reply) => reply.entry(files.link(message.u64(0), message.node, message.name(8))),
  },
  { opcode: Opcode.ACCESS, body: 4, perform: (files, message) => files.access(message.node, message.u32(0)) },
  {
    opcode: Opcode.STATFS, body: 0, perform: (files, message, reply) => {
      const { blocks, free, available, files: all, freeFiles, blockSize } = files.figures(message.node)
      const at = reply.append(80);
      [blocks, free, available, all, freeFiles].forEach((value, index) => reply.u64(at + 8 * index, value));
      [blockSize, NAME_MAX, blockSize].forEach((value, index) => reply.u32(at + 40 + 4 * index, value))
    },
  },
]

function attributeChanges(message: FuseMessage): AttributeChanges {
  const valid = message.u32(0)
  const given = <Value>(bit: number, value: Value): Value | undefined => (valid & bit) !== 0 ? value : undefined
  return {
    mode: given(SetAttribute.MODE, message.u32(68) & ~FileType.MASK),
    user: given(SetAttribute.UID, message.u32(76)),
    group: given(SetAttribute.GID, message.u32(80)),
    size: given(SetAttribute.SIZE, message.u64(16)),
    accessed: newTime(valid, SetAttribute.ATIME, SetAttribute.ATIME_NOW, message, 32, 56),
    modified: newTime(valid, SetAttribute.MTIME, SetAttribute.MTIME_NOW, message, 40, 60),
  }
}

function newTime(
  valid: number, given: number, now: number, message: FuseMessage, seconds: number, nanoseconds: number,
): NewTime | undefined {
  if ((valid & now) !== 0) return 'now'
  return (valid & given) !== 0 ? message.i64(seconds) + message.u32(nanoseconds) / 1e9 : undefined
}
