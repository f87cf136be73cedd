/** The native API over a socket, with machines that are fake. */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { GuestHome } from '../../host/guests/testing/guest-home.ts'
import { AttachedConsole } from './attach.ts'
import { HostClient } from './client.ts'
import { listGuests } from './guest-list.ts'
import { createApiServer } from './server.ts'
import { findHost, whileNoneStarts } from './start-process.ts'

const withCode = (code: string): Error => expect.objectContaining({ code }) as Error

class Served {
  readonly home = new GuestHome()
  readonly socket: string

  private constructor() {
    this.socket = join(this.home.path, 'run/default/host.sock')
  }

  /** A process in place: it listens where that of the domain would. */
  static async open(version = '1.0'): Promise<Served> {
    const served = new Served()
    await whileNoneStarts('default', served.options, async () => {})
    const server = createApiServer({ host: served.home.host, version }, message => served.home.log.push(message)).listen(served.socket)
    await once(server, 'listening')
    onTestFinished(() => void server.close())
    return served
  }

  get options(): { home: string, version: string } { return { home: this.home.path, version: '1.0' } }

  async client(): Promise<HostClient> { return (await findHost('default', this.options))! }

  /** A request as it comes, and what is answered. */
  async raw(text: string): Promise<string> {
    const stream = connect(this.socket)
    stream.write(text)
    let answer = ''
    stream.on('data', bytes => { answer += String(bytes) })
    // It may be answered, and hung up on, before it is all sent.
    stream.on('error', () => {})
    await new Promise(resolve => stream.on('close', resolve))
    return answer
  }
}

test('guests are started, seen, stopped and removed', async () => {
  const served = await Served.open()
  const { home } = served
  await home.make('web')
  const client = await served.client()
  expect(client.view).toEqual({ api: 1, version: '1.0', process: process.pid, domain: 'default' })
  expect(await client.start('web')).toMatchObject({ name: 'web', state: 'running', boots: 1 })
  expect(await client.guests()).toMatchObject([{ name: 'web' }])
  await expect(client.start('web')).rejects.toEqual(withCode('GUEST_RUNNING'))
  await expect(client.remove('web')).rejects.toEqual(withCode('GUEST_RUNNING'))
  await expect(client.guest('nobody')).rejects.toEqual(withCode('GUEST_UNKNOWN'))
  home.machines.onPress = machine => machine.end('power-off')
  expect(await client.stop('web')).toEqual({ end: { reason: 'power-off', detail: '' }, wasKilled: false })
  await expect(client.stop('web')).rejects.toEqual(withCode('GUEST_NOT_RUNNING'))
  await client.remove('web')
  expect(await home.store.names()).toEqual([])
})

test('requests that make no sense are refused, and nothing else happens', async () => {
  const served = await Served.open()
  await served.home.make('web')
  await (await served.client()).start('web')
  const post = (body: string): string => `POST /v1/guests/web/stop HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  for (const body of ['{', '[]', '{"force":"yes"}', '{"timeoutMs":-1}', '{"more":1}', '"\0"']) {
    const answer = await served.raw(post(body))
    expect(answer).toContain('400')
    expect(answer).toContain('HOST_PROCESS_REQUEST')
  }
  expect(await served.raw(post('x'.repeat(2 ** 21)))).toContain('413')
  expect(await served.raw('GET /v1/guests/..%2f..%2fetc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')).toContain('GUEST_NAME_INVALID')
  expect(await served.raw('GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')).toContain('404')
  expect(await served.raw('GET /v1/guests/web HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')).toContain('404')
  expect(await served.raw('\0\0\0\r\n\r\n')).toContain('400')
  expect(served.home.host.guests).toHaveLength(1)
  expect(served.home.log).toEqual([])
})

test('the agent in a guest is asked, over its reboots', async () => {
  const served = await Served.open()
  await served.home.make('web')
  const client = await served.client()
  await client.start('web')
  const agent = client.agent('web')
  await expect(agent.call('guest-ping', {})).rejects.toEqual(withCode('AGENT_UNAVAILABLE'))
  await expect(agent.call('guest-ping', {}, { waitMs: 10 })).rejects.toEqual(withCode('AGENT_UNAVAILABLE'))
  await expect(agent.call('guest-file-open', { path: 5 } as never)).rejects.toEqual(withCode('HOST_PROCESS_REQUEST'))
  await expect(agent.call('guest-format-disk' as never, {} as never)).rejects.toEqual(withCode('HOST_PROCESS_REQUEST'))
  for (const boot of [0, 1]) {
    const machine = await served.home.machines.at(boot)
    const { owner } = machine.options.ports![0]
    machine.onPort = bytes => {
      const { execute, arguments: { id } } = JSON.parse(Buffer.from(bytes).toString('latin1').replace('\xff', '')) as { execute: string, arguments: { id?: number } }
      owner.receive(Buffer.from(id === undefined ? `{"return": "${execute.endsWith('status') ? 'thawed' : ''}"}\n` : `\xff{"return": ${id}}\n`, 'latin1'))
    }
    const answer = agent.call('guest-fsfreeze-status', {}, { waitMs: 10_000 })
    owner.opened!(true)
    expect(await answer).toBe('thawed')
    owner.opened!(false)
    machine.end(boot === 0 ? 'reset' : 'power-off')
  }
  await expect.poll(() => agent.call('guest-ping', {}).catch((error: { code: string }) => error.code)).toBe('GUEST_NOT_RUNNING')
})

test('snapshots of a guest\'s disks are taken, listed and deleted, whether or not the client waits', async () => {
  const served = await Served.open()
  await served.home.makeWithDisk('web')
  const client = await served.client()
  await expect(client.takeSnapshot('web', 'x')).rejects.toEqual(withCode('GUEST_NOT_RUNNING'))
  await client.start('web')
  const [machine] = served.home.machines.started
  expect(await client.takeSnapshot('web', 'before/ü')).toMatchObject({ frozen: 0, reason: expect.stringContaining('agent') as string, snapshots: [{ name: 'before/ü' }] })
  expect((await client.snapshots('web')).snapshots).toHaveLength(1)
  await client.deleteSnapshot('web', 'before/ü')
  await expect(client.takeSnapshot('web', '')).rejects.toEqual(withCode('HOST_PROCESS_REQUEST'))
  let go = (): void => {}
  machine.onSnapshot = () => new Promise(resolve => { go = resolve })
  const body = '{"name":"left"}'
  const stream = connect(served.socket)
  stream.write(`POST /v1/guests/web/snapshots HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  await expect.poll(() => machine.asked.at(-1)).toBe('create left')
  await expect(client.takeSnapshot('web', 'second')).rejects.toEqual(withCode('GUEST_BUSY'))
  stream.destroy()
  go()
  await expect.poll(() => machine.asked.at(-1)).toBe('resume')
  expect((await client.snapshots('web')).snapshots).toMatchObject([{ name: 'left' }])
})

