import { PassThrough } from 'node:stream'
import type { MachineConsole } from './types.ts'

const UNREAD_LIMIT = 256 * 1024

/** The two ends of a console: `output` takes what the guest writes. */
export class ConsolePipe {
  readonly output = new PassThrough({ highWaterMark: UNREAD_LIMIT })

  /** `send` gives bytes to the guest. */
  open(send: (bytes: Uint8Array) => Promise<void>): MachineConsole {
    return {
      write: data => send(typeof data === 'string' ? new TextEncoder().encode(data) : data),
      [Symbol.asyncIterator]: () => this.output[Symbol.asyncIterator](),
    }
  }
}
