import { Option } from 'commander'
import { inspectCode } from '../../host/inspect-code.ts'
import { cliError } from '../errors.ts'
import { textTask } from '../task.ts'
import type { AddCommand } from '../task.ts'
import { parseHex } from '../values.ts'

export const addInspect: AddCommand = (program, line) => {
  program.command('inspect')
    .summary('see inside')
    .description('Shows what Tenon makes of something. `code`: what the translator makes of a piece of 64-bit guest code.')
    .argument('<what>', 'code')
    .addOption(new Option('--hex <bytes>', 'the code, in hexadecimal (default: a loop that adds bytes)').argParser(parseHex))
    .action((what: string, { hex }: { hex?: Uint8Array }) => {
      if (what !== 'code') throw cliError('USAGE', `${JSON.stringify(what)} cannot be inspected: there is code`)
      line.take(textTask(inspectCode(hex)))
    })
}
