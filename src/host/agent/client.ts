/**
 * A client of the QEMU guest agent over a stream of bytes: virtio-serial port `org.qemu.guest_agent.0`, or a socket.
 *
 *     closed ──opened(true)──▶ out of step ──sync──▶ in step ──▶ one command after the other
 *        ▲                          ▲                   │
 *        └──opened(false)──         └── time-out, nonsense ──┘
 *
 * Commands have no names on the stream: a reply belongs to the last command. So after anything unexpected the client finds its place anew:
 * it sends a byte of 255, which ends whatever the agent was reading, and asks for a number of its choice; what comes before that number,
 * marked by a byte of 255, is of the past.
 */
import { randomInt } from 'node:crypto'
import type { z } from 'zod'
import { hostError } from '../errors.ts'
import type { PortOwner } from '../machine/session.ts'
import { AGENT_COMMANDS } from './commands.ts'
import type { AgentArguments, AgentCaller, AgentCommandName, AgentReply, CallOptions } from './commands.ts'
import { AgentMessageReader } from './message-reader.ts'
import type { AgentEvent } from './message-reader.ts'
import { AgentReplyError, parseReply } from './reply.ts'

export const AGENT_PORT = 'org.qemu.guest_agent.0'

/** Where bytes for the agent go; resolves when it has taken them. */
export type AgentWriter = (bytes: Uint8Array) => Promise<void>

const TIMEOUT_MS = 20_000
/** How long a command that is answered only if it fails is given to fail. */
const SILENCE_MS = 2_000
const LONGEST_IDLE_MESSAGE = 4096
const MARK = Uint8Array.of(0xff)
const LARGEST_SYNC_ID = 2 ** 31

/** Bytes that come while nobody waits are dropped. */
interface Waiter {
  event(event: AgentEvent): void
  fail(error: Error): void
}

export class AgentClient implements AgentCaller, PortOwner {
  readonly #write: AgentWriter
  readonly #reader = new AgentMessageReader(LONGEST_IDLE_MESSAGE)
  #isOpen = false
  #hasEnded = false
  #isInStep = false
  #waiter: Waiter | undefined
  #openWaiters: (() => void)[] = []
  /** The last command, to its end; never rejects. */
  #last: Promise<unknown> = Promise.resolve()
  /** What was written last, until the agent has taken it; never rejects. */
  #written: Promise<void> = Promise.resolve()

