import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HTTP_CLIENTS, findHttpClient, makeRequests, touchPort } from './http-clients.ts'

const [wrk, ab] = HTTP_CLIENTS

const WRK = `Running 1s test @ http://127.0.0.1:8080/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    44.98ms   12.35ms 150.01ms   80.00%
    Req/Sec   724.10    102.00     0.90k    70.00%
  721 requests in 1.01s, 0.86MB read
Requests/sec:    712.35
Transfer/sec:    870.15KB`

const AB = `Concurrency Level:      32
Complete requests:      2466
Failed requests:        0
Requests per second:    2464.10 [#/sec] (mean)
Time per request:       12.987 [ms] (mean)`

describe('HTTP_CLIENTS', () => {
  it('read the rate', () => {
    expect(wrk.rate(WRK)).toBe(712.35)
    expect(ab.rate(AB)).toBe(2464.1)
  })

  it.each([
    ['wrk, failed', wrk, `${WRK}\n  Non-2xx or 3xx responses: 12`], ['wrk, cut off', wrk, `${WRK}\n  Socket errors: connect 0, read 3, write 0, timeout 0`],
    ['wrk, none', wrk, WRK.replace('712.35', '0.00')], ['wrk, silent', wrk, ''], ['ab, none', ab, AB.replace('2464.10', '0')],
    ['ab, failed', ab, AB.replace(/(Failed requests: +)0/, '$19')], ['ab, not found', ab, `${AB}\nNon-2xx responses:      2466`], ['ab, silent', ab, ''],
  ])('have no rate where requests failed: %s', (_, client, output) => {
    expect(client.rate(output)).toBeUndefined()
  })

  it('are looked for in their order', async () => {
    const missing = { ...wrk, name: 'tenon-no-such-program' }
    expect(await findHttpClient([missing])).toBeUndefined()
    expect((await findHttpClient([missing, { ...ab, name: process.execPath, version: ['--version'] }]))?.name).toBe(process.execPath)
  })
})

describe('makeRequests', () => {
  let server: Server
  let url: string
  /** Sockets, by the page that was asked for. */
  const sockets = { kept: new Set(), closed: new Set(), missing: new Set() }
  beforeEach(async () => {
    for (const each of Object.values(sockets)) each.clear()
    server = createServer(({ url: path, socket }, response) => {
      const page = path!.slice(1) as keyof typeof sockets
      sockets[page].add(socket)
      response.writeHead(page === 'missing' ? 404 : 200, { 'content-length': 6 }).end('a page')
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  })
  afterEach(() => {
    server.closeAllConnections()
    server.close()
  })

  for (const client of HTTP_CLIENTS) {
    it.skipIf(spawnSync(client.name, client.version).error !== undefined)(`counts what a server answers, by ${client.name}`, async () => {
      const ask = (page: keyof typeof sockets): Promise<number> => makeRequests(client, { url: url + page, closes: page === 'closed', seconds: 1 })
      const [kept, closed] = await Promise.all([ask('kept'), ask('closed'), expect(ask('missing')).rejects.toMatchObject({ code: 'BENCH_CLIENT_FAILED' })])
      expect(Math.min(kept, closed)).toBeGreaterThan(1)
      expect(sockets.kept.size).toBe(32)
      expect(sockets.closed.size).toBeGreaterThan(32)
    })
  }

  it('rejects without the program', async () => {
    await expect(makeRequests({ ...wrk, name: 'tenon-no-such-program' }, { url, closes: true, seconds: 1 })).rejects.toMatchObject({ code: 'BENCH_CLIENT_FAILED' })
  })

  it('touches a port', async () => {
    const { port } = server.address() as AddressInfo
    const connected = once(server, 'connection')
    await touchPort(port)
    await connected
    server.closeAllConnections()
    await once(server.close(), 'close')
    await expect(touchPort(port)).rejects.toMatchObject({ code: 'BENCH_CLIENT_FAILED' })
  })
})
