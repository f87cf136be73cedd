import { hostError } from '../../errors.ts'
import { ROOT_DEVICE } from '../disks/names.ts'
import type { ProgressListener } from '../progress.ts'
import { ConsoleLines, parseConfigureLine } from './configure-protocol.ts'
import type { ConfigureEvent } from './configure-protocol.ts'
import { CONFIGURE_PATH } from './configure-script.ts'

/** Runs the configuration of an image in a guest that boots from its disk. What the guest is, is the caller's: Tenon's, or a test's. */
export interface ConfigurationGuest {
  /** What the guest prints on its first serial line, until it ends. */
  readonly console: AsyncIterable<Uint8Array>
  /** Ends it at once; again is no error. */
  kill(): void
}

/** What to boot: the disk comes first of all, as `/dev/nvme0n1`, with no initramfs and no network. */
export interface ConfigurationBoot<Disk> {
  readonly disk: Disk
  readonly kernel: Uint8Array
  readonly commandLine: string
}

export interface ConfigureOptions<Disk> {
  start(boot: ConfigurationBoot<Disk>): Promise<ConfigurationGuest>
  readonly progress?: ProgressListener
  /** Each line of the console, for a log. */
  readonly log?: (line: string) => void
  readonly signal?: AbortSignal
  /** A guest that prints nothing for as long has failed. */
  readonly silenceMs?: number
}

const DEFAULT_SILENCE_MS = 10 * 60_000
const LINES_IN_ERROR = 15

/**
 * Configures the packages on a disk that has an `UnconfiguredImage`'s files. When this returns, the guest has unmounted the disk and
 * powered off; if it throws, the disk is of no use. Throws TenonError IMAGE_CONFIGURATION_FAILED, or the signal's reason.
 */
export async function configureDisk<Disk>(disk: Disk, kernel: Uint8Array, options: ConfigureOptions<Disk>): Promise<void> {
  const { signal, silenceMs = DEFAULT_SILENCE_MS } = options
  signal?.throwIfAborted()
  const commandLine = `root=${ROOT_DEVICE} rw console=ttyS0 quiet init=/${CONFIGURE_PATH}`
  const guest = await options.start({ disk, kernel, commandLine })
  const watch = new Watch(options)
  let isSilent = false
  const silence = setTimeout(() => {
    isSilent = true
    guest.kill()
  }, silenceMs)
  const abort = (): void => guest.kill()
  signal?.addEventListener('abort', abort, { once: true })
  try {
    for await (const bytes of guest.console) {
      silence.refresh()
      watch.take(bytes)
    }
  } finally {
    clearTimeout(silence)
    signal?.removeEventListener('abort', abort)
    guest.kill()
  }
  signal?.throwIfAborted()
  watch.finish(isSilent ? `the guest has printed nothing for ${silenceMs / 1000} seconds` : 'the guest has ended before it was done')
}

/** Follows a console. */
class Watch {
  readonly #progress: ProgressListener
  readonly #log: (line: string) => void
  readonly #lines = new ConsoleLines()
  readonly #last: string[] = []
  #end: ConfigureEvent | undefined

  constructor({ progress = () => {}, log = () => {} }: Pick<ConfigureOptions<unknown>, 'progress' | 'log'>) {
    this.#progress = progress
    this.#log = log
  }

  take(bytes: Uint8Array): void {
    for (const line of this.#lines.take(bytes)) this.#line(line)
  }

  /** Throws unless the guest said that it was done; `otherwise` says why it has not. */
  finish(otherwise: string): void {
    this.#line(this.#lines.finish())
    if (this.#end?.kind === 'done') return
    const what = this.#end?.kind === 'failed' ? this.#end.what : otherwise
    throw hostError('IMAGE_CONFIGURATION_FAILED', `the image cannot be configured: ${what}; its last lines were:\n${this.#last.join('\n')}`)
  }

  #line(line: string): void {
    if (line === '') return
    this.#log(line)
    const event = parseConfigureLine(line)
    if (event === undefined) return this.#remember(line)
    if (event.kind === 'progress') this.#progress({ kind: 'step', name: 'configuring', done: event.done, total: event.total, what: event.package })
    // The first failure counts: what comes after it is its consequence.
    else if (event.kind !== 'begin') this.#end ??= event
  }

  #remember(line: string): void {
    this.#last.push(line)
    if (this.#last.length > LINES_IN_ERROR) this.#last.shift()
  }
}
