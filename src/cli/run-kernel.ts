import type { GuestOptions } from '../host/guest/boot.ts'
import { runKernel } from '../host/guest/kernel-session.ts'
import { readInputFile } from '../host/input-file.ts'
import { ExitStatus } from './errors.ts'
import type { RunRequest } from './run-request.ts'
import { takeTerminal } from './session-terminal.ts'
import type { Running } from './session-terminal.ts'
import type { Surroundings } from './surroundings.ts'

/** A kernel of the user's own. */
export async function runOwnKernel(
  request: RunRequest, kernelPath: string, options: GuestOptions, surroundings: Surroundings, running: Running,
): Promise<number> {
  const kernel = await readInputFile(kernelPath, '--kernel')
  const initrd = request.initrd === undefined ? undefined : await readInputFile(request.initrd, '--initrd')
  return runOnConsole(request, { ...options, kernel, initrd, commandLine: request.append ?? 'console=ttyS0' }, surroundings, running)
}

export interface ConsoleBoot extends GuestOptions {
  readonly kernel: Uint8Array
  readonly initrd?: Uint8Array
  readonly commandLine: string
}

/** A guest whose console is this terminal, or stdin and stdout, until it ends. `greeting` is for who sits at the terminal. */
export async function runOnConsole(
  { verbose }: RunRequest, boot: ConsoleBoot, surroundings: Surroundings, running: Running, greeting?: string,
): Promise<number> {
  const { stdin, stdout, stderr } = surroundings
  const terminal = stdin.isTTY && stdout.isTTY ? takeTerminal(surroundings, running) : undefined
  if (terminal !== undefined && greeting !== undefined) stderr.write(`tenon: ${greeting}\r\n`)
  const exit = await runKernel({ ...boot, input: terminal ?? stdin, output: stdout, onBooted: () => terminal?.passInterrupts() })
  if (verbose || exit.reason === 'halted') stderr.write(`tenon: the guest ended: ${exit.reason}${exit.detail === '' ? '' : ` (${exit.detail})`}\n`)
  return ExitStatus.OK
}
