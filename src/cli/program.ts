import { Command, CommanderError } from 'commander'
import { COMMANDS } from './commands/all.ts'
import { cliError } from './errors.ts'
import { DESCRIPTION, EXAMPLES } from './help.ts'
import { textTask } from './task.ts'
import type { CommandLine, Task } from './task.ts'

/** Reads a command line (without `node` and the script). Throws TenonError USAGE. */
export function parseCommandLine(argv: readonly string[], version: string): Task {
  const end = argv.indexOf('--')
  const [ours, command] = end < 0 ? [argv, undefined] : [argv.slice(0, end), argv.slice(end + 1)]
  let task: Task | undefined
  let printed = ''
  const program = buildProgram(version, { command, take: taken => { task = taken } }, text => { printed += text })
  try {
    program.parse(ours, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode !== 0) throw cliError('USAGE', `${error.message.replace(/^error: /, '')}: see tenon --help`, error)
    return textTask(printed)
  }
  if (command !== undefined && task?.takesCommand === false) throw cliError('USAGE', `tenon ${argv[0]} takes no command: leave out what follows --`)
  return task ?? textTask(printed)
}

function buildProgram(version: string, line: CommandLine, print: (text: string) => void): Command {
  const program = new Command('tenon').description(DESCRIPTION).version(version, '-V, --version', 'print the version').helpOption('-h, --help', 'print this help')
    .addHelpText('after', EXAMPLES)
    // Before the commands are added: they and theirs take it over.
    .exitOverride().configureOutput({ writeOut: print, writeErr: () => {} })
  for (const add of COMMANDS) add(program, line)
  return program
}
