import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AgentClient } from './client.ts'
import { fakeAgent } from './testing/fake-agent.ts'
import { hasRealAgent, startRealAgent } from './testing/real-agent.ts'

const withCode = (code: string, message = /./) => expect.objectContaining({ code, message: expect.stringMatching(message) as string })

test('commands run one after the other, after one agreement about the place', async () => {
  const { client, names } = fakeAgent(({ execute }) => (execute === 'guest-ping' ? { return: {} } : execute === 'guest-fsfreeze-status' ? { return: 'thawed' } : undefined), 3)
  const both = [client.call('guest-ping', {}), client.call('guest-fsfreeze-status', {})]
  expect([await Promise.all(both), names()]).toEqual([[{}, 'thawed'], ['guest-sync-delimited', 'guest-ping', 'guest-fsfreeze-status']])
})

test('what the agent still says of the past is passed over', async () => {
  const past = Buffer.from('{"return": "frozen"}\nhalf {"return": 5}\n')
  const { client, say } = fakeAgent(({ execute, arguments: takes }) => {
    if (execute !== 'guest-sync-delimited') return { return: 'thawed' }
    return Buffer.concat([past, Buffer.from(`{"return": ${takes.id as number}}\n\xff{"return": ${takes.id as number}}\n`, 'latin1')])
  })
  say(past)
  expect(await client.call('guest-fsfreeze-status', {})).toBe('thawed')
})

