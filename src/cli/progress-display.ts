import type { ProgressEvent, ProgressListener } from '../host/images/progress.ts'
import { formatBytes } from './values.ts'

/** Where progress is shown: standard error, or a test. */
export interface ProgressOutput {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

const REDRAW_MS = 50
const BAR_WIDTH = 24

/** Shows the making of an image: a bar that redraws itself on a terminal, plain lines elsewhere. */
export class ProgressDisplay {
  readonly #output: ProgressOutput
  readonly #now: () => number
  #name = ''
  #drawnAt = -Infinity
  #isBarShown = false

  constructor(output: ProgressOutput, now: () => number = () => performance.now()) {
    this.#output = output
    this.#now = now
  }

  show(event: ProgressEvent): void {
    if (event.kind === 'stage') this.#line(event.text)
    else if (event.kind === 'step') this.#step(event.name, event.done, event.total, event.what)
    else if (this.#output.isTTY) this.#bar(event.name, event.received, event.total, `${formatBytes(event.received)} of ${formatBytes(event.total)}  ${event.name}`)
    else if (event.name !== this.#name) this.#line(`${event.action ?? 'fetching'} ${event.name} (${formatBytes(event.total)})`)
    this.#name = event.kind === 'stage' ? '' : event.name
  }

  /** Leaves the cursor on a line of its own. */
  finish(): void {
    if (this.#isBarShown) this.#output.write('\n')
    this.#isBarShown = false
  }

  #line(text: string): void {
    this.finish()
    this.#output.write(`tenon: ${text}\n`)
  }

  #step(name: string, done: number, total: number, what: string): void {
    if (this.#output.isTTY) this.#bar(name, done, total, `${done} of ${total}  ${name} ${what}`)
    else if (name !== this.#name) this.#line(`${name} ${total} packages`)
  }

  #bar(name: string, done: number, total: number, text: string): void {
    if (name !== this.#name) this.finish()
    if (done < total && name === this.#name && this.#now() - this.#drawnAt < REDRAW_MS) return
    this.#drawnAt = this.#now()
    this.#isBarShown = true
    this.#output.write(`\r\x1b[K${drawBar(done, total, text).slice(0, (this.#output.columns ?? 80) - 1)}`)
  }
}

/** Runs what takes time, with its progress on an output. */
export async function withProgress<T>(output: ProgressOutput, work: (progress: ProgressListener) => Promise<T>): Promise<T> {
  const display = new ProgressDisplay(output)
  try {
    return await work(event => display.show(event))
  } finally {
    display.finish()
  }
}

function drawBar(done: number, total: number, text: string): string {
  const share = total === 0 ? 1 : done / total
  const filled = Math.round(share * BAR_WIDTH)
  const bar = '#'.repeat(filled).padEnd(BAR_WIDTH, '.')
  return `[${bar}] ${Math.floor(share * 100).toString().padStart(3)} %  ${text}`
}
