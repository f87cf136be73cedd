import { createServer } from 'node:http'
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { WebSocketServer } from 'ws'
import type { WebSocket } from 'ws'
import { TenonError } from '../../base/errors.ts'
import { hostError } from '../../host/errors.ts'
import type { ApiContext, SocketCall, SocketRoute } from './context.ts'
import { ROUTES } from './routes/all.ts'
import type { ErrorBody } from './schema.ts'
import { SOCKETS } from './sockets/all.ts'

const LARGEST_BODY = 1024 ** 2
const LARGEST_MESSAGE = 1024 ** 2

const TOO_LARGE = hostError('HOST_PROCESS_REQUEST', `the request is larger than ${LARGEST_BODY} bytes`)

const STATUSES: Readonly<Record<string, ContentfulStatusCode>> = {
  GUEST_UNKNOWN: 404, GUEST_RUNNING: 409, GUEST_NOT_RUNNING: 409, GUEST_BUSY: 409, HOST_PROCESS_ENDING: 503, INTERNAL: 500,
}

/** The API as a server that does not listen yet. `log` is told of faults of ours. */
export function createApiServer(context: ApiContext, log: (message: string) => void): Server {
  const listener = getRequestListener(createApp(context, log).fetch)
  const server = createServer((request, response) => void listener(request, response))
  const sockets = new WebSocketServer({ noServer: true, maxPayload: LARGEST_MESSAGE })
  server.on('upgrade', (request, stream, head) => upgrade(sockets, request, stream, head, context))
  return server
}

function createApp(context: ApiContext, log: (message: string) => void): Hono {
  const app = new Hono()
  app.use(bodyLimit({ maxSize: LARGEST_BODY, onError: answer => answer.json(errorBody(TOO_LARGE), 413) }))
  for (const add of ROUTES) add(app, context)
  app.notFound(answer => answer.json(errorBody(hostError('HOST_PROCESS_REQUEST', `there is no ${answer.req.method} ${answer.req.path}`)), 404))
  app.onError((error, answer) => {
    const body = errorBody(error)
    if (body.error.code === 'INTERNAL') log(`${answer.req.method} ${answer.req.path}: ${error.stack ?? error.message}`)
    return answer.json(body, STATUSES[body.error.code] ?? 400)
  })
  return app
}

function errorBody(error: Error): ErrorBody {
  if (error instanceof TenonError) return { error: { code: error.code, message: error.message } }
  return { error: { code: 'INTERNAL', message: `${error.message}: this is a fault of Tenon, please report it` } }
}

function upgrade(sockets: WebSocketServer, request: IncomingMessage, stream: Duplex, head: Buffer, context: ApiContext): void {
  const found = findSocket(request)
  if (found === undefined) return void stream.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n')
  sockets.handleUpgrade(request, stream, head, socket => {
    // Its end is told by `close`, whatever the reason.
    socket.on('error', () => {})
    found.route.open(socket, found.call, context).catch((error: Error) => refuse(socket, error))
  })
}

function findSocket(request: IncomingMessage): { readonly route: SocketRoute, readonly call: SocketCall } | undefined {
  try {
    const { pathname, searchParams: query } = new URL(request.url ?? '', 'http://tenon')
    for (const route of SOCKETS) {
      const match = route.pattern.exec(pathname)
      if (match !== null) return { route, call: { groups: match.slice(1).map(decodeURIComponent), query, request } }
    }
  } catch {
    // No address at all.
  }
  return undefined
}

function refuse(socket: WebSocket, error: Error): void {
  socket.send(JSON.stringify({ kind: 'refused', ...errorBody(error).error }))
  socket.close()
}
