import { describe, expect, it } from 'vitest'
import { spawnSync } from 'node:child_process'
import type { EchoResult } from '../../network/sockets.ts'
import { judge, ping, pingCommand } from './ping.ts'

const answer = (address: string, length: number) => new Promise<EchoResult>((resolve) => { ping(address, length, resolve) })
const hasPing = spawnSync('ping', ['-n', '-c', '1', '-W', '1', '127.0.0.1']).status === 0

describe('echo requests by the host\'s program', () => {
  it.skipIf(!hasPing)('reaches what can be reached (needs a `ping` that may send)', async () => {
    expect(await answer('127.0.0.1', 56)).toBe('reply')
    expect(await answer('127.0.0.1', 1400)).toBe('reply')
  })

  it.skipIf(!hasPing)('does not reach what cannot be reached (needs a `ping` that may send)', async () => {
    // For documentation, and routed nowhere: RFC 3849.
    expect(await answer('2001:db8::1', 56)).not.toBe('reply')
  })

  it('takes addresses only: no name and no option gets to the program', async () => {
    expect(await answer('localhost', 56)).toBe('unavailable')
    expect(await answer('-f', 56)).toBe('unavailable')
  })

  it('knows the arguments of each system', () => {
    expect(pingCommand('linux', '192.0.2.1', 56)).toEqual(['ping', '-4', '-n', '-c', '1', '-W', '4', '-s', '56', '192.0.2.1'])
    expect(pingCommand('darwin', '2001:db8::1', 56)[0]).toBe('ping6')
    expect(pingCommand('win32', '192.0.2.1', 56)).toContain('-l')
  })

  it('tells silence from a refusal and from a program that cannot', () => {
    expect(judge(null, '64 bytes from 192.0.2.1: icmp_seq=1 ttl=64 time=0.1 ms', '')).toBe('reply')
    expect(judge(null, 'Reply from 10.0.0.1: Destination host unreachable.', '')).toBe('unreachable')
    expect(judge({ code: 1 }, '1 packets transmitted, 0 received', '')).toBe('timed-out')
    expect(judge({ code: 2 }, '', 'ping: connect: Network is unreachable')).toBe('unreachable')
    expect(judge({ code: 'ENOENT' }, '', '')).toBe('unavailable')
    expect(judge({ code: 2 }, '', 'ping: socket: Operation not permitted')).toBe('unavailable')
    expect(judge({ killed: true, code: null }, '', '')).toBe('timed-out')
  })
})
