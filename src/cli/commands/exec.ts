import { cliError, ExitStatus } from '../errors.ts'
import { agentOf, DEFAULT_WAIT_MS } from '../guest-agent.ts'
import type { Surroundings } from '../surroundings.ts'
import { taskWithCommand } from '../task.ts'
import type { AddCommand } from '../task.ts'
import { parseEnvironment, parseSeconds } from '../values.ts'

export interface ExecCommandRequest {
  readonly name: string
  readonly argv: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly user: string | undefined
  readonly folder: string | undefined
  readonly waitMs: number
}

interface ExecOptions {
  readonly env?: Record<string, string>
  readonly user?: string
  readonly workdir?: string
  readonly wait?: number
}

const SIGNALLED = 128

export const addExec: AddCommand = (program, line) => {
  program.command('exec')
    .summary('run a command in a named guest')
    .description('Runs the command after -- in a running guest, by its guest agent. Its output and exit status are ours; stdin is passed if it is no terminal.')
    .usage('[options] <name> -- command...')
    .argument('<name>', 'where')
    .option('-e, --env <name=value>', 'set a variable for the command (repeatable)', parseEnvironment)
    .option('-u, --user <name>', 'whose command it is in the guest (default: root)')
    .option('-w, --workdir <folder>', 'where in the guest it runs (default: the user\'s home)')
    .option('--wait <seconds>', 'how long to wait for a guest that boots (default: 120)', text => parseSeconds('--wait', text))
    .action((name: string, { env = {}, user, workdir, wait = DEFAULT_WAIT_MS }: ExecOptions) => {
      if (line.command === undefined || line.command.length === 0) throw cliError('USAGE', `there is no command: tenon exec ${name} -- COMMAND`)
      line.take(taskWithCommand<ExecCommandRequest>({ name, argv: line.command, environment: env, user, folder: workdir, waitMs: wait }, execute))
    })
}

async function execute({ name, waitMs, ...request }: ExecCommandRequest, surroundings: Surroundings): Promise<number> {
  const { stdin, stdout, stderr, quit } = surroundings
  const { exec } = await import('../../host/agent/exec.ts')
  const agent = await agentOf(name, waitMs, surroundings)
  const { status, signal } = await exec(agent, request, { stdin: stdin.isTTY ? undefined : stdin, stdout, stderr, signal: quit.signal })
  return signal === undefined ? status ?? ExitStatus.OK : SIGNALLED + signal
}
