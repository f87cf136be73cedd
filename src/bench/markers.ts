/**
 * What the guest says on its console for the host to take times by: lines `@@bench WORD...`, among which the kernel may put its own.
 *
 *   @@bench user-space            the first process runs
 *   @@bench begin NAME            a workload begins
 *   @@bench end NAME              it has ended
 *   @@bench seconds NAME OWN BEGIN END
 *                                 how long it took by its own account, and when it began and ended by the guest's clock
 *   @@bench answer NAME TEXT      what it computed
 *   @@bench done                  nothing more comes
 *
 * A Debian says none of these, but systemd tells the kernel's log when it has reached a target: that of `multi-user` is the end of the
 * workload of that name.
 */
export const MARKER = '@@bench'

export interface Marker {
  readonly event: 'user-space' | 'begin' | 'end' | 'seconds' | 'answer' | 'done'
  readonly workload: string
  readonly text: string
}

const LINE = /@@bench (user-space|begin|end|seconds|answer|done)(?: (\S+))?(?: (.*))?$/

const SYSTEMD_LINE = /systemd\[1\]: Reached target (?:multi-user\.target|Multi-User System)/
/** The workload that systemd's line ends. */
export const MULTI_USER = 'multi-user'

/** Reads a line of the console; undefined if it has no marker. */
export function parseMarker(line: string): Marker | undefined {
  if (SYSTEMD_LINE.test(line)) return { event: 'end', workload: MULTI_USER, text: '' }
  const [, event, workload = '', text = ''] = LINE.exec(line.trimEnd()) ?? []
  return event === undefined ? undefined : { event: event as Marker['event'], workload, text }
}

/** A line that is longer is no line of ours. */
const LONGEST_LINE = 4096

/** Puts a console's bytes together to lines and calls `onMarker` for those with a marker. */
export class MarkerReader {
  readonly #onMarker: (marker: Marker) => void
  #line = ''

  constructor(onMarker: (marker: Marker) => void) {
    this.#onMarker = onMarker
  }

  push(text: string): void {
    const lines = (this.#line + text).split('\n')
    this.#line = lines.pop()!.slice(-LONGEST_LINE)
    for (const line of lines) {
      const marker = parseMarker(line)
      if (marker !== undefined) this.#onMarker(marker)
    }
  }
}
