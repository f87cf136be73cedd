/** A disk for others, over NBD. */
import { openDisk } from '../../storage/open.ts'
import { NbdServer } from '../../storage/nbd/server.ts'
import { hostEnvironment } from '../disks/environment.ts'
import { hostTimer } from '../disks/host-timer.ts'
import { listenNbd } from '../disks/nbd.ts'
import { formatNbdUri, type NbdAddress } from '../disks/nbd-uri.ts'
import { describedGraphOf, type FormatName } from './formats.ts'

export interface ServeOptions {
  readonly address: NbdAddress
  readonly exportName?: string
  readonly readOnly?: boolean
  readonly format?: FormatName
  /** Ends the serving. */
  readonly signal: AbortSignal
  /** Called when clients can connect, with the address that they use. */
  readonly onReady: (uri: string) => void
  /** Called when a client has gone; `error` says why, if it was not its wish. */
  readonly onClient?: (peer: string, error: Error | null) => void
}

/** Serves a disk until the signal is aborted; then what clients wrote is made durable. Rejects as opening it and listening do. */
export async function serveDisk(name: string, options: ServeOptions): Promise<void> {
  const { address, exportName = '', readOnly = false, signal, onReady, onClient } = options
  const node = await openDisk(await describedGraphOf(name, options.format), hostEnvironment(), { readOnly })
  const server = new NbdServer({ timers: hostTimer })
  try {
    server.add({ name: exportName, node, readOnly })
    const listener = await listenNbd(server, address, { onClient: ({ peer, error }) => onClient?.(peer, error) })
    onReady(formatNbdUri({ address: listener.address, exportName }))
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve()
      else signal.addEventListener('abort', () => resolve(), { once: true })
    })
    await Promise.all([listener.close(), server.close()])
  } finally {
    await node.close()
  }
}
