import { hostError } from '../../host/errors.ts'
import { attachConsole } from '../attach-console.ts'
import { hostOf } from '../named-guests.ts'
import type { Surroundings } from '../surroundings.ts'
import { task } from '../task.ts'
import type { AddCommand } from '../task.ts'

export const addConsole: AddCommand = (program, line) => {
  program.command('console')
    .summary('attach to the console of a named guest')
    .description('Gives this terminal to a running guest. Ctrl-A d detaches; Ctrl-A h says what else there is.')
    .argument('<name>', 'which')
    .action((name: string) => line.take(task({ name }, attach)))
}

async function attach({ name }: { readonly name: string }, surroundings: Surroundings): Promise<number> {
  const host = await hostOf(name, surroundings)
  if (host === undefined) throw hostError('GUEST_NOT_RUNNING', `the guest ${name} does not run: start it with tenon start ${name}`)
  return attachConsole(host, name, 'line', surroundings)
}
