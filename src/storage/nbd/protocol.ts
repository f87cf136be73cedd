/**
 * The NBD protocol: numbers and layouts. Specification: NetworkBlockDevice/nbd, doc/proto.md (names are the specification's, without
 * the prefix NBD_ and what says of which field they are). All numbers on the wire are big-endian.
 *
 *   handshake        S: NBDMAGIC u64, IHAVEOPT u64, handshake flags u16      C: client flags u32
 *   option           IHAVEOPT u64, option u32, length u32, data
 *   option's reply   reply magic u64, option u32, type u32, length u32, data
 *   request          magic u32, flags u16, type u16, cookie u64, offset u64, length u32, data of a WRITE
 *   simple reply     magic u32, error u32, cookie u64, data of a READ
 *   structured       magic u32, flags u16, type u16, cookie u64, length u32, payload
 *
 * Left out: TLS, the oldstyle handshake, extended headers, resizing, caching hints and metadata contexts other than base:allocation.
 */
export const NBDMAGIC = [0x4e42444d, 0x41474943] as const
export const IHAVEOPT = [0x49484156, 0x454f5054] as const
/** In place of IHAVEOPT: the oldstyle handshake. */
export const OLDSTYLE_MAGIC = [0x00004202, 0x81861253] as const
export const OPTION_REPLY_MAGIC = [0x0003e889, 0x045565a9] as const
export const REQUEST_MAGIC = 0x25609513
export const SIMPLE_REPLY_MAGIC = 0x67446698
export const STRUCTURED_REPLY_MAGIC = 0x668e33ef

export const REQUEST_LENGTH = 28
export const SIMPLE_REPLY_LENGTH = 16
export const STRUCTURED_REPLY_LENGTH = 20
export const OPTION_HEADER_LENGTH = 16
export const OPTION_REPLY_HEADER_LENGTH = 20
/** Zeros after the answer to EXPORT_NAME, unless NO_ZEROES was agreed. */
export const EXPORT_NAME_PADDING = 124

/** The longest string, bytes of UTF-8. */
export const STRING_LIMIT = 4096
/** The largest payload that is allowed where no other limit was agreed. */
export const DEFAULT_PAYLOAD_LIMIT = 32 << 20
export const ALLOCATION_CONTEXT = 'base:allocation'

export const HandshakeFlag = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const

export const Option = {
  EXPORT_NAME: 1, ABORT: 2, LIST: 3, STARTTLS: 5, INFO: 6, GO: 7, STRUCTURED_REPLY: 8, LIST_META_CONTEXT: 9, SET_META_CONTEXT: 10,
} as const

export const OptionReply = {
  ACK: 1, SERVER: 2, INFO: 3, META_CONTEXT: 4,
  /** Set in all that follow. */
  ERROR: 0x80000000,
  ERR_UNSUP: 0x80000001, ERR_POLICY: 0x80000002, ERR_INVALID: 0x80000003, ERR_PLATFORM: 0x80000004, ERR_TLS_REQD: 0x80000005,
  ERR_UNKNOWN: 0x80000006, ERR_SHUTDOWN: 0x80000007, ERR_BLOCK_SIZE_REQD: 0x80000008, ERR_TOO_BIG: 0x80000009,
} as const

export const Info = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const

export const TransmissionFlag = {
  HAS_FLAGS: 1, READ_ONLY: 2, SEND_FLUSH: 4, SEND_FUA: 8, ROTATIONAL: 16, SEND_TRIM: 32, SEND_WRITE_ZEROES: 64, SEND_DF: 128,
  CAN_MULTI_CONN: 256,
} as const

export const Command = { READ: 0, WRITE: 1, DISC: 2, FLUSH: 3, TRIM: 4, CACHE: 5, WRITE_ZEROES: 6, BLOCK_STATUS: 7 } as const

export const CommandFlag = { FUA: 1, NO_HOLE: 2, DF: 4, REQ_ONE: 8 } as const

export const REPLY_DONE = 1

export const ReplyType = {
  NONE: 0, OFFSET_DATA: 1, OFFSET_HOLE: 2, BLOCK_STATUS: 5,
  /** Set in all that follow. */
  ERROR_BIT: 0x8000,
  ERROR: 0x8001, ERROR_OFFSET: 0x8002,
} as const

/** Flags of base:allocation. */
export const AllocationState = { HOLE: 1, ZERO: 2 } as const

export const NbdError = { EPERM: 1, EIO: 5, ENOMEM: 12, EINVAL: 22, ENOSPC: 28, EOVERFLOW: 75, ENOTSUP: 95, ESHUTDOWN: 108 } as const
