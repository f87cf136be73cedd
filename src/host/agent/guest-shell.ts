import type { AgentCaller } from './commands.ts'
import { copyError } from './copy.ts'
import { printable } from './printable.ts'
import { runCaptured } from './run-program.ts'

/** Runs a script of ours in the guest's shell with these arguments, and gives what it says. @throws TenonError COPY_FAILED if it fails. */
export async function guestShell(caller: AgentCaller, script: string, ...parameters: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await runCaptured(caller, ['sh', '-c', script, 'sh', ...parameters])
  if (status !== 0) throw copyError(`the guest could not do its part: ${printable(stderr.toString()) || `status ${status}`}`)
  return stdout.toString()
}

/** Checks a path in the guest, as the user gave it. @throws TenonError COPY_FAILED. */
export function checkGuestPath(path: string): void {
  if (path.startsWith('/') && !path.includes('\0')) return
  throw copyError(`${JSON.stringify(path)} is no path in the guest: write it from the root on, as NAME:/root/file`)
}
