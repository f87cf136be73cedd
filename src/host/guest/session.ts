import { randomBytes } from 'node:crypto'
import type { Writable } from 'node:stream'
import type { MachineSession, SerialLine } from '../machine/session.ts'
import { feedLine, StreamOwner } from './boot.ts'
import { ByteSource } from './byte-source.ts'
import { CONTROL_LINE, encodeMark, encodeSession, encodeStdin, encodeWindowSize, MAXIMUM_STDIN_PIECE } from './protocol.ts'
import type { SessionRequest, WindowSize } from './protocol.ts'

export interface SessionStreams {
  readonly stdin: AsyncIterable<Uint8Array | string>
  readonly stdout: Writable
  /** In mode `with_pipes` only. */
  readonly stderr: Writable
}

export const [CONSOLE_LINE, STDOUT_LINE, STDERR_LINE] = [0, 1, 2]
const STDIN_LINE = STDOUT_LINE

/** One session in a guest: a command with its streams, or a terminal. */
export class GuestSession {
  /**
   * The command's exit status; 128 + n if signal n killed it, 127 if it was not found. Rejects with TenonError GUEST_*, MACHINE_FAILED,
   * or with the abort signal's reason.
   */
  readonly status: Promise<number>
  readonly request: SessionRequest
  readonly stdout: StreamOwner
  readonly stderr: StreamOwner
  readonly #streams: SessionStreams
  readonly #stdin: ByteSource
  readonly #line: (line: number) => SerialLine
  #phase: 'waiting' | 'running' | 'over' = 'waiting'
  #status: number | undefined
  #settle!: { resolve(status: number): void, reject(error: unknown): void }

  constructor(request: SessionRequest, streams: SessionStreams, machine: () => MachineSession) {
    this.request = request
    this.#streams = streams
    this.#line = line => machine().serial[line]
    this.#stdin = new ByteSource(streams.stdin)
    this.stdout = new StreamOwner(streams.stdout, () => this.#line(this.isOnConsole ? CONSOLE_LINE : STDOUT_LINE))
    this.stderr = new StreamOwner(streams.stderr, () => this.#line(STDERR_LINE))
    this.status = new Promise((resolve, reject) => { this.#settle = { resolve, reject } })
  }

  get isOnConsole(): boolean {
    return this.request.mode === 'on_console'
  }

  get isRunning(): boolean {
    return this.#phase === 'running'
  }

  resize(size: WindowSize): void {
    if (this.isRunning) this.#send(CONTROL_LINE, encodeWindowSize(size))
  }

  /** The guest is ready for this session. */
  begin(machine: MachineSession): void {
    this.#phase = 'running'
    const mark = randomBytes(16).toString('hex')
    this.#send(CONTROL_LINE, encodeSession(this.request, mark))
    if (this.isOnConsole) feedLine(this.#streams.stdin, machine, CONSOLE_LINE).catch(() => {})
    else this.#send(STDIN_LINE, encodeMark(mark))
  }

  /** The guest wants input. */
  async answerStdin(): Promise<void> {
    // A stdin that cannot be read has ended, as far as the command is concerned.
    const piece = await this.#stdin.next(MAXIMUM_STDIN_PIECE).catch(() => new Uint8Array(0))
    if (this.isRunning) this.#send(STDIN_LINE, encodeStdin(piece))
  }

  /** The command has ended. Resolves when its streams have all of its output; then `finish`. */
  async exit(status: number): Promise<void> {
    this.#phase = 'over'
    this.#status = status
    await Promise.all([this.stdout.drained(), this.stderr.drained()])
  }

  finish(): void {
    this.#settle.resolve(this.#status!)
  }

  /** The machine has ended, and every owner has all of its output. */
  machineEnded(error: unknown): void {
    if (this.#status !== undefined) this.#settle.resolve(this.#status)
    // From a terminal, to power off is an orderly end.
    else if (error === undefined && this.isRunning && this.isOnConsole) this.#settle.resolve(0)
    else this.#settle.reject(error)
    this.#phase = 'over'
  }

  #send(line: number, bytes: Uint8Array): void {
    void this.#line(line).write(bytes)
  }
}
