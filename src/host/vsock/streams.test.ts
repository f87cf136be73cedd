/** Both ends of a guest's streams: the real device with a driver's packets on one side, Unix sockets on the other. */
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { Operation, Shutdown } from '../../devices/virtio/socket/packet.ts'
import { Doorbell } from '../machine/doorbell.ts'
import { RING_CAPACITY, StreamChannel, STREAMS_EACH } from './stream-channel.ts'
import { StreamServer } from './stream-server.ts'
import { TestGuest, WINDOW } from './testing/test-guest.ts'

const { REQUEST, RESPONSE, RST, SHUTDOWN } = Operation
const PORT = 1024
const GUEST_PORT = 52

let folder: string
let path: string
let channel: StreamChannel
let server: StreamServer
let running: Promise<void>
let guest: TestGuest
let listeners: Server[]

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tenon-vsock-'))
  path = join(folder, 'vsock')
  listeners = []
  await serve()
})

afterEach(async () => {
  await stop()
  for (const listener of listeners) listener.close()
  rmSync(folder, { recursive: true })
})

async function serve(openingMs?: number): Promise<void> {
  channel = new StreamChannel()
  const doorbell = new Doorbell()
  server = new StreamServer({ path, channel, doorbell, ring: () => { guest.isRung = true }, openingMs })
  guest = new TestGuest({ memory: channel.memory, doorbell: doorbell.memory })
  await server.listen()
  running = server.run()
}

async function stop(): Promise<void> {
  await server.close()
  await running
}

/** A program of the host: what it has read, and whether that is all. */
class Program {
  readonly socket: Socket
  input = Buffer.alloc(0)
  ended = false
  closed = false

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', bytes => { this.input = Buffer.concat([this.input, bytes]) })
    socket.on('end', () => { this.ended = true }).on('close', () => { this.closed = true }).on('error', () => {})
  }

  get text(): string { return this.input.toString('latin1') }
}

/** Listens where the guest's port of the host is. */
async function listen(port = PORT): Promise<Program[]> {
  const programs: Program[] = []
  const listener = createServer({ allowHalfOpen: true }, socket => { programs.push(new Program(socket)) })
  listeners.push(listener)
  await new Promise<void>(resolve => { listener.listen(`${path}_${port}`, resolve) })
  return programs
}

/** A stream that the guest has begun. */
async function begin(guestPort = 7): Promise<Program> {
  const programs = await listen()
  guest.send({ operation: REQUEST, guestPort, hostPort: PORT })
  await guest.until(() => guest.connection(guestPort, PORT).heard.includes(RESPONSE) && programs.length === 1)
  return programs[0]
}

function call(greeting = `CONNECT ${GUEST_PORT}\n`): Program {
  const program = new Program(connect({ path, allowHalfOpen: true }))
  program.socket.write(greeting)
  return program
}

/** A stream that the host has begun. */
async function callGuest(greeting?: string): Promise<{ program: Program, hostPort: number }> {
  const program = call(greeting)
  const known = guest.hostPorts(GUEST_PORT)
  await guest.until(() => guest.hostPorts(GUEST_PORT).length > known.length)
  const hostPort = guest.hostPorts(GUEST_PORT).find(port => !known.includes(port))!
  expect(guest.connection(GUEST_PORT, hostPort).heard).toEqual([REQUEST])
  guest.send({ operation: RESPONSE, guestPort: GUEST_PORT, hostPort })
  await guest.until(() => program.text.startsWith('OK '))
  expect(program.text).toBe(`OK ${hostPort}\n`)
  return { program, hostPort }
}

/** Sends all of it, as the host's side has room. */
async function writeAll(guestPort: number, hostPort: number, bytes: Buffer): Promise<void> {
  let sent = 0
  await guest.until(() => {
    sent += guest.write(guestPort, hostPort, bytes.subarray(sent))
    return sent === bytes.length
  })
}

