import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { PassThrough, Writable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exec } from './exec.ts'
import type { ExecRequest, ExecStreams } from './exec.ts'
import { runCaptured } from './run-program.ts'
import { fakeAgent } from './testing/fake-agent.ts'
import type { FakeAnswer, FakeRequest } from './testing/fake-agent.ts'
import { hasRealAgent, startRealAgent } from './testing/real-agent.ts'

const withCode = (code: string, message = /./) => expect.objectContaining({ code, message: expect.stringMatching(message) as string })

/** Collects what is written. */
function collector() {
  const chunks: Buffer[] = []
  const stream = new Writable({
    write: (chunk: Buffer, _, done) => {
      chunks.push(chunk)
      done()
    },
  })
  return { stream, bytes: () => Buffer.concat(chunks), text: () => Buffer.concat(chunks).toString() }
}

describe.skipIf(!hasRealAgent)('with the real qemu-ga', () => {
  let real: Awaited<ReturnType<typeof startRealAgent>>
  beforeAll(async () => { real = await startRealAgent() })
  afterAll(() => real.stop())

  async function run(request: ExecRequest, more: Partial<ExecStreams> = {}) {
    const [out, err] = [collector(), collector()]
    const end = await exec(real.client, request, { stdout: out.stream, stderr: err.stream, ...more })
    return { ...end, out: out.text(), err: err.text(), bytes: out.bytes() }
  }
  const leftOvers = (): string[] => readdirSync(tmpdir()).filter(name => name.startsWith('tenon-exec.'))

  test('short programs give what they wrote', async () => {
    const { status, stdout, stderr, isTruncated } = await runCaptured(real.client, ['sh', '-c', 'cat; echo bad >&2; exit 7'], { input: Buffer.from('in\0') })
    expect([status, stdout.toString(), stderr.toString(), isTruncated]).toEqual([7, 'in\0', 'bad\n', false])
    await expect(runCaptured(real.client, ['sleep', '1'], { timeoutMs: 20 })).rejects.toEqual(withCode('AGENT_TIMEOUT', /sleep has not ended/))
    await expect(runCaptured(real.client, ['no-such-program'])).rejects.toEqual(withCode('AGENT_COMMAND_FAILED', /No such file/))
  })

  test('a command has its streams, status and signal, and leaves nothing', async () => {
    const before = leftOvers()
    expect(await run({ argv: ['sh', '-c', 'echo out; echo err >&2; exit 3'] })).toMatchObject({ status: 3, out: 'out\n', err: 'err\n' })
    expect(await run({ argv: ['sh', '-c', 'kill -9 $$'] })).toMatchObject({ status: undefined, signal: 9 })
    expect(await run({ argv: ['wc', '-c'] }, { stdin: PassThrough.from([Buffer.alloc(700_000), 'text']) })).toMatchObject({ status: 0, out: '700004\n' })
    expect(await run({ argv: ['cat'] })).toMatchObject({ status: 0, out: '' })
    expect(leftOvers()).toEqual(before)
  })

  test('arguments, variables and folders arrive as they are', async () => {
    const argv = ['printf', '%s|', '', 'a b', "'\"$HOME\n", '-e', 'ä', 'x=y']
    expect((await run({ argv })).out).toBe(`${argv.slice(2).join('|')}|`)
    const shown = await run({ argv: ['sh', '-c', 'echo "$A,$HOME,$USER,$PWD"'], environment: { A: '1 =2\n3' }, folder: '/usr' })
    expect(shown.out).toBe('1 =2\n3,/root,root,/usr\n')
    expect((await run({ argv: ['sh', '-c', 'id -un; echo $HOME'], user: 'daemon' })).out).toBe('daemon\n/usr/sbin\n')
  })

  test('a command, a user and a folder that are not there are said', async () => {
    expect(await run({ argv: ['no-such-program'] })).toMatchObject({ status: 127, err: expect.stringContaining('no-such-program') as string })
    expect(await run({ argv: ['true'], user: 'no-such-user' })).toMatchObject({ status: 125, err: 'there is no user no-such-user in the guest\n' })
    expect(await run({ argv: ['true'], folder: '/nowhere' })).toMatchObject({ status: 125, err: expect.stringContaining('/nowhere') as string })
  })

  test('output comes while the command runs, and all of it', async () => {
    const out = collector()
    const running = exec(real.client, { argv: ['sh', '-c', 'echo early; sleep 1; echo late'] }, { stdout: out.stream, stderr: out.stream })
    for (let tries = 0; out.text() === '' && tries < 500; tries++) await new Promise(resolve => setTimeout(resolve, 5))
    expect(out.text()).toBe('early\n')
    await running
    expect(out.text()).toBe('early\nlate\n')
    expect((await run({ argv: ['head', '-c', '2000000', '/dev/zero'] })).bytes.equals(Buffer.alloc(2_000_000))).toBe(true)
  })

  test('commands run beside each other', async () => {
    const outs = await Promise.all([1, 2, 3].map(number => run({ argv: ['sh', '-c', `sleep 0.1; echo ${number}`] })))
    expect(outs.map(({ out }) => out)).toEqual(['1\n', '2\n', '3\n'])
  })

  test('an abort ends the command, and what it started', async () => {
    const abort = new AbortController()
    const mark = `5432.${process.pid}`
    const running = run({ argv: ['sh', '-c', `sleep ${mark} & echo started; wait`] }, { signal: abort.signal })
    setTimeout(() => abort.abort(new Error('enough')), 500)
    await expect(running).rejects.toThrow('enough')
    expect((await runCaptured(real.client, ['pgrep', '-f', `sleep ${mark}$`])).stdout.toString()).toBe('')
  })
})

