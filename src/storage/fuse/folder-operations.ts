/**
 * Operations on open folders. Source: Linux, include/uapi/linux/fuse.h.
 *
 *   OPENDIR, RELEASEDIR, FSYNCDIR   as OPEN, RELEASE and FSYNC
 *   READDIR, READDIRPLUS   as READ; gives entries, as many as fit, each padded to 8 bytes
 *     fuse_dirent       0 ino, 8 off (8 each; where the next one begins), 16 namelen, 20 type, 24 name
 *     fuse_direntplus   fuse_entry_out (128; nodeid 0 if the guest shall look it up itself), fuse_dirent
 *
 * An entry of READDIRPLUS counts as a LOOKUP, except `.` and `..`.
 */
import type { FolderEntry, FuseFileSystem } from './file-system.ts'
import { openReply } from './file-operations.ts'
import type { FuseMessage } from './message.ts'
import type { Operation } from './operation.ts'
import { FSYNC_DATASYNC, FileType, Opcode } from './protocol.ts'
import { ENTRY_SIZE, type FuseReply } from './reply.ts'

const DIRENT_SIZE = 24
const TYPE_SHIFT = 12

export const FOLDER_OPERATIONS: readonly Operation[] = [
  { opcode: Opcode.OPENDIR, body: 8, perform: (files, message, reply) => openReply(reply, files.openFolder(message.node)) },
  { opcode: Opcode.READDIR, body: 40, perform: (files, message, reply) => readFolder(files, message, reply, false) },
  { opcode: Opcode.READDIRPLUS, body: 40, perform: (files, message, reply) => readFolder(files, message, reply, true) },
  { opcode: Opcode.RELEASEDIR, body: 24, perform: (files, message) => files.release(message.u64(0)) },
  {
    opcode: Opcode.FSYNCDIR, body: 16,
    perform: (files, message) => files.synchronize(message.u64(0), (message.u32(8) & FSYNC_DATASYNC) !== 0),
  },
]

function readFolder(files: FuseFileSystem, message: FuseMessage, reply: FuseReply, plus: boolean): void {
  const room = Math.min(message.u32(16), reply.room)
  files.readFolder(message.u64(0), message.u64(8), (entry, next) => {
    const padded = DIRENT_SIZE + entry.name.length + 7 & ~7
    if (reply.length + padded + (plus ? ENTRY_SIZE : 0) > room) return false
    if (plus) appendEntry(reply, entry)
    appendDirent(reply, entry, next, padded)
    return true
  })
}

function appendEntry(reply: FuseReply, entry: FolderEntry): void {
  if (entry.name === '.' || entry.name === '..') reply.append(ENTRY_SIZE)
  else reply.entry({ node: entry.count(), attributes: entry.attributes })
}

function appendDirent(reply: FuseReply, { name, attributes }: FolderEntry, next: number, padded: number): void {
  const at = reply.append(DIRENT_SIZE)
  reply.u64(at, attributes.inode)
  reply.u64(at + 8, next)
  reply.u32(at + 16, name.length)
  reply.u32(at + 20, (attributes.mode & FileType.MASK) >> TYPE_SHIFT)
  reply.text(name)
  reply.append(padded - DIRENT_SIZE - name.length)
}
