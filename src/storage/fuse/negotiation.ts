/**
 * INIT: which version and which abilities both sides have. Source: Linux, include/uapi/linux/fuse.h.
 *
 *   fuse_init_in (16)    0 major, 4 minor, 8 max_readahead, 12 flags
 *   fuse_init_out (64)   0 major, 4 minor, 8 max_readahead, 12 flags, 16 max_background (2), 18 congestion_threshold (2), 20 max_write,
 *                        24 time_gran, 28 max_pages (2)
 *
 * Left out on purpose: WRITEBACK_CACHE (the host's files would lag behind), locks between guest and host (a guest's own are its kernel's
 * affair), NO_OPEN_SUPPORT, ATOMIC_O_TRUNC, CACHE_SYMLINKS.
 */
import type { FuseMessage } from './message.ts'
import { InitFlag, MAJOR_VERSION, MINOR_VERSION, OLDEST_MINOR_VERSION } from './protocol.ts'
import type { FuseReply } from './reply.ts'

/** The largest WRITE and READ. */
export const LARGEST_TRANSFER = 1 << 20
const PAGE_SIZE = 4096
const REPLY_SIZE = 64
const MAX_BACKGROUND = 64

const WANTED = InitFlag.ASYNC_READ | InitFlag.BIG_WRITES | InitFlag.AUTO_INVAL_DATA | InitFlag.DO_READDIRPLUS
  | InitFlag.READDIRPLUS_AUTO | InitFlag.ASYNC_DIO | InitFlag.PARALLEL_DIROPS | InitFlag.MAX_PAGES

/** `again`: the kernel is newer than us and asks once more in our version. `refused`: it is too old. */
export function negotiate(message: FuseMessage, reply: FuseReply): 'agreed' | 'again' | 'refused' {
  const [major, minor] = [message.u32(0), message.u32(4)]
  if (major < MAJOR_VERSION || major === MAJOR_VERSION && minor < OLDEST_MINOR_VERSION) return 'refused'
  const at = reply.append(REPLY_SIZE)
  reply.u32(at, MAJOR_VERSION)
  reply.u32(at + 4, MINOR_VERSION)
  if (major > MAJOR_VERSION) return 'again'
  reply.u32(at + 8, message.u32(8))
  reply.u32(at + 12, message.u32(12) & WANTED)
  reply.u16(at + 16, MAX_BACKGROUND)
  reply.u16(at + 18, MAX_BACKGROUND * 3 / 4)
  reply.u32(at + 20, LARGEST_TRANSFER)
  reply.u32(at + 24, 1)
  reply.u16(at + 28, LARGEST_TRANSFER / PAGE_SIZE)
  return 'agreed'
}
