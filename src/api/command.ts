import { Readable, Writable } from 'node:stream'
import type { SessionRequest } from '../host/guest/protocol.ts'
import type { SessionStreams } from '../host/guest/session.ts'
import { apiError } from './errors.ts'
import type { RunOptions, RunResult } from './types.ts'

const MAXIMUM_OUTPUT = 16 * 1024 ** 2

/** A command's request and streams, and in the end its result. */
export class Command {
  readonly request: SessionRequest
  readonly streams: SessionStreams
  readonly #collected: readonly Collector[]

  constructor(argv: readonly string[], { stdin = '', env = {}, stdout, stderr, maxOutput = MAXIMUM_OUTPUT }: RunOptions) {
    this.request = { mode: 'with_pipes', argv: [...argv], environment: { ...env } }
    this.#collected = [new Collector(maxOutput), new Collector(maxOutput)]
    const input = typeof stdin === 'string' || stdin instanceof Uint8Array ? Readable.from([stdin]) : stdin
    this.streams = { stdin: input, stdout: (stdout as Writable | undefined) ?? this.#collected[0], stderr: (stderr as Writable | undefined) ?? this.#collected[1] }
  }

  /** Throws TenonError OUTPUT_TOO_LARGE. */
  result(status: number): RunResult {
    const [stdout, stderr] = this.#collected.map(collector => collector.text())
    return { status, stdout, stderr }
  }
}

/** Keeps what is written to it, to a limit. */
class Collector extends Writable {
  readonly #chunks: Uint8Array[] = []
  readonly #limit: number
  #size = 0

  constructor(limit: number) {
    super()
    this.#limit = limit
  }

  override _write(chunk: Uint8Array, _encoding: string, done: () => void): void {
    this.#size += chunk.length
    if (this.#size <= this.#limit) this.#chunks.push(chunk)
    done()
  }

  text(): string {
    if (this.#size <= this.#limit) return Buffer.concat(this.#chunks).toString()
    throw apiError('OUTPUT_TOO_LARGE', `the command's output has ${this.#size} bytes, and the result takes ${this.#limit}: raise maxOutput, or give a stream`)
  }
}
