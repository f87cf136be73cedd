import { spawn, spawnSync } from 'node:child_process'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import type { Workload } from '../workloads.ts'
import { diskWorkloads } from './disk-workloads.ts'
import { isHostTransfer, isRequests, isToGuest, networkWorkloads } from './network-workloads.ts'

/** Runs a workload's script on the host, with a function for its chroot. */
function runScript({ script }: Workload, chroot: string, environment: NodeJS.ProcessEnv = {}): { seconds: number, answer: string } {
  const { stdout, stderr } = spawnSync('/bin/sh', ['-c', `chroot() { ${chroot}\n}\n${script}`], {
    encoding: 'utf8', env: { PATH: process.env.PATH, ...environment }, timeout: 20_000,
  })
  return { seconds: Number(stderr), answer: stdout.trim() }
}

function find(workloads: readonly Workload[], name: string): Workload {
  return workloads.find(each => each.name === name)!
}

const print = (text: string): string => `cat <<'END'\n${text}\nEND`

/** Fields of fio's terse output, as its manual numbers them from 1. */
function terse(fields: Readonly<Record<number, string | number>>): string {
  return Array.from({ length: 130 }, (_, index) => fields[index + 1] ?? 0).join(';')
}

const hasAwk = spawnSync('awk', ['BEGIN {}']).status === 0

describe.skipIf(!hasAwk)('diskWorkloads', () => {
  const random = find(diskWorkloads(true), 'randread-32')
  const written = find(diskWorkloads(false), 'write-1')

  it('take time and amount from fio, among what else it prints', () => {
    const read = `fio: a note\n${terse({ 1: 3, 2: 'fio-3.33', 3: 'job', 6: 12 * 1024, 9: 2500 })}`
    expect(runScript(random, print(read))).toEqual({ seconds: 2.5, answer: random.answer })
    expect(runScript(written, print(terse({ 1: 3, 47: 1024 ** 2, 50: 4000 })))).toEqual({ seconds: 4, answer: written.answer })
  })

  it('have another answer after an error, after less, and without fio', () => {
    expect(runScript(random, print(terse({ 1: 3, 5: 5, 6: 12 * 1024, 9: 2500 }))).answer).not.toBe(random.answer)
    expect(runScript(random, print(terse({ 1: 3, 6: 1024, 9: 2500 }))).answer).not.toBe(random.answer)
    expect(runScript(random, 'false').answer).toBe('')
  })
})

/** The members that are looked at, as iperf3 3.12 prints them. */
function iperfJson(bytes: number, seconds: number): string {
  const sum = (name: string, count: number): string => `\t\t"${name}":\t{\n\t\t\t"start":\t0,\n\t\t\t"seconds":\t${seconds},\n\t\t\t"bytes":\t${count},\n\t\t\t"sender":\ttrue\n\t\t}`
  return `{\n\t"intervals":\t[{\n${sum('sum', 7)}\n}],\n\t"end":\t{\n${sum('sum_sent', bytes * 3)},\n${sum('sum_received', bytes)}\n\t}\n}`
}

describe.skipIf(!hasAwk)('networkWorkloads', () => {
  const transfer = find(networkWorkloads(true), 'to-host-8')
  const bytes = transfer.amount!.count

  it('take the time of the amount by the rate at which it was received', () => {
    expect(runScript(transfer, print(iperfJson(bytes, 2)))).toEqual({ seconds: 2, answer: transfer.answer })
    expect(runScript(transfer, print(iperfJson(bytes * 1.25, 2)))).toEqual({ seconds: 1.6, answer: transfer.answer })
  })

  it('have another answer after much less, and say what iperf3 says', () => {
    expect(runScript(transfer, print(iperfJson(bytes / 4, 2))).answer).toBe(`received ${bytes / 4}`)
    expect(runScript(transfer, print('{\n\t"error":\t"unable to connect"\n}')).answer).toContain('unable to connect')
    expect(runScript(transfer, 'false').answer).toBe('received 0')
  })

  it('are each of one kind', () => {
    for (const each of networkWorkloads(false)) expect([isHostTransfer, isToGuest, isRequests].filter(is => is(each))).toHaveLength(1)
  })

  it.skipIf(spawnSync('iperf3', ['--version']).status !== 0)('fit the iperf3 of this host, both ways', async () => {
    const port = await freePort()
    const server = spawn('iperf3', ['--server', '--bind', '127.0.0.1', '--port', `${port}`, '--forceflush'])
    try {
      await once(server.stdout, 'data')
      for (const name of ['to-host-8', 'from-host-1']) {
        // The whole amount: of a smaller one, too much is under way at the end where the host is busy.
        const whole = find(networkWorkloads(false), name)
        const { seconds, answer } = runScript(whole, 'shift; "$@"', { HOST: '127.0.0.1', HOST_PORT: `${port}` })
        expect(answer).toBe(whole.answer)
        expect(seconds).toBeGreaterThan(0)
      }
    } finally {
      server.kill('SIGKILL')
    }
  })
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await once(server.close(), 'close')
  return port
}
