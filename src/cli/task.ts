import type { Command } from 'commander'
import type { Surroundings } from './surroundings.ts'

/**
 * What a command line asks for: a request in plain data, and what carries it out. Nothing happens before `perform`, which gives the exit
 * status, or rejects with a TenonError or a Quit.
 */
export interface Task {
  readonly request: unknown
  /** Whether it uses what follows `--`. */
  readonly takesCommand: boolean
  perform(surroundings: Surroundings): Promise<number>
}

/** A command line while it is read. */
export interface CommandLine {
  /** What follows `--`; undefined if there is no `--`. */
  readonly command: readonly string[] | undefined
  take(task: Task): void
}

/**
 * Adds a command with its arguments, options and help to a program. Its action calls `line.take`. One file of `commands/` exports one of
 * these, and `commands/all.ts` lists them.
 */
export type AddCommand = (program: Command, line: CommandLine) => void

/** A task that takes nothing after `--`. */
export function task<Request>(request: Request, perform: (request: Request, surroundings: Surroundings) => Promise<number>): Task {
  return { request, takesCommand: false, perform: surroundings => perform(request, surroundings) }
}

/** A task for which what follows `--` is part of the request. */
export function taskWithCommand<Request>(request: Request, perform: (request: Request, surroundings: Surroundings) => Promise<number>): Task {
  return { ...task(request, perform), takesCommand: true }
}

/** A task that writes a text. */
export function textTask(text: string): Task {
  return task({ text }, async (request, { stdout }) => {
    stdout.write(request.text)
    return 0
  })
}
