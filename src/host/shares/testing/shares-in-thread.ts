import type { FuseSession } from '../../../storage/fuse/session.ts'
import { ShareChannel } from '../share-channel.ts'
import { ShareQueue } from '../share-queue.ts'
import { ShareServer } from '../share-server.ts'

type Places = readonly (readonly [address: number, length: number])[]

/** Both ends of a channel on one thread: the server serves when it is told. */
export class SharesInThread {
  readonly memory = new Uint8Array(new SharedArrayBuffer(1 << 20))
  readonly channel = new ShareChannel()
  readonly queue: ShareQueue
  readonly server: ShareServer
  rings = 0

  constructor(sessions: readonly Pick<FuseSession, 'serve'>[]) {
    this.queue = new ShareQueue(this.channel, sessions.map((_, index) => ({ tag: `share${index}` })))
    this.server = new ShareServer({ channel: this.channel, pool: this.memory.buffer, sessions, ring: () => { this.rings++ } })
  }

  /** Submits a request whose message and reply lie in these places: pairs of address and length. Resolves with the reply's length. */
  request(share: number, message: Places, reply: Places): Promise<number> {
    const views = (places: Places): Uint8Array[] => places.map(([at, length]) => this.memory.subarray(at, at + length))
    return new Promise(done => this.queue.shares[share].submit({ message: views(message), reply: views(reply), done }))
  }
}