  constructor(write: AgentWriter) { this.#write = write }

  get isOpen(): boolean { return this.#isOpen }

  receive(bytes: Uint8Array): boolean {
    for (const event of this.#reader.read(bytes)) this.#waiter?.event(event)
    return true
  }

  /** An agent has opened its end of the stream, or closed it. */
  opened(open: boolean): void {
    this.#isOpen = open
    this.#isInStep = false
    if (open) this.#openWaiters.splice(0).forEach(wake => wake())
    else this.#waiter?.fail(unavailable('it went away'))
  }

  /** The machine has ended: so do all calls. */
  end(): void {
    this.#hasEnded = true
    this.opened(false)
    this.#openWaiters.splice(0).forEach(wake => wake())
  }

  /** Resolves when an agent is there. @throws TenonError AGENT_UNAVAILABLE if there is none after so many milliseconds. */
  async opening(timeoutMs: number): Promise<void> {
    if (!this.#isOpen && !this.#hasEnded) {
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, timeoutMs)
        this.#openWaiters.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
    if (!this.#isOpen) throw unavailable(this.#hasEnded ? 'the guest has ended' : 'none has started')
  }

  call<Name extends AgentCommandName>(name: Name, takes: AgentArguments<Name>, options: CallOptions = {}): Promise<AgentReply<Name>> {
    const done = this.#last.then(() => this.#perform(name, takes, options.timeoutMs ?? TIMEOUT_MS))
    this.#last = done.catch(() => {})
    return done
  }

  async #perform<Name extends AgentCommandName>(name: Name, takes: AgentArguments<Name>, timeoutMs: number): Promise<AgentReply<Name>> {
    if (!this.#isOpen) throw unavailable(this.#hasEnded ? 'the guest has ended' : 'none has started')
    const deadline = performance.now() + timeoutMs
    const { longest, isSilent, reply } = AGENT_COMMANDS[name]
    const request = AGENT_COMMANDS[name].arguments.parse(takes) as object
    try {
      if (!this.#isInStep) await this.#synchronise(deadline)
      this.#isInStep = false
      const text = await this.#exchange(encode(name, request), longest, name, deadline, isSilent)
      this.#isInStep = !isSilent
      return parseReply(name, text, reply as unknown as z.ZodType<AgentReply<Name>>)
    } catch (error) {
      if (error instanceof AgentReplyError && error.code === 'AGENT_PROTOCOL') this.#isInStep = false
      throw error
    } finally {
      this.#reader.limit = LONGEST_IDLE_MESSAGE
      this.#reader.forget()
    }
  }

  /** Sends a command and waits for one message. */
  async #exchange(bytes: Uint8Array, longest: number, name: AgentCommandName, deadline: number, isSilent: boolean): Promise<string> {
    this.#reader.limit = longest
    return this.#wait(name, deadline, bytes, isSilent, (event, { resolve, reject }) => {
      if (event.kind === 'message') resolve(event.text)
      if (event.kind === 'overflow') reject(new AgentReplyError('AGENT_PROTOCOL', name, `sent an answer of more than ${longest} bytes`))
    })
  }

  /** Finds the place in the stream, past whatever an agent still has to say. */
  async #synchronise(deadline: number): Promise<void> {
    const id = randomInt(LARGEST_SYNC_ID)
    let isMarked = false
    const request = Buffer.concat([MARK, encode('guest-sync-delimited', { id })])
    await this.#wait('guest-sync-delimited', deadline, request, false, (event, { resolve }) => {
      if (event.kind === 'message' && isMarked && isSync(event.text, id)) resolve(event.text)
      isMarked = event.kind === 'mark'
    })
  }

  #wait(
    name: AgentCommandName, deadline: number, bytes: Uint8Array, isSilent: boolean,
    look: (event: AgentEvent, settle: { resolve(text: string): void, reject(error: Error): void }) => void,
  ): Promise<string> {
    const timers: NodeJS.Timeout[] = []
    const answered = new Promise<string>((resolve, reject) => {
      this.#waiter = {
        event: event => look(event, { resolve, reject }),
        fail: error => (isSilent ? resolve(SUCCESS) : reject(error)),
      }
      timers.push(setTimeout(() => reject(timedOut(name)), Math.max(0, deadline - performance.now())))
      const sent = (): unknown => isSilent && timers.push(setTimeout(() => resolve(SUCCESS), SILENCE_MS))
      void this.#send(bytes).then(sent, reject)
    })
    return answered.finally(() => {
      timers.forEach(timer => clearTimeout(timer))
      this.#waiter = undefined
    })
  }

  /** Nothing piles up before an agent that does not read: what is written waits for what was. */
  async #send(bytes: Uint8Array): Promise<void> {
    const waiter = this.#waiter
    await this.#written
    if (this.#waiter !== waiter) return
    const written = this.#write(bytes)
    this.#written = written.catch(() => {})
    await written
  }
}

const SUCCESS = '{"return": {}}'

function encode(name: AgentCommandName, takes: object): Uint8Array {
  return Buffer.from(`${JSON.stringify({ execute: name, arguments: takes })}\n`)
}

function isSync(text: string, id: number): boolean {
  try {
    return (JSON.parse(text) as { return?: unknown } | null)?.return === id
  } catch {
    return false
  }
}

function unavailable(why: string): Error {
  return hostError('AGENT_UNAVAILABLE', `there is no guest agent to ask (${why}): the guest must be running, with the package qemu-guest-agent installed`)
}

function timedOut(name: AgentCommandName): Error {
  return hostError('AGENT_TIMEOUT', `the guest's agent did not answer ${name} in time: the guest may be very busy, or hang`)
}
