import type { IncomingMessage } from 'node:http'
import type { Hono } from 'hono'
import type { WebSocket } from 'ws'
import type { GuestHost } from '../../host/guests/guest-host.ts'

/** What the API of a process stands on. */
export interface ApiContext {
  readonly host: GuestHost
  /** Tenon's version. */
  readonly version: string
}

/** Adds routes to the application. One file of `routes/` exports one of these, and `routes/all.ts` lists them. */
export type AddRoutes = (app: Hono, context: ApiContext) => void

/** A WebSocket by its path. What `open` throws the client is told, and the socket is closed. */
export interface SocketRoute {
  /** Of the path; its groups are given to `open`, decoded. */
  readonly pattern: RegExp
  open(socket: WebSocket, call: SocketCall, context: ApiContext): Promise<void>
}

export interface SocketCall {
  readonly groups: readonly string[]
  readonly query: URLSearchParams
  readonly request: IncomingMessage
}
