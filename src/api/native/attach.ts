import type { RawData, WebSocket } from 'ws'
import { TenonError } from '../../base/errors.ts'
import { hostError } from '../../host/errors.ts'
import type { Backlog } from '../../host/guests/guest-console.ts'
import type { GuestEnd } from '../../host/guests/guest-end.ts'
import type { HostClient } from './client.ts'
import type { ConsoleEvent } from './schema.ts'

export interface ConsoleHandlers {
  /** A promise holds back what follows until it is resolved. */
  output(bytes: Uint8Array): Promise<void> | void
  /** So many bytes were left out because they were not taken in time. */
  skipped(bytes: number): void
}

/** Attached to the console of a guest that runs in a background process. */
export class AttachedConsole {
  /** The guest's end, or undefined after `detach`. Rejects with a TenonError: it does not run, or its process ended. */
  readonly ended: Promise<GuestEnd | undefined>
  readonly #socket: WebSocket
  #isDetached = false

  private constructor(socket: WebSocket, name: string, { output, skipped }: ConsoleHandlers) {
    this.#socket = socket
    this.ended = new Promise((resolve, reject) => {
      const hear = (event: ConsoleEvent): void => {
        if (event.kind === 'skipped') skipped(event.bytes)
        else if (event.kind === 'ended') resolve(event.end)
        else reject(new TenonError(event.code, event.message))
      }
      const take = async (bytes: Uint8Array): Promise<void> => {
        const room = output(bytes)
        if (room === undefined) return
        socket.pause()
        await room
        socket.resume()
      }
      socket.on('message', (data: RawData, isBinary) => {
        if (isBinary) void take(data as Buffer)
        else hear(JSON.parse(String(data)) as ConsoleEvent)
      })
      socket.on('close', () => {
        if (this.#isDetached) return resolve(undefined)
        reject(hostError('HOST_PROCESS_FAILED', `the background process of the guest ${name} ended, and the guest with it: start it again`))
      })
    })
    // Where nobody waits for it.
    this.ended.catch(() => {})
  }

  /** Resolves when what is typed arrives, or it has failed: `ended` then says why. */
  static async open(client: HostClient, name: string, backlog: Backlog, handlers: ConsoleHandlers): Promise<AttachedConsole> {
    const { WebSocket } = await import('ws')
    const options = { createConnection: () => client.stream(), perMessageDeflate: false }
    const socket = new WebSocket(`ws://tenon/v1/guests/${name}/console?backlog=${backlog}`, options)
    // Its end is told by `close`, whatever the reason.
    socket.on('error', () => {})
    const attached = new AttachedConsole(socket, name, handlers)
    await new Promise<void>(resolve => {
      socket.once('open', () => resolve())
      socket.once('close', () => resolve())
    })
    return attached
  }

  /** Types bytes. They are dropped if it is not connected any more. */
  write(bytes: Uint8Array): Promise<void> {
    return new Promise(resolve => {
      if (this.#socket.readyState !== this.#socket.OPEN) return resolve()
      this.#socket.send(bytes, () => resolve())
    })
  }

  detach(): void {
    this.#isDetached = true
    this.#socket.close()
  }
}
