/**
 * What the configuring guest tells on its console, among the output of the packages' scripts (see `configure-script.ts`), a line each:
 *
 *     tenon-configure: begin
 *     tenon-configure: progress DONE TOTAL PACKAGE
 *     tenon-configure: done
 *     tenon-configure: failed WHAT
 *
 * A script of a package could print such lines. It could also change the disk in any way it likes: it is Debian's, and signed.
 */
export type ConfigureEvent =
  | { readonly kind: 'begin' | 'done' }
  | { readonly kind: 'progress', readonly done: number, readonly total: number, readonly package: string }
  | { readonly kind: 'failed', readonly what: string }

const PREFIX = 'tenon-configure: '

/** Undefined for a line that is only for the log. */
export function parseConfigureLine(line: string): ConfigureEvent | undefined {
  // The kernel's messages have no line of their own: what it prints may stand before ours.
  const at = line.indexOf(PREFIX)
  if (at < 0) return undefined
  const text = line.slice(at + PREFIX.length)
  if (text === 'begin' || text === 'done') return { kind: text }
  if (text.startsWith('failed ')) return { kind: 'failed', what: text.slice('failed '.length) }
  const [, done, total, name] = /^progress (\d{1,6}) (\d{1,6}) ([a-z0-9+.:-]+)$/.exec(text) ?? []
  return name === undefined ? undefined : { kind: 'progress', done: Number(done), total: Number(total), package: name }
}

const MAXIMUM_LINE = 4096

/** Cuts a console's bytes into lines, without colours, control characters and the ends; a line that does not end is cut. */
export class ConsoleLines {
  readonly #decoder = new TextDecoder()
  #rest = ''

  take(bytes: Uint8Array): string[] {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split('\n')
    this.#rest = lines.pop()!
    if (this.#rest.length > MAXIMUM_LINE) lines.push(this.#rest)
    if (this.#rest.length > MAXIMUM_LINE) this.#rest = ''
    return lines.map(cleanLine)
  }

  /** What came after the last line's end. */
  finish(): string {
    return cleanLine(this.#rest)
  }
}

/** ECMA-48 §5.4: ESC, and a control sequence or one character. */
const ESCAPE_SEQUENCE = new RegExp(`${String.fromCharCode(0x1b)}(?:\\[[0-9;?]*[ -/]*[@-~]|[^[])`, 'g')

function cleanLine(line: string): string {
  return line.slice(0, MAXIMUM_LINE).replace(ESCAPE_SEQUENCE, '').replace(/\p{Cc}/gu, '').trimEnd()
}
