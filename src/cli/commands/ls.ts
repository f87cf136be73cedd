import { listGuests } from '../../api/native/guest-list.ts'
import { ExitStatus } from '../errors.ts'
import { guestTable } from '../guest-table.ts'
import { hostOptions } from '../named-guests.ts'
import type { Surroundings } from '../surroundings.ts'
import { task } from '../task.ts'
import type { AddCommand } from '../task.ts'

export const addLs: AddCommand = (program, line) => {
  program.command('ls')
    .summary('list named guests')
    .description('Lists named guests, whether they run or not.')
    .option('--json', 'for programs: an array of objects')
    .action(({ json = false }: { json?: boolean }) => line.take(task({ json }, list)))
}

async function list({ json }: { readonly json: boolean }, surroundings: Surroundings): Promise<number> {
  const guests = await listGuests(hostOptions(surroundings))
  surroundings.stdout.write(json ? `${JSON.stringify(guests, null, 2)}\n` : guestTable(guests, Date.now()))
  return ExitStatus.OK
}