describe('a stream that the guest begins', () => {
  it('reaches who listens at the path of its port, and carries much both ways at once', async () => {
    const program = await begin()
    const [up, down] = [new Random(1), new Random(2)].map(random => Buffer.from(random.bytes(1_000_000)))
    program.socket.write(down)
    await writeAll(7, PORT, up)
    const { input } = guest.connection(7, PORT)
    await guest.until(() => program.input.length === up.length && guest.connection(7, PORT).input.length === down.length)
    expect(input.length).toBeGreaterThan(0)
    expect([program.input.equals(up), guest.connection(7, PORT).input.equals(down)]).toEqual([true, true])
  })

  it('is refused where nobody listens', async () => {
    guest.send({ operation: REQUEST, guestPort: 7, hostPort: PORT })
    await guest.until(() => guest.connection(7, PORT).heard.length > 0)
    expect(guest.connection(7, PORT).heard).toEqual([RST])
  })

  it('ends one way, and then the other', async () => {
    const program = await begin()
    guest.write(7, PORT, Buffer.from('question'))
    guest.send({ operation: SHUTDOWN, guestPort: 7, hostPort: PORT, flags: Shutdown.SEND })
    await guest.until(() => program.ended)
    program.socket.end('answer')
    await guest.until(() => guest.connection(7, PORT).heard.includes(SHUTDOWN))
    expect([program.text, guest.connection(7, PORT).input.toString()]).toEqual(['question', 'answer'])
    guest.send({ operation: SHUTDOWN, guestPort: 7, hostPort: PORT, flags: Shutdown.BOTH })
    await guest.until(() => program.closed && guest.connection(7, PORT).heard.includes(RST))
    expect(guest.connection(7, PORT).heard).toEqual([RESPONSE, SHUTDOWN, RST])
  })

  it('is over for the host when the guest closes it, once all is sent', async () => {
    const program = await begin()
    program.socket.pause()
    const bytes = Buffer.from(new Random(3).bytes(RING_CAPACITY))
    await writeAll(7, PORT, bytes)
    guest.send({ operation: SHUTDOWN, guestPort: 7, hostPort: PORT, flags: Shutdown.BOTH })
    await guest.until(() => guest.connection(7, PORT).heard.includes(RST))
    program.socket.resume()
    await guest.until(() => program.ended)
    expect(program.input.equals(bytes)).toBe(true)
  })

  it('is broken off by either side', async () => {
    const program = await begin()
    program.socket.destroy()
    await guest.until(() => guest.connection(7, PORT).heard.includes(SHUTDOWN))
    guest.write(7, PORT, Buffer.from('is anybody there?'))
    await guest.until(() => guest.connection(7, PORT).heard.includes(RST))
    for (const listener of listeners) listener.close()
    const other = await begin(8)
    guest.write(8, PORT, Buffer.from('last words'))
    guest.send({ operation: RST, guestPort: 8, hostPort: PORT })
    await guest.until(() => other.ended)
    expect(other.text).toBe('last words')
  })
})