test('an agent that says no has its reason, and stays in step', async () => {
  const { client, names } = fakeAgent(({ execute }) => (execute === 'guest-file-open' ? { error: { class: 'GenericError', desc: 'No such\u001b[31m file\n' } } : undefined))
  await expect(client.call('guest-file-open', { path: '/none' })).rejects.toEqual(withCode('AGENT_COMMAND_FAILED', /could not do guest-file-open: No such \[31m file$/))
  await expect(client.call('guest-file-open', { path: '/none' })).rejects.toThrow('No such')
  expect(names().filter(name => name === 'guest-sync-delimited').length).toBe(1)
})

test.each([
  ['no JSON', Buffer.from('{"return": \n'), /sent no answer/],
  ['a list', [], /sent no answer/],
  ['an answer without a value', { other: 1 }, /sent no answer/],
  ['another value', { return: 'lukewarm' }, /another form/],
  ['too much', Buffer.from(`{"return": "${'x'.repeat(3 << 20)}"}\n`), /more than 1048576 bytes/],
  ['an error of another form', { error: 'no' }, /sent no answer/],
])('%s is an error, and the place is found anew', async (_, nonsense, message) => {
  const { client, names } = fakeAgent(({ execute }, count) => (execute === 'guest-sync-delimited' ? undefined : count < 3 ? nonsense : { return: 'thawed' }))
  await expect(client.call('guest-fsfreeze-status', {})).rejects.toEqual(withCode('AGENT_PROTOCOL', message))
  expect(await client.call('guest-fsfreeze-status', {})).toBe('thawed')
  expect(names().filter(name => name === 'guest-sync-delimited').length).toBe(2)
})

test('a reply that comes too late is not taken for the next', async () => {
  let late!: (answer: object) => void
  const { client } = fakeAgent(({ execute }, count) => {
    if (execute === 'guest-sync-delimited') return undefined
    return count < 3 ? new Promise<object>(resolve => { late = resolve }) : { return: 'thawed' }
  })
  await expect(client.call('guest-fsfreeze-status', {}, { timeoutMs: 50 })).rejects.toEqual(withCode('AGENT_TIMEOUT', /guest-fsfreeze-status/))
  late({ return: 'frozen' })
  expect(await client.call('guest-fsfreeze-status', {})).toBe('thawed')
})

test('nothing piles up before an agent that reads nothing', async () => {
  let writes = 0
  const client = new AgentClient(() => {
    writes++
    return new Promise(() => {})
  })
  client.opened(true)
  for (let round = 0; round < 3; round++) {
    await expect(client.call('guest-ping', {}, { timeoutMs: 20 })).rejects.toEqual(withCode('AGENT_TIMEOUT'))
  }
  expect(writes).toBe(1)
})

test('without an agent there is an error, and one that goes away ends the call', async () => {
  const { client } = fakeAgent(({ execute }) => {
    if (execute === 'guest-ping') setTimeout(() => client.opened(false), 10)
    return undefined
  })
  await expect(client.call('guest-ping', {})).rejects.toEqual(withCode('AGENT_UNAVAILABLE', /went away/))
  await expect(client.call('guest-ping', {})).rejects.toEqual(withCode('AGENT_UNAVAILABLE', /qemu-guest-agent/))
  await expect(client.opening(10)).rejects.toEqual(withCode('AGENT_UNAVAILABLE'))
  const opening = client.opening(10_000)
  client.opened(true)
  await opening
  client.end()
  await expect(client.opening(10_000)).rejects.toEqual(withCode('AGENT_UNAVAILABLE', /has ended/))
})

test('a shutdown is not answered, or ends the agent', async () => {
  const { client } = fakeAgent(({ execute }) => {
    if (execute === 'guest-shutdown') setTimeout(() => client.opened(false), 10)
    return undefined
  })
  expect(await client.call('guest-shutdown', { mode: 'powerdown' })).toEqual({})
  const refusing = fakeAgent(({ execute }) => (execute === 'guest-shutdown' ? { error: { desc: 'disabled' } } : undefined))
  await expect(refusing.client.call('guest-shutdown', {})).rejects.toThrow('disabled')
})

test('random bytes from a guest give errors of ours, and no other', async () => {
  let seed = 7
  const random = (below: number): number => (seed = seed * 1103515245 + 12345 & 0x7fffffff) % below
  const scraps = ['{"return": ', '{}', '}\n', '\xff', '\n', '{"error": {"desc": "x"}}\n', '[', '"', '\x00', 'thawed', '1e999', '{"return": "thawed"}\n']
  for (let round = 0; round < 60; round++) {
    const { client } = fakeAgent(({ execute }) => {
      if (execute === 'guest-sync-delimited' && random(4) > 0) return undefined
      return Buffer.from(Array.from({ length: random(12) }, () => scraps[random(scraps.length)]).join(''), 'latin1')
    }, 1 + random(9))
    const outcome = await client.call('guest-fsfreeze-status', {}, { timeoutMs: 5 }).catch((error: { code: string }) => error.code)
    expect(['thawed', 'AGENT_TIMEOUT', 'AGENT_PROTOCOL', 'AGENT_COMMAND_FAILED']).toContain(outcome)
  }
})

describe.skipIf(!hasRealAgent)('the real qemu-ga', () => {
  let real: Awaited<ReturnType<typeof startRealAgent>>
  beforeAll(async () => { real = await startRealAgent() })
  afterAll(() => real.stop())

  test('answers', async () => {
    const { client } = real
    expect(await client.call('guest-ping', {})).toEqual({})
    expect((await client.call('guest-info', {})).supported_commands.map(({ name }) => name)).toContain('guest-exec')
    expect((await client.call('guest-get-osinfo', {})).machine).toBe('x86_64')
    const interfaces = await client.call('guest-network-get-interfaces', {})
    expect(interfaces.find(({ name }) => name === 'lo')?.['ip-addresses']?.map(address => address['ip-address'])).toContain('127.0.0.1')
    expect(await client.call('guest-fsfreeze-status', {})).toBe('thawed')
  })

  test('says no', async () => {
    await expect(real.client.call('guest-file-open', { path: '/nowhere/x' })).rejects.toEqual(withCode('AGENT_COMMAND_FAILED', /No such file/))
    await expect(real.client.call('guest-fsfreeze-freeze', {})).rejects.toEqual(withCode('AGENT_COMMAND_FAILED', /disabled/))
    expect(await real.client.call('guest-ping', {})).toEqual({})
  })
})
