import type { MachineExit } from '../../machine/machine-exit.ts'
import type { MachineOptions, MachineSession, StartMachine } from '../../machine/session.ts'

/** A machine without a processor, for tests: what its guest does is a function. */
export interface ScriptedGuest {
  readonly options: MachineOptions
  /** Sends bytes to the owner of a serial line (0 is COM1), and gives the owner's answer. */
  send(line: number, text: string | Uint8Array): boolean
  /** Waits until the host has written something that ends with `ending` on a line, and gives all since the last time. */
  receive(line: number, ending: string): Promise<string>
  /** How often each line was taken up again. */
  readonly resumed: readonly number[]
  end(reason: MachineExit['reason'], detail?: string): void
}

export function scriptedMachine(guest: (guest: ScriptedGuest) => Promise<void> | void): StartMachine {
  return async options => {
    const received = ['', '', '', '']
    const resumed = [0, 0, 0, 0]
    const wakes: (() => void)[] = []
    let end!: (exit: MachineExit) => void
    const exited = new Promise<MachineExit>(resolve => { end = resolve })
    const kill = (): void => end({ reason: 'killed', detail: '' })
    options.signal?.addEventListener('abort', kill)
    const session: MachineSession = {
      exited,
      kill,
      powerButton() {},
      serial: received.map((_, line) => ({
        async write(bytes) {
          received[line] += Buffer.from(bytes).toString('latin1')
          wakes.splice(0).forEach(wake => wake())
        },
        resume: () => void resumed[line]++,
      })),
    }
    setTimeout(() => void guest({
      options,
      resumed,
      end: (reason, detail = '') => end({ reason, detail }),
      send: (line, text) => options.serial[line].receive(Buffer.from(text)),
      async receive(line, ending) {
        while (!received[line].endsWith(ending)) await new Promise<void>(resolve => wakes.push(resolve))
        const text = received[line]
        received[line] = ''
        return text
      },
    }), 0)
    return session
  }
}
