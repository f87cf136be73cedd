import type { WindowSize } from '../host/guest/protocol.ts'
import type { MachineSession } from '../host/machine/session.ts'
import { ExitStatus, Quit } from './errors.ts'
import { ESCAPE_HELP } from './escape-keys.ts'
import { statisticsTable } from './statistics.ts'
import type { Surroundings } from './surroundings.ts'
import { openTerminal } from './terminal.ts'
import type { TerminalInput } from './terminal.ts'

/** The machine, once there is one: for its figures. */
export interface Running { machine?: MachineSession }

export function showStatistics({ machine }: Running, stderr: NodeJS.WriteStream, end: string): void {
  const lines = machine?.statistics === undefined ? ['no machine runs yet'] : statisticsTable(machine.statistics)
  stderr.write(lines.map(line => `tenon: ${line}${end}`).join(''))
}

/** Gives the terminal to a guest of this process, with the keys that act on it. */
export function takeTerminal({ stdin, stderr, quit }: Surroundings, running: Running): TerminalInput {
  return openTerminal(stdin, {
    onInterrupt: () => quit.abort(new Quit(ExitStatus.INTERRUPTED)),
    onAction(action) {
      if (action === 'quit') quit.abort(new Quit(ExitStatus.OK))
      else if (action === 'statistics') {
        stderr.write('\r\n')
        showStatistics(running, stderr, '\r\n')
      } else stderr.write(`\r\n${ESCAPE_HELP}\r\n`)
    },
  })
}

export function windowSize({ rows, columns }: NodeJS.WriteStream): WindowSize {
  return { rows: rows || 24, columns: columns || 80 }
}
