import type { StartMachine } from '../host/machine/session.ts'
import type { NetworkNoticeListener, NetworkThread } from '../host/network/network-thread.ts'

/** What the program runs in: the process's own streams, or a test's. */
export interface Surroundings {
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly startMachine: StartMachine
  /** Absent where machines have no networks. */
  readonly startNetworks?: (onNotice: NetworkNoticeListener) => NetworkThread
  /** The program's own version. */
  readonly version: string
  /** Aborted, with a Quit, to end it all. */
  readonly quit: AbortController
}