describe('a stream that the host begins', () => {
  it('reaches the port that it names', async () => {
    const { program, hostPort } = await callGuest(`CONNECT ${GUEST_PORT}\nhello`)
    program.socket.end(' guest')
    await guest.until(() => guest.connection(GUEST_PORT, hostPort).heard.includes(SHUTDOWN))
    expect(guest.connection(GUEST_PORT, hostPort).input.toString()).toBe('hello guest')
    guest.write(GUEST_PORT, hostPort, Buffer.from('hello host'))
    guest.send({ operation: SHUTDOWN, guestPort: GUEST_PORT, hostPort, flags: Shutdown.BOTH })
    await guest.until(() => program.ended)
    expect(program.text).toBe(`OK ${hostPort}\nhello host`)
  })

  it('is refused by the guest, or where there is no driver', async () => {
    const program = call()
    await guest.until(() => guest.hostPorts(GUEST_PORT).length === 1)
    guest.send({ operation: RST, guestPort: GUEST_PORT, hostPort: guest.hostPorts(GUEST_PORT)[0] })
    await guest.until(() => program.ended)
    guest.driver.status = 0
    const other = call()
    await guest.until(() => other.ended)
    expect([program.text, other.text]).toEqual(['', ''])
  })

  it('is given up when the guest does not answer', async () => {
    await stop()
    await serve(200)
    const program = call()
    await guest.until(() => program.ended)
    const [hostPort] = guest.hostPorts(GUEST_PORT)
    await guest.until(() => guest.connection(GUEST_PORT, hostPort).heard.includes(RST))
    expect(program.text).toBe('')
  })

  it('needs a greeting, soon', async () => {
    await stop()
    await serve(200)
    const silent = new Program(connect(path))
    const programs = ['CONNECT\n', 'CONNECT 4294967296\n', 'GET / HTTP/1.1\r\n\r\n', 'CONNECT 1', 'x'.repeat(100), '\n'].map(call)
    programs[3].socket.end()
    await guest.until(() => [silent, ...programs].every(({ ended }) => ended))
    expect(guest.hostPorts(GUEST_PORT)).toEqual([])
  })

  it('ends when the guest\'s driver goes', async () => {
    const { program } = await callGuest()
    guest.driver.status = 0
    await guest.until(() => program.ended)
    expect(program.text).toMatch(/^OK \d+\n$/)
  })
})

describe('who does not read', () => {
  it('holds the guest back', async () => {
    const program = await begin()
    program.socket.pause()
    const bytes = Buffer.from(new Random(4).bytes(3_000_000))
    let sent = 0
    const stopped = performance.now() + 300
    await guest.until(() => {
      sent += guest.write(7, PORT, bytes.subarray(sent))
      return performance.now() > stopped
    })
    expect(sent).toBeLessThan(1_000_000)
    program.socket.resume()
    await writeAll(7, PORT, bytes.subarray(sent))
    await guest.until(() => program.input.length === bytes.length)
    expect(program.input.equals(bytes)).toBe(true)
  })

  it('holds the host back', async () => {
    const program = await begin()
    const connection = guest.connection(7, PORT)
    connection.reads = false
    let written = 0
    const piece = Buffer.alloc(100_000, 1)
    const stopped = performance.now() + 300
    await guest.until(() => {
      if (!program.socket.writableNeedDrain) written += piece.length
      if (!program.socket.writableNeedDrain) program.socket.write(piece)
      return performance.now() > stopped && connection.input.length >= WINDOW
    })
    expect([connection.input.length, written < 2_000_000]).toEqual([WINDOW, true])
    connection.reads = true
    connection.forwarded = connection.input.length
    guest.send({ operation: Operation.CREDIT_UPDATE, guestPort: 7, hostPort: PORT })
    await guest.until(() => connection.input.length === written)
  })
})

describe('slots', () => {
  it('are used again', async () => {
    const programs = await listen()
    for (let number = 0; number < STREAMS_EACH + 9; number++) {
      const guestPort = 100 + number
      const { heard } = guest.connection(guestPort, PORT)
      guest.send({ operation: REQUEST, guestPort, hostPort: PORT })
      await guest.until(() => heard.includes(RESPONSE))
      guest.write(guestPort, PORT, Buffer.from(`stream ${number}`))
      guest.send({ operation: SHUTDOWN, guestPort, hostPort: PORT, flags: Shutdown.BOTH })
      await guest.until(() => heard.includes(RST) && programs[number]?.ended)
      programs[number].socket.end()
    }
    expect(programs.map(({ text }) => text)).toEqual(programs.map((_, number) => `stream ${number}`))
  })

  it('are limited for each side', async () => {
    await listen()
    const ports = Array.from({ length: STREAMS_EACH + 1 }, (_, number) => 100 + number)
    for (const guestPort of ports) guest.send({ operation: REQUEST, guestPort, hostPort: PORT })
    await guest.until(() => ports.every(port => guest.connection(port, PORT).heard.length > 0))
    const refused = ports.filter(port => guest.connection(port, PORT).heard[0] === RST)
    expect(refused.length).toBe(1)
    await callGuest()
  })
})

