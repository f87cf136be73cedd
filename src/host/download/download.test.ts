import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { download } from './download.ts'
import type { DownloadOptions } from './download.ts'
import { openHttpClient } from './http-client.ts'
import type { HttpClient, HttpOptions } from './http-client.ts'
import { answerFiles, serve } from './testing/server.ts'
import type { Answer, TestServer } from './testing/server.ts'

const content = randomBytes(300_000)
const files = new Map([['file', content]])
const sha256 = createHash('sha256').update(content).digest('hex')

let folder: string
let path: string
let server: TestServer | undefined
let http: HttpClient | undefined

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tenon-download-'))
  path = join(folder, sha256)
})

afterEach(async () => {
  await http?.close()
  await server?.close()
  rmSync(folder, { recursive: true })
})

async function fetchFrom(answer: Answer, options: DownloadOptions = {}, httpOptions: HttpOptions = {}): Promise<void> {
  server = await serve(answer)
  http = await openHttpClient({ environment: {}, ...httpOptions })
  await download(http, { url: `${server.url}/file`, size: content.length, sha256, path }, { retryDelaysMs: [1], ...options })
}

const withCode = (code: string): unknown => expect.objectContaining({ code })

test('fetches a file and tells of it', async () => {
  let last = 0
  await fetchFrom(answerFiles(files), { onProgress: received => { last = received } })
  expect(readFileSync(path).equals(content)).toBe(true)
  expect([last, existsSync(`${path}.part`)]).toEqual([content.length, false])
})

test('takes up what an interrupted attempt left', async () => {
  writeFileSync(`${path}.part`, content.subarray(0, 100_000))
  await fetchFrom(answerFiles(files))
  expect(readFileSync(path).equals(content)).toBe(true)
  expect(server?.requests.map(({ range }) => range)).toEqual(['bytes=100000-'])
})

test('starts afresh where the server knows no ranges', async () => {
  writeFileSync(`${path}.part`, content.subarray(0, 100_000))
  await fetchFrom((_, response) => response.end(content))
  expect(readFileSync(path).equals(content)).toBe(true)
})

test('starts afresh where the part was something else', async () => {
  writeFileSync(`${path}.part`, randomBytes(100_000))
  await fetchFrom(answerFiles(files))
  expect(readFileSync(path).equals(content)).toBe(true)
  expect(server?.requests.map(({ range }) => range)).toEqual(['bytes=100000-', undefined])
})

test('goes on after a connection that broke', async () => {
  let requests = 0
  const whole = answerFiles(files)
  await fetchFrom((request, response) => {
    if (requests++ > 0) return whole(request, response)
    response.writeHead(200, { 'content-length': content.length })
    response.write(content.subarray(0, 50_000), () => setTimeout(() => response.destroy(), 20))
  })
  expect(readFileSync(path).equals(content)).toBe(true)
  expect(server?.requests[1].range).toMatch(/^bytes=[1-9]/)
})

test.each<[string, Answer, string]>([
  ['another file', (_, response) => response.end(randomBytes(content.length)), 'DOWNLOAD_CORRUPT'],
  ['too much', (_, response) => response.end(Buffer.concat([content, content])), 'DOWNLOAD_CORRUPT'],
  ['too little', (_, response) => response.end(content.subarray(1)), 'DOWNLOAD_FAILED'],
  ['status 404', (_, response) => response.writeHead(404).end('no'), 'DOWNLOAD_FAILED'],
  ['status 500', (_, response) => response.writeHead(500).end('no'), 'DOWNLOAD_FAILED'],
  ['a range that was not asked for', (_, response) => response.writeHead(206, { 'content-range': 'bytes 9-/x' }).end('no'), 'DOWNLOAD_FAILED'],
])('rejects a server that gives %s', async (_, answer, code) => {
  await expect(fetchFrom(answer)).rejects.toEqual(withCode(code))
  expect(existsSync(path)).toBe(false)
})

test('gives up on a server that stalls, before and within its answer', async () => {
  await expect(fetchFrom(() => {}, { retryDelaysMs: [] }, { silenceMs: 100 })).rejects.toEqual(withCode('DOWNLOAD_TIMEOUT'))
  await server?.close()
  const stall: Answer = (_, response) => {
    response.writeHead(200, { 'content-length': content.length })
    response.write(content.subarray(0, 50_000))
  }
  await expect(fetchFrom(stall, { retryDelaysMs: [] }, { silenceMs: 100 })).rejects.toEqual(withCode('DOWNLOAD_TIMEOUT'))
  expect(readFileSync(`${path}.part`).equals(content.subarray(0, 50_000))).toBe(true)
})

test('ends when it is told to', async () => {
  const controller = new AbortController()
  setTimeout(() => controller.abort(new Error('enough')), 50)
  await expect(fetchFrom(() => {}, { signal: controller.signal })).rejects.toThrow('enough')
})

test('says that nobody listens', async () => {
  server = await serve(answerFiles(files))
  await server.close()
  http = await openHttpClient({ environment: {} })
  const file = { url: `${server.url}/file`, size: content.length, sha256, path }
  server = undefined
  await expect(download(http, file, { retryDelaysMs: [] })).rejects.toEqual(withCode('DOWNLOAD_FAILED'))
})

// /dev/full is Linux's full disk.
test.runIf(existsSync('/dev/full'))('says that the disk is full, and leaves nothing', async () => {
  symlinkSync('/dev/full', `${path}.part`)
  await expect(fetchFrom(answerFiles(files))).rejects.toEqual(withCode('CACHE_DISK_FULL'))
  expect([existsSync(path), existsSync(`${path}.part`)]).toEqual([false, false])
})

test('goes through a proxy, but not to hosts that need none', async () => {
  const asked: string[] = []
  const proxy = createServer((request, response) => {
    asked.push(request.url ?? '')
    response.end(content)
  })
  await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
  const environment = { HTTP_PROXY: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, NO_PROXY: '127.0.0.1' }
  await fetchFrom(answerFiles(files), {}, { environment })
  expect(asked).toEqual([])
  await download(http!, { url: 'http://mirror.example/file', size: content.length, sha256, path: `${path}2` })
  expect(asked).toEqual(['http://mirror.example/file'])
  proxy.closeAllConnections()
  proxy.close()
})

test('rejects a proxy that is no URL', async () => {
  await expect(openHttpClient({ environment: { HTTPS_PROXY: 'nowhere at all' } })).rejects.toEqual(withCode('DOWNLOAD_FAILED'))
})
