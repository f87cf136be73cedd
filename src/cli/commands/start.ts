import { ensureHost } from '../../api/native/start-process.ts'
import { attachConsole } from '../attach-console.ts'
import { ExitStatus } from '../errors.ts'
import { guestStore, hostOptions, untilQuit } from '../named-guests.ts'
import type { Surroundings } from '../surroundings.ts'
import { task } from '../task.ts'
import type { AddCommand } from '../task.ts'

export interface StartRequest {
  readonly name: string
  readonly attach: boolean
  /** Not from where it was suspended. */
  readonly afresh: boolean
}

export const addStart: AddCommand = (program, line) => {
  program.command('start')
    .summary('start a named guest')
    .alias('resume')
    .description('Starts a guest that tenon run --name has made, in the background. One that was suspended goes on where it was.')
    .argument('<name>', 'which')
    .option('-a, --attach', 'attach to its console')
    .option('--fresh', 'forget where it was suspended: it boots, as after a power failure')
    .action((name: string, { attach = false, fresh = false }: { attach?: boolean, fresh?: boolean }) => {
      line.take(task<StartRequest>({ name, attach, afresh: fresh }, startGuest))
    })
}

/** Starts a guest, and attaches to its console from the first line on. Gives the exit status. */
export async function startGuest({ name, attach, afresh }: StartRequest, surroundings: Surroundings): Promise<number> {
  const { domain } = await guestStore(surroundings).definition(name)
  const host = await ensureHost(domain, hostOptions(surroundings))
  const { wasResumed } = await untilQuit(surroundings, host.start(name, { afresh }))
  if (attach) return attachConsole(host, name, 'start', surroundings)
  surroundings.stderr.write(`tenon: ${name} ${wasResumed ? 'goes on where it was suspended' : 'runs'}: tenon console ${name} attaches to it\n`)
  return ExitStatus.OK
}
