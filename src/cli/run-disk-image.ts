import type { GuestOptions } from '../host/guest/boot.ts'
import { runKernel } from '../host/guest/kernel-session.ts'
import type { DiskImage } from '../host/images/debian/debian-image.ts'
import { prepareDiskImage } from '../host/images/debian/prepare.ts'
import { cliError, ExitStatus } from './errors.ts'
import type { RunRequest } from './program.ts'
import { ProgressDisplay } from './progress-display.ts'
import type { PrepareOptions, Surroundings } from './run.ts'
import type { TerminalInput } from './terminal.ts'

/** Boots an image that has a disk, with its console in this terminal. What the guest writes goes to memory, and is gone with the guest. */
export async function runDiskImage(
  request: RunRequest, surroundings: Surroundings, options: GuestOptions, openTerminal: () => TerminalInput,
): Promise<number> {
  const { stdin, stdout, stderr } = surroundings
  if (request.command !== undefined) throw cliError('USAGE', `${request.image} boots to a login: leave out the command, or use the image busybox`)
  if (request.lockstep) throw cliError('USAGE', '--lockstep runs two machines, which cannot share a disk: use the image busybox')
  const image = await prepareImageOnDisk(request.image, { mirror: request.mirror }, surroundings, request)
  const terminal = stdin.isTTY && stdout.isTTY ? openTerminal() : undefined
  if (terminal !== undefined) stderr.write(`tenon: starting ${image.definition.name}, whose changes last as long as it runs (Ctrl-A x quits, Ctrl-A h helps)\r\n`)
  const append = request.append === undefined ? '' : ` ${request.append}`
  await runKernel({
    ...options,
    kernel: image.kernel,
    commandLine: `${image.commandLine} console=ttyS0${request.verbose ? '' : ' quiet'}${append}`,
    disks: [{ graph: { kind: 'overlay', base: image.diskPath } }, ...options.disks ?? []],
    input: terminal ?? stdin,
    output: stdout,
    onBooted: () => terminal?.passInterrupts(),
  })
  return ExitStatus.OK
}

/** Gets an image, showing on stderr what takes time. */
export async function prepareImageOnDisk(
  name: string, options: PrepareOptions, { startMachine, stderr, environment, quit }: Surroundings, { cpu, engine, verbose }: Partial<RunRequest> = {},
): Promise<DiskImage> {
  const display = new ProgressDisplay(stderr)
  const log = verbose ? (line: string): void => void stderr.write(`${line}\n`) : undefined
  try {
    return await prepareDiskImage(name, {
      ...options, startMachine, cpu, engine, signal: quit.signal, http: { environment }, progress: event => display.show(event), log,
    })
  } finally {
    display.finish()
  }
}
