import type { HostClient } from '../../api/native/client.ts'
import { whileNoneStarts } from '../../api/native/start-process.ts'
import { ExitStatus } from '../errors.ts'
import { domainOf, guestStore, hostOptions } from '../named-guests.ts'
import type { Surroundings } from '../surroundings.ts'
import { task } from '../task.ts'
import type { AddCommand } from '../task.ts'

export interface RemoveRequest {
  readonly names: readonly string[]
  readonly force: boolean
}

export const addRm: AddCommand = (program, line) => {
  program.command('rm')
    .summary('remove named guests and their disks')
    .description('Removes guests with all that they have: their disks, their logs, their definitions. Other disks that they used stay.')
    .argument('<name...>', 'which')
    .option('--force', 'even if it runs: it is stopped at once')
    .action((names: string[], { force = false }: { force?: boolean }) => line.take(task<RemoveRequest>({ names, force }, remove)))
}

async function remove({ names, force }: RemoveRequest, surroundings: Surroundings): Promise<number> {
  const store = guestStore(surroundings)
  for (const name of names) {
    await whileNoneStarts(await domainOf(store, name), hostOptions(surroundings), async host => {
      if (host === undefined) return store.remove(name)
      if (force) await kill(host, name)
      await host.remove(name)
    })
  }
  return ExitStatus.OK
}

async function kill(host: HostClient, name: string): Promise<void> {
  await host.stop(name, { force: true }).catch((error: Error & { code?: string }) => {
    if (error.code !== 'GUEST_NOT_RUNNING') throw error
  })
}