interface Screen { text: string, skipped: number }

async function attached(client: HostClient, name: string): Promise<{ readonly console: AttachedConsole, readonly screen: Screen }> {
  const screen: Screen = { text: '', skipped: 0 }
  const console_ = await AttachedConsole.open(client, name, 'line', {
    output: bytes => { screen.text += Buffer.from(bytes).toString() },
    skipped: bytes => { screen.skipped += bytes },
  })
  return { console: console_, screen }
}

test('consoles show what the guest says, type to it, and are told of its end', async () => {
  const served = await Served.open()
  await served.home.make('web')
  const client = await served.client()
  await client.start('web')
  const machine = await served.home.machines.at(0)
  machine.say('before\nlogin: ')
  const [one, two] = [await attached(client, 'web'), await attached(client, 'web')]
  await expect.poll(() => [one.screen.text, two.screen.text]).toEqual(['login: ', 'login: '])
  await one.console.write(Buffer.from('root\r'))
  await expect.poll(() => machine.typed).toBe('root\r')
  two.console.detach()
  expect(await two.console.ended).toBeUndefined()
  machine.say('# ')
  machine.end('reset')
  ;(await served.home.machines.at(1)).say('booted')
  await expect.poll(() => one.screen.text).toBe('login: # booted')
  ;(await served.home.machines.at(1)).end('power-off')
  expect(await one.console.ended).toMatchObject({ reason: 'power-off' })
  expect([two.screen.text, await attached(client, 'web').then(({ console: late }) => late.ended.catch((error: unknown) => error))]).toEqual([
    'login: ', withCode('GUEST_NOT_RUNNING'),
  ])
})

test('a client that takes nothing does not hold the guest back, and hears later what it missed', async () => {
  const served = await Served.open()
  await served.home.make('web')
  const client = await served.client()
  await client.start('web')
  const machine = await served.home.machines.at(0)
  const socket = new WebSocket('ws://x/v1/guests/web/console', { createConnection: () => client.stream() })
  await once(socket, 'open')
  socket.pause()
  for (let count = 0; count < 300; count++) machine.say('x'.repeat(32 * 1024))
  let [received, skipped] = [0, 0]
  socket.on('message', (data: Buffer, isBinary) => {
    if (isBinary) received += data.length
    else skipped += (JSON.parse(String(data)) as { bytes: number }).bytes
  })
  socket.resume()
  await expect.poll(() => {
    machine.say('.')
    return skipped
  }).toBeGreaterThan(0)
  expect(received).toBeLessThan(8 * 1024 ** 2)
  socket.close()
})

test('a socket that nobody listens at is no process, and one of another version is said', async () => {
  const served = await Served.open('0.9')
  const notices: string[] = []
  await findHost('default', { ...served.options, notice: message => notices.push(message) })
  expect(notices).toEqual([expect.stringContaining('is of Tenon 0.9, and this is 1.0')])
  expect(await findHost('another', served.options)).toBeUndefined()
  writeFileSync(join(served.home.path, 'no-socket'), '')
  expect(await HostClient.connect(join(served.home.path, 'no-socket'))).toBeUndefined()
})

test('the list has what runs and what does not, and what is wrong', async () => {
  const served = await Served.open()
  const { home } = served
  for (const name of ['runs', 'crashed', 'lost', 'damaged', 'new']) await home.make(name)
  const client = await served.client()
  await client.start('runs')
  await client.start('crashed')
  ;(await home.machines.at(1)).end('triple-fault', 'at 0')
  await home.store.setState('lost', { state: 'running', domain: 'default', process: 1, since: 0 })
  writeFileSync(home.store.folder('damaged').definition, 'image: [')
  await expect.poll(async () => (await client.guests()).length).toBe(1)
  expect(await listGuests(served.options)).toEqual([
    expect.objectContaining({ name: 'crashed', state: 'failed', end: { reason: 'triple-fault', detail: 'at 0' } }),
    expect.objectContaining({ name: 'damaged', state: 'stopped', problem: expect.stringContaining('guest.yaml:') as string }),
    expect.objectContaining({ name: 'lost', state: 'failed', problem: 'its background process (process 1) ended before it' }),
    expect.objectContaining({ name: 'new', state: 'stopped' }),
    expect.objectContaining({ name: 'runs', state: 'running', memoryBytes: 512 * 1024 ** 2 }),
  ])
})
