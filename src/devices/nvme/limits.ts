/** What this controller can do, where several of its parts must agree. */

/** Pairs of I/O queues. A guest with more processors shares them. */
export const IO_QUEUES = 16
/** Interrupt vectors: one for the admin queue, one for each I/O completion queue. */
export const VECTORS = IO_QUEUES + 1
/** Entries of the largest queue; CAP.MQES. */
export const QUEUE_ENTRIES = 1024
/** I/O commands that are carried out at once; more stay in their queues. */
export const COMMANDS_IN_FLIGHT = 256
/** Asynchronous Event Request commands that may wait; Identify's AERL. */
export const EVENT_REQUESTS = 4
/** Memory pages are 4 KiB: CAP.MPSMIN and MPSMAX are 0. */
export const PAGE = 4096
/** Identify's MDTS: a transfer has at most 2^8 pages, a megabyte. */
export const MAXIMUM_TRANSFER_POWER = 8
export const MAXIMUM_TRANSFER = PAGE << MAXIMUM_TRANSFER_POWER
/** Namespaces of one controller. */
export const NAMESPACES = 32
export const ALL_NAMESPACES = 0xffffffff
