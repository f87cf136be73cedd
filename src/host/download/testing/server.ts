import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A web server on this host for tests, and what was asked of it. */
export interface TestServer {
  readonly url: string
  readonly requests: { readonly path: string, readonly range: string | undefined }[]
  close(): Promise<void>
}

export type Answer = (request: IncomingMessage, response: ServerResponse) => void

export async function serve(answer: Answer): Promise<TestServer> {
  const requests: TestServer['requests'] = []
  const server = createServer((request, response) => {
    requests.push({ path: request.url ?? '', range: request.headers.range })
    answer(request, response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close() {
      server.closeAllConnections()
      return new Promise(resolve => server.close(() => resolve()))
    },
  }
}

/** Answers with files by path, whole or from the byte that a Range asks for. */
export function answerFiles(files: ReadonlyMap<string, Uint8Array>): Answer {
  return (request, response) => {
    const file = files.get((request.url ?? '').slice(1))
    if (file === undefined) return void response.writeHead(404).end()
    const first = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
    if (first >= file.length) return void response.writeHead(416).end()
    const range = { 'content-range': `bytes ${first}-${file.length - 1}/${file.length}` }
    response.writeHead(first > 0 ? 206 : 200, { 'content-length': file.length - first, ...first > 0 && range }).end(file.subarray(first))
  }
}
