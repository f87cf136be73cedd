import { Random } from '../../../base/testing/random.ts'
import type { BlockNode } from '../../block-node.ts'
import { openNbdClient, type NbdClientOptions } from '../client.ts'
import { type NbdExport, NbdServer } from '../server.ts'
import { streamPair, TestTimers } from './streams.ts'

/** A server in memory with clients of ours. */
export class Loopback {
  readonly timers = new TestTimers()
  readonly server = new NbdServer({ timers: this.timers })
  private readonly random = new Random(7)

  constructor(...exports: NbdExport[]) { for (const exported of exports) this.server.add(exported) }

  open(exportName: string, options: Partial<NbdClientOptions> = {}): Promise<BlockNode> {
    return openNbdClient({ name: `nbd://test/${exportName}`, exportName, timers: this.timers, connect: async () => this.connect(), ...options })
  }

  connect() {
    const [near, far] = streamPair(this.random)
    void this.server.serve(far)
    return near
  }
}
