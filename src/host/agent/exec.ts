/**
 * A command of the user's in the guest, with its streams.
 *
 * The agent itself gives a program's output only when it has ended, and 16 MiB of it. So output goes to files in a folder of its own in the
 * guest, which are read while they grow:
 *
 *     FOLDER/in    stdin, written before the command starts     FOLDER/out, FOLDER/err    what it writes
 *
 * A shell in the guest opens them, and becomes the command: the agent's status is the command's. The command leads a group of processes,
 * so that it can be ended with what it started. It needs `sh`, `mktemp`, `env` and `setsid`, and `runuser` for another user than root:
 * any Linux has them.
 */
import type { Writable } from 'node:stream'
import { hostError } from '../errors.ts'
import type { AgentCaller } from './commands.ts'
import { GuestFile, withGuestFile } from './guest-file.ts'
import { Pace } from './pace.ts'
import { printable } from './printable.ts'
import { programEnd, runCaptured } from './run-program.ts'
import type { ProgramEnd } from './run-program.ts'

export interface ExecRequest {
  /** The program, found by PATH, and its arguments. */
  readonly argv: readonly string[]
  /** Added to what the user's programs have. */
  readonly environment?: Readonly<Record<string, string>>
  /** Whose command it is: a name of the guest. Default: root. */
  readonly user?: string
  /** Where it runs. Default: the user's home. */
  readonly folder?: string
}

export interface ExecStreams {
  /** Read to its end before the command starts. Default: nothing. */
  readonly stdin?: AsyncIterable<Uint8Array | string>
  readonly stdout: Writable
  readonly stderr: Writable
  /** Aborting ends the command by SIGTERM, and by SIGKILL if that is not enough; the call rejects with its reason. */
  readonly signal?: AbortSignal
}

const MAKE_FOLDER = 'umask 077; folder=$(mktemp -d "${TMPDIR:-/tmp}/tenon-exec.XXXXXX") && cd "$folder" && : >in && : >out && : >err && echo "$folder"'
/** Arguments: folder, user, where to run or nothing, variables, `sh -c` and what it needs to become the command. */
const BECOME_COMMAND = `streams=$1 user=$2 where=$3; shift 3
exec <"$streams/in" >"$streams/out" 2>"$streams/err"
entry=$(getent passwd "$user" 2>/dev/null || grep "^$user:" /etc/passwd) || { echo "there is no user $user in the guest" >&2; exit 125; }
HOME=$(echo "$entry" | cut -d: -f6) USER=$user LOGNAME=$user
export HOME USER LOGNAME
if [ -n "$where" ]; then cd "$where" || exit 125; else cd "$HOME" 2>/dev/null || cd /; fi
read -r pid name state parent group rest </proc/$$/stat
set -- env "$@"
[ "$user" = root ] || set -- runuser -u "$user" -- "$@"
[ "$group" = $$ ] || set -- setsid "$@"
exec "$@"`
const COMMAND = ['sh', '-c', 'exec "$0" "$@"']
const LONGEST_FOLDER = 200
/** How long a command may take to end by SIGTERM. */
const TERMINATION_MS = 5_000

/**
 * Runs a command to its end. A status of 125 can also mean that the user or the folder is not there, 126 and 127 that the command cannot
 * be run or is not there: stderr says so.
 * @throws TenonError COMMAND_INVALID, and as `AgentCaller.call`.
 */
export async function exec(caller: AgentCaller, request: ExecRequest, streams: ExecStreams): Promise<ProgramEnd> {
  checkRequest(request)
  streams.signal?.throwIfAborted()
  const folder = await makeFolder(caller)
  try {
    await sendInput(caller, `${folder}/in`, streams)
    const { pid } = await caller.call('guest-exec', { path: 'sh', arg: ['-c', BECOME_COMMAND, 'sh', folder, ...argumentsOf(request)] })
    return await follow(caller, pid, folder, streams)
  } finally {
    await runCaptured(caller, ['rm', '-rf', folder]).catch(() => {})
  }
}

function argumentsOf({ argv, environment = {}, user = 'root', folder = '' }: ExecRequest): string[] {
  return [user, folder, ...Object.entries(environment).map(([name, value]) => `${name}=${value}`), ...COMMAND, ...argv]
}

