import { followLog, readLog } from '../../host/guests/console-log-reader.ts'
import { ExitStatus } from '../errors.ts'
import { guestStore } from '../named-guests.ts'
import type { Surroundings } from '../surroundings.ts'
import { task } from '../task.ts'
import type { AddCommand } from '../task.ts'

export interface LogsRequest {
  readonly name: string
  readonly follow: boolean
}

export const addLogs: AddCommand = (program, line) => {
  program.command('logs')
    .summary('show what a named guest said on its console')
    .description('Shows a guest\'s console log, whether the guest runs or not.')
    .argument('<name>', 'whose')
    .option('-f, --follow', 'go on with what it says from now on, until Ctrl-C')
    .action((name: string, { follow = false }: { follow?: boolean }) => line.take(task<LogsRequest>({ name, follow }, showLogs)))
}

async function showLogs({ name, follow }: LogsRequest, surroundings: Surroundings): Promise<number> {
  const { stdout, quit } = surroundings
  const store = guestStore(surroundings)
  await store.check(name)
  const { consoleLog } = store.folder(name)
  for await (const bytes of follow ? followLog(consoleLog, quit.signal) : readLog(consoleLog)) {
    if (!stdout.write(bytes)) await new Promise(resolve => stdout.once('drain', resolve))
  }
  return ExitStatus.OK
}