test('a request that means nothing is refused', async () => {
  const { client, requests } = fakeAgent(() => undefined)
  const streams = { stdout: new PassThrough(), stderr: new PassThrough() }
  for (const request of [{ argv: [] }, { argv: ['a\0'] }, { argv: ['a'], environment: { 'A=B': '' } }, { argv: ['a'], user: 'a b' }, { argv: ['a'], user: '-u' }]) {
    await expect(exec(client, request, streams)).rejects.toEqual(withCode('COMMAND_INVALID'))
  }
  expect(requests).toEqual([])
})

/** An agent whose programs say `made` when they make a folder, and which answers reads as `read` does. */
function lyingAgent(made: string, read: (request: FakeRequest) => FakeAnswer | Promise<FakeAnswer>) {
  return fakeAgent(request => {
    if (request.execute === 'guest-exec') return { return: { pid: 5 } }
    if (request.execute === 'guest-exec-status') return { return: { exited: true, exitcode: 0, 'out-data': Buffer.from(made).toString('base64') } }
    if (request.execute === 'guest-file-open') return { return: 1 }
    if (request.execute === 'guest-file-read') return read(request)
    return request.execute === 'guest-sync-delimited' ? undefined : { return: {} }
  })
}

test.each<[string, string, FakeAnswer, string]>([
  ['a folder of two lines', '/tmp/a\n/tmp/b\n', undefined, 'AGENT_COMMAND_FAILED'],
  ['no folder', '', undefined, 'AGENT_COMMAND_FAILED'],
  ['more than was asked for', '/tmp/a\n', { return: { count: 600_000, 'buf-b64': Buffer.alloc(600_000).toString('base64'), eof: false } }, 'AGENT_PROTOCOL'],
  ['another number of bytes', '/tmp/a\n', { return: { count: 2, 'buf-b64': 'AAAA', eof: false } }, 'AGENT_PROTOCOL'],
  ['nothing, without an end', '/tmp/a\n', { return: { count: 0, 'buf-b64': '', eof: false } }, 'AGENT_PROTOCOL'],
])('a guest that gives %s', async (_, made, answer, code) => {
  const { client } = lyingAgent(made, () => answer)
  const streams = { stdout: new PassThrough(), stderr: new PassThrough() }
  await expect(exec(client, { argv: ['true'] }, streams)).rejects.toEqual(withCode(code))
})

test('output without an end is ended by an abort', async () => {
  const abort = new AbortController()
  const { client } = lyingAgent('/tmp/a\n', async () => {
    await new Promise(resolve => setTimeout(resolve, 1))
    return { return: { count: 3, 'buf-b64': 'AAAA', eof: false } }
  })
  const out = collector()
  setTimeout(() => abort.abort(new Error('enough')), 50)
  await expect(exec(client, { argv: ['true'] }, { stdout: out.stream, stderr: out.stream, signal: abort.signal })).rejects.toThrow('enough')
})
