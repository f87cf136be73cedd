import { once } from 'node:events'
import { MessageChannel } from 'node:worker_threads'

/**
 * Frees the memory of these buffers now; they are empty afterwards. The garbage collector would do so some time, but a thread that runs
 * a machine may make no garbage for hours. A buffer that is sent on a port belongs to the message, and dies with it.
 */
export async function freeBuffers(buffers: readonly ArrayBufferLike[]): Promise<void> {
  const { port1, port2 } = new MessageChannel()
  port1.postMessage(undefined, [...new Set(buffers)].filter(buffer => buffer instanceof ArrayBuffer))
  port2.close()
  await once(port2, 'close')
}
