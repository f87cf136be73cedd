/**
 * The keys that the terminal keeps for itself, as in QEMU: Ctrl-A, then a key. Ctrl-A twice is a Ctrl-A to the guest; any other key after
 * Ctrl-A is dropped with it.
 */
export type EscapeAction = 'quit' | 'detach' | 'help' | 'statistics'

/** By the key after Ctrl-A. */
export type EscapeActions = ReadonlyMap<number, EscapeAction>

const CTRL_A = 0x01
const HELP: readonly (readonly [number, EscapeAction])[] = [[0x68, 'help'], [0x3f, 'help']]

/** Of a guest that lives in this process. */
export const OWN_GUEST: EscapeActions = new Map([[0x78, 'quit'], [0x73, 'statistics'], ...HELP])
/** Of a guest in a background process. */
export const ATTACHED_GUEST: EscapeActions = new Map([[0x78, 'quit'], [0x64, 'detach'], ...HELP])

const COMMON_HELP = [
  'Ctrl-A h       this help',
  'Ctrl-A Ctrl-A  send Ctrl-A to the guest',
]

export const ESCAPE_HELP = [
  'Ctrl-A x       quit: the guest stops at once',
  'Ctrl-A s       where time has gone so far',
  ...COMMON_HELP,
].join('\r\n')

export const ATTACHED_HELP = [
  'Ctrl-A d       detach: the guest runs on',
  'Ctrl-A x       press the guest\'s power button, and leave',
  ...COMMON_HELP,
].join('\r\n')

export class EscapeKeys {
  readonly #actions: EscapeActions
  #afterPrefix = false

  constructor(actions: EscapeActions = OWN_GUEST) { this.#actions = actions }

  /** Splits what was typed into what the guest gets and what is ours, in order of the actions. Nothing after an end counts. */
  feed(typed: Uint8Array): { readonly forGuest: Uint8Array, readonly actions: readonly EscapeAction[] } {
    const forGuest: number[] = []
    const actions: EscapeAction[] = []
    for (const byte of typed) {
      if (!this.#afterPrefix && byte === CTRL_A) {
        this.#afterPrefix = true
        continue
      }
      const action = this.#afterPrefix ? this.#actions.get(byte) : undefined
      if (action !== undefined) actions.push(action)
      else if (!this.#afterPrefix || byte === CTRL_A) forGuest.push(byte)
      this.#afterPrefix = false
      if (action === 'quit' || action === 'detach') break
    }
    return { forGuest: Uint8Array.from(forGuest), actions }
  }
}
