/**
 * The keys that the terminal keeps for itself, as in QEMU: Ctrl-A, then `x` to quit, `s` for figures, `h` or `?` for help, Ctrl-A for a Ctrl-A to the
 * guest. Any other key after Ctrl-A is dropped with it.
 */
export type EscapeAction = 'quit' | 'help' | 'statistics'

const CTRL_A = 0x01
const ACTIONS: ReadonlyMap<number, EscapeAction> = new Map([[0x78, 'quit'], [0x68, 'help'], [0x73, 'statistics'], [0x3f, 'help']])

export const ESCAPE_HELP = [
  'Ctrl-A x       quit: the guest stops at once',
  'Ctrl-A s       where time has gone so far',
  'Ctrl-A h       this help',
  'Ctrl-A Ctrl-A  send Ctrl-A to the guest',
].join('\r\n')

export class EscapeKeys {
  #afterPrefix = false

  /** Splits what was typed into what the guest gets and what is ours, in order of the actions. Nothing after `quit` counts. */
  feed(typed: Uint8Array): { readonly forGuest: Uint8Array, readonly actions: readonly EscapeAction[] } {
    const forGuest: number[] = []
    const actions: EscapeAction[] = []
    for (const byte of typed) {
      if (!this.#afterPrefix && byte === CTRL_A) {
        this.#afterPrefix = true
        continue
      }
      const action = this.#afterPrefix ? ACTIONS.get(byte) : undefined
      if (action !== undefined) actions.push(action)
      else if (!this.#afterPrefix || byte === CTRL_A) forGuest.push(byte)
      this.#afterPrefix = false
      if (action === 'quit') break
    }
    return { forGuest: Uint8Array.from(forGuest), actions }
  }
}
