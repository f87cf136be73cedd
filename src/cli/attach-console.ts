import type { AttachedConsole } from '../api/native/attach.ts'
import type { HostClient } from '../api/native/client.ts'
import { describeEnd, isOrderly } from '../host/guests/guest-end.ts'
import type { GuestEnd } from '../host/guests/guest-end.ts'
import type { Backlog } from '../host/guests/guest-console.ts'
import { ExitStatus } from './errors.ts'
import { ATTACHED_GUEST, ATTACHED_HELP } from './escape-keys.ts'
import { untilQuit } from './named-guests.ts'
import { stopGuest } from './stop-guest.ts'
import type { Surroundings } from './surroundings.ts'
import { openTerminal } from './terminal.ts'

/** Gives this terminal, or stdin and stdout, to a running guest's console, until it ends or the user leaves it. Gives the exit status. */
export async function attachConsole(client: HostClient, name: string, backlog: Backlog, surroundings: Surroundings): Promise<number> {
  const { stdout, stderr } = surroundings
  const { AttachedConsole: Console } = await import('../api/native/attach.ts')
  const console_ = await Console.open(client, name, backlog, {
    output: bytes => (stdout.write(bytes) ? undefined : new Promise(resolve => { stdout.once('drain', resolve) })),
    skipped: bytes => void stderr.write(`\r\ntenon: ${bytes} bytes of output were left out: they were not taken in time\r\n`),
  })
  const left = takeInput(console_, name, surroundings)
  const end = await untilQuit(surroundings, console_.ended)
  if (end !== undefined) return ended(name, end, surroundings)
  if (left.how === 'quit') return stopGuest(client, name, {}, surroundings)
  stderr.write(`\r\ntenon: detached from ${name}, which runs on: tenon console ${name} attaches again\n`)
  return ExitStatus.OK
}

/** How the user left the console. */
interface Left { how?: 'quit' | 'detach' }

function takeInput(console_: AttachedConsole, name: string, { stdin, stdout, stderr }: Surroundings): Left {
  const left: Left = {}
  if (!stdin.isTTY || !stdout.isTTY) {
    void feed(console_, stdin)
    return left
  }
  stderr.write(`tenon: attached to ${name} (Ctrl-A d detaches, Ctrl-A x powers it down, Ctrl-A h helps)\r\n`)
  const terminal = openTerminal(stdin, {
    onInterrupt() {},
    onAction(action) {
      if (action === 'help') return void stderr.write(`\r\n${ATTACHED_HELP}\r\n`)
      left.how = action === 'quit' ? 'quit' : 'detach'
      console_.detach()
      stdin.setRawMode(false)
    },
  }, ATTACHED_GUEST)
  terminal.passInterrupts()
  void feed(console_, terminal)
  return left
}

async function feed(console_: AttachedConsole, input: AsyncIterable<Uint8Array | string>): Promise<void> {
  for await (const bytes of input) await console_.write(typeof bytes === 'string' ? Buffer.from(bytes) : bytes)
}

function ended(name: string, end: GuestEnd, { stderr }: Surroundings): number {
  stderr.write(`tenon: ${name} has ended: ${describeEnd(end)}\n`)
  return isOrderly(end) ? ExitStatus.OK : ExitStatus.OURS
}
