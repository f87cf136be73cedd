import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { measure } from './measure.ts'
import type { GuestCommand } from './measure.ts'
import type { Workload } from './workloads.ts'

const WORKLOADS: Workload[] = [{ name: 'loop', title: 'loop', suite: 'loops', script: '', answer: '42' }]

/** A guest that is a Node program: `say` prints, `wait` waits, `report` sends an instruction count. */
function guest(body: string, reports = false): GuestCommand {
  const prelude = `const say = (...words) => console.log('@@bench', ...words)
    const wait = ms => new Promise(resolve => setTimeout(resolve, ms))
    const report = (event, workload, instructions) => process.send({ event, workload, instructions });`
  return { program: process.execPath, args: ['-e', `${prelude} (async () => { ${body} })()`], reports }
}

const options = { timeoutSeconds: 20, workloads: WORKLOADS }
const DONE = 'say("answer", "loop", "42"); say("done"); await wait(60000)'
const END = `say("end", "loop"); ${DONE}`

describe('measure', () => {
  it('takes the times between markers', async () => {
    const run = await measure(guest(`say("user-space"); say("begin", "loop"); await wait(100); ${END}`), options)
    expect(Object.keys(run.seconds)).toEqual(['boot', 'loop'])
    expect(run.seconds.boot).toBeGreaterThan(0)
    expect(run.seconds.loop).toBeGreaterThan(0.08)
    expect(run.instructions).toEqual({})
  })

  it('takes instruction counts from the program', async () => {
    const body = `say("user-space"); say("begin", "loop"); ${END.replace('await wait(60000)', '')}; await wait(100); report("user-space", "", 1000)
      report("begin", "loop", 1500); report("end", "loop", 4500); report("done", "", 5000); await wait(60000)`
    expect((await measure(guest(body, true), options)).instructions).toEqual({ boot: 1000, loop: 3000 })
  })

  it('takes a workload\'s own time', async () => {
    const run = await measure(guest(`say("begin", "loop"); await wait(200); say("end", "loop"); say("seconds", "loop", "0.150000000", "7.05", "7.25"); ${DONE}`), options)
    expect(run.seconds).toEqual({ loop: 0.15 })
  })

  it('has the host\'s part of a workload made as it begins, waits for it, and takes its time', async () => {
    let calls = 0
    const client = async (): Promise<number> => {
      calls++
      await sleep(300)
      return 7
    }
    const body = `say("begin", "loop"); say("end", "loop"); report("begin", "loop", 1500); report("end", "loop", 4500)
      report("done", "", 5000); ${DONE}`
    const run = await measure(guest(body, true), { ...options, clients: { loop: client, other: client } })
    expect([run.seconds, run.instructions, calls]).toEqual([{ loop: 7 }, {}, 1])
  })

  it('rejects if the host\'s part fails', async () => {
    const clients = { loop: () => Promise.reject(new Error('no route')) }
    await expect(measure(guest('say("begin", "loop"); await wait(60000)'), { ...options, clients })).rejects.toMatchObject({
      code: 'BENCH_CLIENT_FAILED', message: expect.stringContaining('loop: no route') as string,
    })
  })

  it('rejects a workload\'s own time by a clock that is not the host\'s', async () => {
    const body = `say("begin", "loop"); say("end", "loop"); say("seconds", "loop", "0.5", "7.00", "99.00"); ${DONE}`
    await expect(measure(guest(body), options)).rejects.toMatchObject({ code: 'BENCH_CLOCK_WRONG' })
  })

  it('gives the program its environment', async () => {
    const command = { ...guest('say("answer", "loop", process.env.ANSWER); say("done"); await wait(60000)'), environment: { ANSWER: '43' } }
    await expect(measure(command, options)).rejects.toMatchObject({ message: expect.stringContaining('gives "43"') as string })
  })

  it('rejects a wrong answer', async () => {
    await expect(measure(guest('say("answer", "loop", "41"); say("done")'), options)).rejects.toMatchObject({
      code: 'BENCH_ANSWER_WRONG', message: expect.stringContaining('loop gives "41", not "42"') as string,
    })
  })

  it('rejects a guest that ends early, with the end of its console', async () => {
    await expect(measure(guest('console.log("Kernel panic"); process.exit(3)'), options)).rejects.toMatchObject({
      code: 'BENCH_GUEST_FAILED', message: expect.stringMatching(/ended with status 3[^]*Kernel panic/) as string,
    })
  })

  it('rejects a guest that is never done', async () => {
    await expect(measure(guest('await wait(60000)'), { ...options, timeoutSeconds: 0.2 })).rejects.toMatchObject({ code: 'BENCH_GUEST_FAILED' })
  })

  it.skipIf(process.platform === 'win32')('starts a peer before it, and ends it after it', async () => {
    const socket = join(await mkdtemp(join(tmpdir(), 'tenon-bench-peer-')), 'socket')
    const body = `require('node:net').createServer().listen(${JSON.stringify(socket)}); setInterval(() => {}, 1000)`
    const isThere = `require('node:fs').existsSync(${JSON.stringify(socket)})`
    const command = guest(`say("answer", "loop", ${isThere} ? "42" : "none"); say("done"); await wait(60000)`)
    await measure({ ...command, peer: { program: process.execPath, args: ['-e', body], socket } }, options)
    await expect(once(connect(socket), 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await rm(dirname(socket), { recursive: true })
  })

  it('rejects a peer that ends, with what it says', async () => {
    const body = 'console.error("no such card"); process.exit(1)'
    const peer = { program: process.execPath, args: ['-e', body], socket: join(tmpdir(), 'tenon-no-such-socket') }
    await expect(measure({ ...guest(DONE), peer }, options)).rejects.toMatchObject({
      code: 'BENCH_GUEST_FAILED', message: expect.stringContaining('no such card') as string,
    })
  })

  it('rejects a program that is not there', async () => {
    await expect(measure({ program: 'tenon-no-such-program', args: [], reports: false }, options)).rejects.toMatchObject({
      code: 'BENCH_GUEST_FAILED', message: expect.stringContaining('cannot be started') as string,
    })
  })
})
