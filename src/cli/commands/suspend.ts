import { hostError } from '../../host/errors.ts'
import { ExitStatus } from '../errors.ts'
import { hostOf, untilQuit } from '../named-guests.ts'
import type { Surroundings } from '../surroundings.ts'
import { task } from '../task.ts'
import type { AddCommand } from '../task.ts'

export const addSuspend: AddCommand = (program, line) => {
  program.command('suspend')
    .summary('save named guests as they are, and end them')
    .description('Writes what guests have in memory to files beside their disks, and ends their machines. tenon start has them go on. '
      + 'Connections to and from them are lost meanwhile; a clock in a guest without the guest agent goes on from where it stood.')
    .argument('<name...>', 'which')
    .action((names: string[]) => line.take(task<readonly string[]>(names, suspend)))
}

async function suspend(names: readonly string[], surroundings: Surroundings): Promise<number> {
  await Promise.all(names.map(async name => {
    const host = await hostOf(name, surroundings)
    if (host === undefined) throw hostError('GUEST_NOT_RUNNING', `the guest ${name} does not run`)
    surroundings.stderr.write(`tenon: ${name} is being saved\n`)
    await untilQuit(surroundings, host.suspend(name))
    surroundings.stderr.write(`tenon: ${name} is suspended: tenon start ${name} has it go on\n`)
  }))
  return ExitStatus.OK
}
