import type { CopyOptions, CopyResult } from '../../host/agent/copy.ts'
import { printable } from '../../host/agent/printable.ts'
import { isGuestName } from '../../host/guests/home.ts'
import { cliError, ExitStatus } from '../errors.ts'
import { agentOf, DEFAULT_WAIT_MS } from '../guest-agent.ts'
import { ProgressDisplay } from '../progress-display.ts'
import type { Surroundings } from '../surroundings.ts'
import { task } from '../task.ts'
import type { AddCommand } from '../task.ts'
import { parseSeconds } from '../values.ts'

/** A place of this computer, or of a guest. */
export interface CopyPlace {
  readonly guest: string | undefined
  readonly path: string
}

export interface CopyRequest {
  readonly source: CopyPlace
  readonly target: CopyPlace
  readonly waitMs: number
}

const FAILED_IN_PART = 1

export const addCp: AddCommand = (program, line) => {
  program.command('cp')
    .summary('copy files and folders into a named guest, or out of it')
    .description('Copies a file or a folder between this computer and a running guest, by its guest agent: NAME:/path is a place in the guest.')
    .argument('<source>', 'what: FILE, or NAME:/path; FOLDER/. is what is in the folder')
    .argument('<target>', 'where to: NAME:/path, or FILE')
    .option('--wait <seconds>', 'how long to wait for a guest that boots (default: 120)', text => parseSeconds('--wait', text))
    .action((source: string, target: string, { wait = DEFAULT_WAIT_MS }: { wait?: number }) => {
      const request = { source: parsePlace(source), target: parsePlace(target), waitMs: wait }
      checkPlaces(request)
      line.take(task<CopyRequest>(request, copy))
    })
}

/** Reads `NAME:/path`; anything else is a file of this computer, as is what begins with a dot or a slash. On Windows `c:` is a drive. */
export function parsePlace(text: string): CopyPlace {
  const [, guest, path] = /^([^/\\:.]+):([^]*)$/.exec(text) ?? []
  if (guest === undefined || !isGuestName(guest) || process.platform === 'win32' && guest.length === 1) return { guest: undefined, path: text }
  return { guest, path }
}

function checkPlaces({ source, target }: CopyRequest): void {
  if (source.guest === undefined && target.guest === undefined) throw cliError('USAGE', 'neither place is in a guest: write one of them as NAME:/path')
  if (source.guest !== undefined && target.guest !== undefined) throw cliError('USAGE', 'both places are in guests: copy to a file of this computer first')
  if (source.path === '' || target.path === '') throw cliError('USAGE', 'there is no path behind the name: write NAME:/path')
}

async function copy({ source, target, waitMs }: CopyRequest, surroundings: Surroundings): Promise<number> {
  const { stderr, quit } = surroundings
  const agent = await agentOf((source.guest ?? target.guest)!, waitMs, surroundings)
  const display = new ProgressDisplay(stderr)
  const options: CopyOptions = {
    signal: quit.signal,
    onProgress: stderr.isTTY ? ({ path, bytes, totalBytes }) => display.show({ kind: 'transfer', name: printable(path), received: bytes, total: totalBytes }) : undefined,
  }
  const { copyIn, copyOut } = await copying()
  const copied = source.guest === undefined ? copyIn(agent, source.path, target.path, options) : copyOut(agent, source.path, target.path, options)
  return report(await copied.finally(() => display.finish()), stderr)
}

/** Other commands start without it. */
async function copying() {
  return { ...await import('../../host/agent/copy-in.ts'), ...await import('../../host/agent/copy-out.ts') }
}

/** As cp: what was left out is said, and is no success. */
function report({ skipped }: CopyResult, stderr: NodeJS.WriteStream): number {
  for (const what of skipped) stderr.write(`tenon: left out ${printable(what)}\n`)
  return skipped.length === 0 ? ExitStatus.OK : FAILED_IN_PART
}
