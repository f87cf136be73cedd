import type { FuseFileSystem } from './file-system.ts'
import type { FuseMessage } from './message.ts'
import type { FuseReply } from './reply.ts'

/** An operation of the protocol: a row of a table. */
export interface Operation {
  readonly opcode: number
  /** Bytes that its arguments take at least, names included. */
  readonly body: number
  /** It changes something: refused on a share that is read-only. */
  readonly changes?: boolean
  /** It has no reply. */
  readonly isSilent?: boolean
  /** Carries it out. Fields of the reply go to `reply`; returns how many bytes of data lie behind them in the guest's memory already. */
  readonly perform: (files: FuseFileSystem, message: FuseMessage, reply: FuseReply) => number | void
}