describe('streams of a random life', () => {
  const GUEST_PORTS = [101, 102, 103, 104, 105, 106]

  /** What one of the guest's ports, or a program, may do at any moment. */
  function act(random: Random, programs: readonly Program[], callers: Program[]): void {
    const guestPort = random.pick(GUEST_PORTS)
    const operation = random.pick([REQUEST, REQUEST, RST, SHUTDOWN, SHUTDOWN, RESPONSE])
    const packet = { guestPort, hostPort: PORT, flags: 1 + random.below(3) }
    const program = programs.length === 0 ? undefined : random.pick(programs)
    const bytes = Buffer.from(random.bytes(random.below(60_000)))
    random.pick([
      () => guest.send({ ...packet, operation }),
      () => void guest.write(guestPort, PORT, bytes),
      () => void callers.push(call(random.pick(['CONNECT 9\n', `CONNECT 8\n${'x'.repeat(99)}`, 'CONNECT', 'nonsense\n']))),
      () => { for (const hostPort of guest.hostPorts(9)) guest.send({ operation: random.pick([RESPONSE, RST]), guestPort: 9, hostPort }) },
      () => void program?.socket.write(bytes),
      () => void program?.socket.end(),
      () => void program?.socket.destroy(),
      () => void program?.socket.pause(),
      () => void program?.socket.resume(),
      () => guest.look(),
    ])()
  }

  it('leave nothing behind', async () => {
    const random = new Random(6)
    const callers: Program[] = []
    const programs = await listen()
    for (let round = 0; round < 700; round++) {
      act(random, programs, callers)
      if (random.below(4) === 0) await guest.until(() => true)
      if (random.below(8) === 0) await new Promise(resolve => { setImmediate(resolve) })
    }
    for (const guestPort of GUEST_PORTS) guest.send({ operation: RST, guestPort, hostPort: PORT })
    await guest.until(() => {
      for (const { socket } of [...programs, ...callers]) socket.destroy()
      return [...programs, ...callers].every(({ closed }) => closed)
    })
    await expectRoom()
  })

  /** For as many streams of each side as there may be. */
  async function expectRoom(): Promise<void> {
    const ports = Array.from({ length: STREAMS_EACH }, (_, number) => 1000 + number)
    const asked = new Set<number>()
    // Some of the last ones may take a moment to be over.
    await guest.until(() => {
      const waiting = ports.map(port => ({ port, last: guest.connection(port, PORT).heard.at(-1) })).filter(({ last }) => last !== RESPONSE)
      for (const { port, last } of waiting) {
        if (last === RST) guest.connection(port, PORT).heard.length = 0
        if (last === RST || !asked.has(port)) guest.send({ operation: REQUEST, guestPort: port, hostPort: PORT })
        asked.add(port)
      }
      return waiting.length === 0
    })
    const callers = ports.map(() => call())
    const answered = new Set<number>()
    await guest.until(() => {
      for (const port of [8, 9]) for (const hostPort of guest.hostPorts(port)) guest.send({ operation: RST, guestPort: port, hostPort })
      for (const hostPort of guest.hostPorts(GUEST_PORT).filter(port => !answered.has(port))) {
        answered.add(hostPort)
        guest.send({ operation: RESPONSE, guestPort: GUEST_PORT, hostPort })
      }
      return callers.every(({ text }) => text.startsWith('OK '))
    })
  }
})

it('what the guest has sent is sent on when its machine ends', async () => {
  const program = await begin()
  guest.write(7, PORT, Buffer.from('the result'))
  await server.close()
  await guest.until(() => program.ended)
  expect(program.text).toBe('the result')
})

it('a thread that is gone resets the streams, and refuses others', async () => {
  await begin()
  channel.fail()
  guest.isRung = true
  guest.send({ operation: REQUEST, guestPort: 9, hostPort: PORT })
  await guest.until(() => guest.connection(9, PORT).heard.length > 0)
  expect([guest.connection(7, PORT).heard, guest.connection(9, PORT).heard]).toEqual([[RESPONSE, RST], [RST]])
})
