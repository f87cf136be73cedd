import { TenonError } from '../base/errors.ts'

/** What is wrong with how the command was called, or with where it was. */
export type CliErrorCode = 'USAGE' | 'OUTPUT_FAILED'

export function cliError(code: CliErrorCode, message: string, cause?: unknown): TenonError<CliErrorCode> {
  return new TenonError(code, message, cause === undefined ? undefined : { cause })
}

/** Exit statuses of our own. A command's status is the command's; those from 128 on name the signal, as shells do. */
export const ExitStatus = { OK: 0, OURS: 125, HANGUP: 129, INTERRUPTED: 130, BROKEN_PIPE: 141, TERMINATED: 143 } as const

/** Thrown to end the program without a word: the user, or whoever read our output, wants no more. */
export class Quit extends Error {
  readonly status: number

  constructor(status: number) {
    super(`quit with status ${status}`)
    this.status = status
  }
}

/** Errors whose message has a report behind its first line. */
const REPORTS = new Set(['LOCKSTEP_DIVERGED'])

/** The one line that an error is to its user; of some, a report follows it. */
export function describeError(error: unknown): string {
  if (error instanceof TenonError) {
    const [first, ...report] = REPORTS.has(error.code) ? error.message.split('\n') : [error.message]
    return [`tenon: ${oneLine(first)} (${error.code})`, ...report].join('\n')
  }
  const message = error instanceof Error ? error.message : String(error)
  return `tenon: internal error: ${oneLine(message)}: please report it (INTERNAL)`
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ').trim()
}
