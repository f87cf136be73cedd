import { Option } from 'commander'
import { listGuests } from '../../api/native/guest-list.ts'
import { inspectCode } from '../../host/inspect-code.ts'
import { cliError, ExitStatus } from '../errors.ts'
import { guestStore, hostOptions } from '../named-guests.ts'
import type { Surroundings } from '../surroundings.ts'
import { task, textTask } from '../task.ts'
import type { AddCommand } from '../task.ts'
import { parseHex } from '../values.ts'

export const addInspect: AddCommand = (program, line) => {
  program.command('inspect')
    .summary('see inside')
    .description('Shows, for programs, what a named guest is and does. `code`: what the translator makes of a piece of 64-bit guest code.')
    .argument('<what>', 'a guest\'s name, or code')
    .addOption(new Option('--hex <bytes>', 'the code, in hexadecimal (default: a loop that adds bytes)').argParser(parseHex))
    .action((what: string, { hex }: { hex?: Uint8Array }) => {
      if (what !== 'code' && hex !== undefined) throw cliError('USAGE', '--hex is for tenon inspect code')
      line.take(what === 'code' ? textTask(inspectCode(hex)) : task({ name: what }, inspectGuest))
    })
}

async function inspectGuest({ name }: { readonly name: string }, surroundings: Surroundings): Promise<number> {
  const store = guestStore(surroundings)
  const definition = await store.definition(name)
  const state = (await listGuests(hostOptions(surroundings))).find(guest => guest.name === name)
  surroundings.stdout.write(`${JSON.stringify({ ...state, folder: store.folder(name).path, definition }, null, 2)}\n`)
  return ExitStatus.OK
}
