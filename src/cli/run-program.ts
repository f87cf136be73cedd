import type { StartMachine } from '../host/machine/session.ts'
import { NetworkThread } from '../host/network/network-thread.ts'
import type { NetworkNoticeListener } from '../host/network/network-thread.ts'
import { cliError, describeError, ExitStatus, Quit } from './errors.ts'
import { parseCommandLine } from './program.ts'

/** How long the wish to quit waits for an orderly end. */
const GRACE_MS = 1_000

/** The whole program: does what the arguments say, and ends the process with the right status. */
export async function runProgram(argv: readonly string[], version: string, startMachine: StartMachine): Promise<void> {
  const { stdin, stdout, stderr, env: environment } = process
  const quit = new AbortController()
  listenForTheEnd(quit)
  let status: number
  try {
    status = await parseCommandLine(argv, version).perform({ stdin, stdout, stderr, environment, startMachine, startNetworks, version, quit })
    await flush()
    quit.signal.throwIfAborted()
  } catch (error) {
    status = report(quit.signal.aborted ? quit.signal.reason : error)
    await flush()
  }
  process.exit(status)
}

function startNetworks(onNotice: NetworkNoticeListener): NetworkThread { return new NetworkThread(onNotice) }

function listenForTheEnd(quit: AbortController): void {
  // The second time, or where the orderly end hangs, at once.
  const now = (): void => process.exit(report(quit.signal.reason))
  const end = (reason: unknown): void => (quit.signal.aborted ? now() : quit.abort(reason))
  quit.signal.addEventListener('abort', () => setTimeout(now, GRACE_MS))
  process.on('SIGINT', () => end(new Quit(ExitStatus.INTERRUPTED)))
  process.on('SIGTERM', () => end(new Quit(ExitStatus.TERMINATED)))
  process.on('SIGHUP', () => end(new Quit(ExitStatus.HANGUP)))
  process.stdout.on('error', error => end(outputFailure(error)))
  // Where our errors cannot be read, there is nobody to tell.
  process.stderr.on('error', () => end(new Quit(ExitStatus.BROKEN_PIPE)))
  process.on('uncaughtException', error => process.exit(report(error)))
}

/** Nobody reads our output any more, or it cannot be stored. */
function outputFailure(error: NodeJS.ErrnoException): unknown {
  if (error.code === 'EPIPE' || error.code === 'EOF') return new Quit(ExitStatus.BROKEN_PIPE)
  return cliError('OUTPUT_FAILED', `standard output cannot be written (${error.code}): the disk it goes to may be full`, error)
}

/** Says what went wrong, and gives the status for it. */
function report(error: unknown): number {
  if (error instanceof Quit) return error.status
  if (process.env.TENON_DEBUG && error instanceof Error) process.stderr.write(`${error.stack}\n`)
  process.stderr.write(`${describeError(error)}\n`)
  return ExitStatus.OURS
}

/** Output to pipes may be on its way, and errors of files are told a turn later; `process.exit` would lose both. */
async function flush(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    if (stream.writable && stream.writableLength > 0) await new Promise<void>(resolve => stream.write('', () => resolve()))
  }
  await new Promise(resolve => setImmediate(resolve))
}