function checkRequest({ argv, environment = {}, user = 'root', folder = '' }: ExecRequest): void {
  const problem = argv.length === 0 || argv[0] === '' ? 'there is no command to run'
    : [...argv, folder, ...Object.values(environment)].some(text => text.includes('\0')) ? 'a command, a folder and variables cannot hold a byte of 0'
      : Object.keys(environment).find(name => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) !== undefined ? 'a variable has a name of letters, digits and _'
        : !/^[A-Za-z0-9_][A-Za-z0-9_.-]*\$?$/.test(user) ? `${JSON.stringify(user)} is no name of a user` : undefined
  if (problem !== undefined) throw hostError('COMMAND_INVALID', problem)
}

async function makeFolder(caller: AgentCaller): Promise<string> {
  const { status, stdout, stderr } = await runCaptured(caller, ['sh', '-c', MAKE_FOLDER])
  const folder = stdout.toString().replace(/\n$/, '')
  if (status === 0 && folder.startsWith('/') && folder.length <= LONGEST_FOLDER && !/[\0\n]/.test(folder)) return folder
  throw hostError('AGENT_COMMAND_FAILED', `the guest has no place for a command's streams: ${printable(stderr.toString()) || 'mktemp failed'}`)
}

async function sendInput(caller: AgentCaller, path: string, { stdin, signal }: ExecStreams): Promise<void> {
  if (stdin === undefined) return
  await withGuestFile(caller, path, 'w', async file => {
    for await (const chunk of stdin) {
      signal?.throwIfAborted()
      await file.write(Buffer.from(chunk))
    }
  })
}

interface Output {
  readonly file: GuestFile
  readonly stream: Writable
}

/** Passes on what the command writes until it has ended. */
async function follow(caller: AgentCaller, pid: number, folder: string, { stdout, stderr, signal }: ExecStreams): Promise<ProgramEnd> {
  const outputs: Output[] = []
  try {
    for (const [name, stream] of [['out', stdout], ['err', stderr]] as const) outputs.push({ file: await GuestFile.open(caller, `${folder}/${name}`, 'r'), stream })
    const pace = new Pace()
    for (;;) {
      if (signal?.aborted) return await terminate(caller, pid, signal)
      const status = await caller.call('guest-exec-status', { pid })
      let moved = false
      for (const output of outputs) moved = await passOn(output, status.exited, signal) || moved
      if (status.exited) {
        signal?.throwIfAborted()
        return programEnd(status)
      }
      if (moved) pace.quicken()
      await pace.wait()
    }
  } finally {
    for (const { file } of outputs) await file.close().catch(() => {})
  }
}

/** Passes on one piece, or all that there is. Returns whether there was something. */
async function passOn({ file, stream }: Output, toEnd: boolean, signal: AbortSignal | undefined): Promise<boolean> {
  for (let moved = false; ; moved = true) {
    const bytes = await file.read()
    if (bytes.length === 0) return moved
    await give(stream, bytes)
    if (!toEnd || signal?.aborted) return true
  }
}

/** What comes for a closed stream is dropped. */
async function give(stream: Writable, bytes: Uint8Array): Promise<void> {
  if (stream.destroyed || stream.write(bytes)) return
  await new Promise<void>(resolve => {
    stream.once('drain', resolve)
    stream.once('close', resolve)
  })
}

/** Ends the command and those that it started, and throws the signal's reason. */
async function terminate(caller: AgentCaller, pid: number, signal: AbortSignal): Promise<never> {
  const kill = (name: string): Promise<unknown> => runCaptured(caller, ['sh', '-c', 'kill -s "$1" -- "-$2" 2>/dev/null || kill -s "$1" "$2"', 'sh', name, String(pid)])
  await kill('TERM')
  const deadline = performance.now() + TERMINATION_MS
  const pace = new Pace()
  while (!(await caller.call('guest-exec-status', { pid })).exited) {
    await pace.wait()
    if (performance.now() < deadline) continue
    await kill('KILL')
    break
  }
  throw signal.reason
}
