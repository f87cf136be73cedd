/**
 * Questions to the host's resolvers: over UDP, each with a socket (and so a port) and an id of its own (RFC 5452), or over TCP. A resolver
 * that fails or keeps silent is followed by the next one; whoever asked hears in any case.
 */
import type { SocketBackend, SocketFailure, StreamEvents, UdpEvents } from '../../sockets.ts'
import { parseAddress } from '../../packet/addresses.ts'
import { DnsFlag, parseQuestion, type DnsQuestion } from '../../packet/dns.ts'
import { SECOND, type Ager, type Ageing } from '../ager.ts'
import { withId } from './cache.ts'
import { MessageReader, framed } from './message-reader.ts'

const DNS_PORT = 53
/** All attempts together are over before a guest's resolver gives up, which is after 5 s as a rule. */
const ATTEMPTS = 3
const PATIENCE = 1.5 * SECOND
const OUTSTANDING = 256

/** Gets the answer, with the query's id; null: nobody has answered. */
export type Answered = (response: Uint8Array | null) => void

export class Upstream implements Ageing {
  private readonly ager: Ager
  private readonly sockets: SocketBackend
  private readonly randomId: () => number
  private readonly asked = new Set<Attempt>()

  constructor(ager: Ager, sockets: SocketBackend, randomId: () => number) {
    this.ager = ager
    this.sockets = sockets
    this.randomId = randomId
    ager.add(this)
  }

  /** False: too many questions are open. `answered` is not called before this has returned. */
  ask(query: Uint8Array, question: DnsQuestion, tcp: boolean, answered: Answered): boolean {
    if (this.asked.size >= OUTSTANDING) return false
    const attempt = new Attempt(query, question, tcp, this.sockets.resolvers(), answered)
    this.asked.add(attempt)
    this.start(attempt)
    return true
  }

  age(now: number): number {
    let next = Infinity
    for (const attempt of this.asked) {
      if (attempt.deadline <= now) this.start(attempt)
      if (!attempt.done) next = Math.min(next, attempt.deadline)
    }
    return next
  }

  close(): void {
    for (const attempt of this.asked) attempt.stop()
    this.asked.clear()
  }

  private start(attempt: Attempt): void {
    attempt.stop()
    const resolver = attempt.nextResolver()
    if (attempt.count > ATTEMPTS || resolver === undefined) {
      // Not from inside `ask`: without a resolver, the next tick says so.
      if (attempt.count > 1 || attempt.deadline !== Infinity) return this.finish(attempt, null)
      attempt.deadline = this.ager.now()
    } else {
      attempt.deadline = this.ager.now() + PATIENCE
      this.send(attempt, resolver)
    }
    this.ager.wake(attempt.deadline)
  }

  private send(attempt: Attempt, resolver: Resolver): void {
    attempt.id = this.randomId()
    const query = withId(attempt.query, attempt.id)
    const number = attempt.count
    const failed = () => {
      if (!attempt.done && attempt.count === number) this.start(attempt)
    }
    const answered = (response: Uint8Array) => {
      if (attempt.done || attempt.count !== number || !attempt.isAnswer(response)) return
      this.finish(attempt, withId(response, attempt.question.id))
    }
    if (attempt.tcp) attempt.stop = this.sendTcp(resolver, query, answered, failed)
    else attempt.stop = this.sendUdp(resolver, query, answered, failed)
  }

  private sendUdp(resolver: Resolver, query: Uint8Array, answered: (response: Uint8Array) => void, failed: () => void): () => void {
    const events: UdpEvents = { message: answered, failed }
    const socket = this.sockets.connectUdp(resolver.address, resolver.port, events)
    socket.send(query)
    return () => { socket.close() }
  }

  private sendTcp(resolver: Resolver, query: Uint8Array, answered: (response: Uint8Array) => void, failed: () => void): () => void {
    const message = framed(query)
    const reader = new MessageReader()
    let sent = 0
    const send = () => { sent += stream.write(message.subarray(sent)) }
    const events: StreamEvents = {
      connected: send,
      writable: () => { if (sent < message.length) send() },
      data: (bytes) => {
        reader.push(bytes)
        for (let response = reader.take(); response !== undefined; response = reader.take()) answered(response)
        return true
      },
      ended: failed,
      closed: (_failure?: SocketFailure) => { failed() },
    }
    const stream = this.sockets.connectTcp(resolver.address, resolver.port, events)
    return () => { stream.abort() }
  }

  private finish(attempt: Attempt, response: Uint8Array | null): void {
    attempt.done = true
    attempt.stop()
    this.asked.delete(attempt)
    attempt.answered(response)
  }
}

interface Resolver {
  readonly address: string
  readonly port: number
}

class Attempt {
  readonly query: Uint8Array
  readonly question: DnsQuestion
  readonly tcp: boolean
  readonly answered: Answered
  deadline = Infinity
  count = 0
  done = false
  id = 0
  stop: () => void = () => {}
  private readonly resolvers: readonly Resolver[]

  constructor(query: Uint8Array, question: DnsQuestion, tcp: boolean, resolvers: readonly string[], answered: Answered) {
    this.query = query.slice()
    this.question = question
    this.tcp = tcp
    this.answered = answered
    this.resolvers = resolvers.map(parseResolver).filter(resolver => resolver !== undefined)
  }

  nextResolver(): Resolver | undefined {
    return this.resolvers[this.count++ % Math.max(1, this.resolvers.length)]
  }

  isAnswer(response: Uint8Array): boolean {
    const { question } = this
    const answer = parseQuestion(response)
    if (answer === undefined || answer.id !== this.id || (answer.flags & DnsFlag.QR) === 0) return false
    return answer.name === question.name && answer.type === question.type && answer.class === question.class
  }
}

/** `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1`, `[2001:db8::1]:5353`, also with a zone (`fe80::1%eth0`). */
export function parseResolver(text: string): Resolver | undefined {
  const match = /^\[([^\]]+)\](?::(\d+))?$/.exec(text) ?? /^([\d.]+):(\d+)$/.exec(text) ?? [text, text]
  const port = match[2] === undefined ? DNS_PORT : Number(match[2])
  const valid = parseAddress(match[1].replace(/%[\w.-]+$/, '')) !== undefined && port > 0 && port < 65536
  return valid ? { address: match[1], port } : undefined
}
