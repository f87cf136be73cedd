import type { GuestOptions } from '../host/guest/boot.ts'
import { checkMemory } from '../host/guest/image-guest.ts'
import { startImageSession } from '../host/guest/image-session.ts'
import type { SessionRequest } from '../host/guest/protocol.ts'
import { cliError } from './errors.ts'
import { prepareImage } from './prepare-image.ts'
import type { RunRequest } from './run-request.ts'
import { takeTerminal, windowSize } from './session-terminal.ts'
import type { Running } from './session-terminal.ts'
import type { Surroundings } from './surroundings.ts'

/** A command or a shell in a guest whose init is ours. */
export async function runImage(request: RunRequest, options: GuestOptions, surroundings: Surroundings, running: Running): Promise<number> {
  const { stdin, stdout, stderr } = surroundings
  const image = await prepareImage(request.image, { mirror: request.mirror }, surroundings)
  checkMemory(image, request.memoryBytes)
  const isOnTerminal = isInteractive(request, surroundings)
  const terminal = isOnTerminal ? takeTerminal(surroundings, running) : undefined
  if (terminal !== undefined) stderr.write(`tenon: starting ${image.name} (Ctrl-A x quits, Ctrl-A h helps)\r\n`)
  const session = await startImageSession({
    ...options,
    image,
    request: sessionRequest(request, isOnTerminal, surroundings),
    stdin: terminal ?? stdin,
    stdout,
    stderr,
    kernelLog: request.verbose ? stderr : undefined,
    append: request.append,
    onBooted: () => terminal?.passInterrupts(),
  })
  const onResize = (): void => session.resize(windowSize(stdout))
  if (isOnTerminal) stdout.on('resize', onResize)
  return session.status.finally(() => stdout.off('resize', onResize))
}

/** A shell is for a terminal where there is one, and reads a script from stdin where there is none. */
function isInteractive({ command, tty }: RunRequest, { stdin, stdout }: Surroundings): boolean {
  const hasTerminal = stdin.isTTY && stdout.isTTY
  if (tty && !hasTerminal) throw cliError('USAGE', '--tty needs a terminal on stdin and stdout: leave it out')
  return hasTerminal && (tty || command === undefined)
}

function sessionRequest({ command, environment }: RunRequest, isOnTerminal: boolean, { stdout, environment: ours }: Surroundings): SessionRequest {
  if (!isOnTerminal) return { mode: 'with_pipes', argv: command ?? ['sh'], environment }
  const terminalType: Record<string, string> = ours.TERM === undefined ? {} : { TERM: ours.TERM }
  return {
    mode: 'on_console', argv: command ?? ['sh', '-l'], environment: { ...terminalType, ...environment }, windowSize: windowSize(stdout),
  }
}
