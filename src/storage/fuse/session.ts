import type { Buffers } from '../buffers.ts'
import { Errno, errnoOf } from './errors.ts'
import type { FuseFileSystem } from './file-system.ts'
import { FuseMessage } from './message.ts'
import { negotiate } from './negotiation.ts'
import { FILE_OPERATIONS } from './file-operations.ts'
import { FOLDER_OPERATIONS } from './folder-operations.ts'
import { NODE_OPERATIONS } from './node-operations.ts'
import type { Operation } from './operation.ts'
import { Opcode } from './protocol.ts'
import { FuseReply } from './reply.ts'

const OPERATIONS: ReadonlyMap<number, Operation> = new Map(
  [...NODE_OPERATIONS, ...FILE_OPERATIONS, ...FOLDER_OPERATIONS].map((operation) => [operation.opcode, operation]),
)

/**
 * A guest's conversation with a file system: takes one message after another, and answers each before the next.
 *
 *     new ──INIT──▶ mounted ──DESTROY──▶ new
 *                    ▲ │ INIT: the guest mounts anew
 *                    └─┘
 *
 * Whatever a message says, `serve` neither throws nor takes memory for it: nonsense is answered EINVAL or EIO, an operation that is not
 * there ENOSYS (Linux remembers that and does not ask again), and what leaves no room for an answer is not answered.
 */
export class FuseSession {
  private readonly fileSystem: FuseFileSystem
  private readonly message = new FuseMessage()
  private readonly reply = new FuseReply()
  private mounted = false

  constructor(fileSystem: FuseFileSystem) { this.fileSystem = fileSystem }

  /** Whether the guest has the file system mounted; set when a saved session is taken up. */
  get isMounted(): boolean { return this.mounted }
  set isMounted(mounted: boolean) { this.mounted = mounted }

  /** Serves one request. Returns the length of the reply; 0 if there is none. */
  serve(segments: Buffers, room: Buffers): number {
    const { message, reply } = this
    reply.begin(room)
    if (!message.read(segments)) return reply.finish(message.unique, Errno.EINVAL)
    try {
      return this.perform()
    } catch (error) {
      return reply.finish(message.unique, errnoOf(error))
    }
  }

  private perform(): number {
    const { message, reply, fileSystem } = this
    if (message.opcode === Opcode.INIT) return this.initialize()
    if (message.opcode === Opcode.DESTROY) return this.destroy()
    if (!this.mounted) return reply.finish(message.unique, Errno.EIO)
    const operation = OPERATIONS.get(message.opcode)
    if (operation === undefined) return reply.finish(message.unique, Errno.ENOSYS)
    if (message.bodyLength < operation.body) return operation.isSilent ? 0 : reply.finish(message.unique, Errno.EINVAL)
    if (operation.changes && fileSystem.readOnly) return reply.finish(message.unique, Errno.EROFS)
    const dataLength = operation.perform(fileSystem, message, reply)
    return operation.isSilent ? 0 : reply.finish(message.unique, 0, dataLength ?? 0)
  }

  private initialize(): number {
    const { message, reply, fileSystem } = this
    const outcome = negotiate(message, reply)
    if (outcome === 'refused') return reply.finish(message.unique, Errno.EPROTO)
    if (outcome === 'agreed') {
      fileSystem.reset()
      this.mounted = true
    }
    return reply.finish(message.unique, 0)
  }

  private destroy(): number {
    this.fileSystem.reset()
    this.mounted = false
    return this.reply.finish(this.message.unique, 0)
  }
}
