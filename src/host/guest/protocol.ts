import { hostError } from '../errors.ts'

/**
 * What the host and the init of our images say to each other on COM4, in lines of ASCII.
 *
 *     guest                         host
 *     ready 2                                                   the protocol's version
 *                                   session LENGTH              and so many bytes of shell: mode, mark, environment, argv
 *                                   size ROWS COLUMNS           the terminal's size changed (mode on_console)
 *     stdin                                                     asks for input (mode with_pipes): the host answers on COM2 with a line
 *                                                               LENGTH and so many bytes; 0 is the end
 *     exit STATUS                                               the session has ended: time for the next
 *                                   end                         no more sessions: the guest powers off
 *
 * In mode `with_pipes`, COM2 and COM3 carry the command's stdout and stderr, byte for byte. Towards the guest, COM2 first gets a line
 * with the session's mark: what comes before it is input that an earlier session asked for and did not read.
 */
export const PROTOCOL_VERSION = 2
export const CONTROL_LINE = 3
export const GUEST_CONTROL_DEVICE = '/dev/ttyS3'

/** Fits the guest's tty buffers (64 KiB) with room to spare. */
export const MAXIMUM_STDIN_PIECE = 32 * 1024

export interface WindowSize {
  readonly rows: number
  readonly columns: number
}

/** `on_console`: in a terminal. `with_pipes`: stdin, stdout and stderr apart. */
export type SessionMode = 'on_console' | 'with_pipes'

export interface SessionRequest {
  readonly mode: SessionMode
  /** Bytes beyond ASCII are UTF-8; no NUL. */
  readonly argv: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly windowSize?: WindowSize
}

export type GuestMessage =
  | { readonly kind: 'ready', readonly version: number }
  | { readonly kind: 'stdin' }
  | { readonly kind: 'exit', readonly status: number }

/** Throws TenonError COMMAND_INVALID if a guest could not be told this. */
export function checkRequest({ argv, environment }: SessionRequest): void {
  if (argv.length === 0 || argv[0] === '') throw hostError('COMMAND_INVALID', 'there is no command to run')
  const wrong = Object.keys(environment).find(name => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
  if (wrong !== undefined) throw hostError('COMMAND_INVALID', `${JSON.stringify(wrong)} is no name for an environment variable`)
  if ([...argv, ...Object.values(environment)].some(text => text.includes('\0'))) {
    throw hostError('COMMAND_INVALID', 'an argument or an environment variable has a NUL character, which no program can be given')
  }
}

export function encodeSession({ mode, argv, environment, windowSize }: SessionRequest, mark: string): Uint8Array {
  const lines = [
    `mode=${mode} mark=${mark}`,
    // Only the command sees its variables: none of them can be in the way of init's own.
    `apply_environment() { ${Object.entries(environment).map(([name, value]) => `export ${name}=${quote(value)};`).join(' ')} :; }`,
    ...windowSize === undefined ? [] : [`stty -F /dev/ttyS0 rows ${windowSize.rows} cols ${windowSize.columns}`],
    `set -- ${argv.map(quote).join(' ')}`,
  ]
  const script = new TextEncoder().encode(`${lines.join('\n')}\n`)
  return concatenate(ascii(`session ${script.length}\n`), script)
}

export function encodeWindowSize({ rows, columns }: WindowSize): Uint8Array {
  return ascii(`size ${rows} ${columns}\n`)
}

export function encodeMark(mark: string): Uint8Array {
  return ascii(`\n${mark}\n`)
}

export const END_OF_SESSIONS = ascii('end\n')

export function encodeStdin(piece: Uint8Array): Uint8Array {
  return concatenate(ascii(`${piece.length}\n`), piece)
}

/** Takes bytes as they come and gives whole messages. Throws TenonError GUEST_PROTOCOL. */
export class GuestMessageReader {
  #line = ''

  read(bytes: Uint8Array): GuestMessage[] {
    const messages: GuestMessage[] = []
    for (const byte of bytes) {
      if (byte === 0x0a) {
        messages.push(parseMessage(this.#line))
        this.#line = ''
      } else {
        this.#line += String.fromCharCode(byte)
        if (this.#line.length > 64) throw protocolError(this.#line)
      }
    }
    return messages
  }
}

function parseMessage(line: string): GuestMessage {
  const [, kind, argument] = /^(ready|stdin|exit)(?: (\d{1,3}))?$/.exec(line) ?? []
  if (kind === 'stdin' && argument === undefined) return { kind }
  if (kind === 'ready' && argument !== undefined) return { kind, version: Number(argument) }
  if (kind === 'exit' && Number(argument) <= 255) return { kind, status: Number(argument) }
  throw protocolError(line)
}

function protocolError(line: string): Error {
  return hostError('GUEST_PROTOCOL', `the guest sent ${JSON.stringify(line)} on its control line (COM4), which our init never does: `
    + 'something else in the guest writes to /dev/ttyS3')
}

/** For the shell: within single quotes every character stands for itself but the quote. */
function quote(text: string): string {
  return `'${text.replaceAll('\'', '\'\\\'\'')}'`
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

function concatenate(head: Uint8Array, tail: Uint8Array): Uint8Array {
  const whole = new Uint8Array(head.length + tail.length)
  whole.set(head)
  whole.set(tail, head.length)
  return whole
}
