import { hostError } from '../errors.ts'
import type { AgentCaller, AgentReply } from './commands.ts'
import { Pace } from './pace.ts'

export interface ProgramEnd {
  /** The exit status, or the signal that ended it. */
  readonly status: number | undefined
  readonly signal: number | undefined
}

export interface CapturedRun extends ProgramEnd {
  readonly stdout: Buffer
  readonly stderr: Buffer
  /** The agent keeps 16 MiB of each output. */
  readonly isTruncated: boolean
}

export interface CaptureOptions {
  readonly input?: Uint8Array
  /** How long the program may take, in milliseconds. Default: half a minute. */
  readonly timeoutMs?: number
}

const TIMEOUT_MS = 30_000

/**
 * Runs a short program in the guest, and gives what it wrote when it has ended; its input is passed whole. For programs of our own: what
 * users run goes by `exec.ts`.
 * @throws TenonError as `AgentCaller.call`; AGENT_TIMEOUT if it takes longer (it goes on then).
 */
export async function runCaptured(caller: AgentCaller, [path, ...arg]: readonly string[], options: CaptureOptions = {}): Promise<CapturedRun> {
  const { input, timeoutMs = TIMEOUT_MS } = options
  const deadline = performance.now() + timeoutMs
  const { pid } = await caller.call('guest-exec', {
    path, arg, 'capture-output': true, ...input !== undefined && { 'input-data': Buffer.from(input).toString('base64') },
  })
  const pace = new Pace()
  for (;;) {
    const status = await caller.call('guest-exec-status', { pid })
    if (status.exited) return capturedOf(status)
    await pace.wait()
    if (performance.now() > deadline) {
      throw hostError('AGENT_TIMEOUT', `${path} has not ended in the guest in ${timeoutMs / 1000} s: the guest may be very busy`)
    }
  }
}

export function programEnd(status: AgentReply<'guest-exec-status'>): ProgramEnd {
  return { status: status.signal === undefined ? status.exitcode ?? 0 : undefined, signal: status.signal }
}

function capturedOf(status: AgentReply<'guest-exec-status'>): CapturedRun {
  return {
    ...programEnd(status),
    stdout: Buffer.from(status['out-data'] ?? '', 'base64'),
    stderr: Buffer.from(status['err-data'] ?? '', 'base64'),
    isTruncated: status['out-truncated'] === true || status['err-truncated'] === true,
  }
}
