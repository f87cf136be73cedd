import type { AddRoutes } from '../context.ts'
import { API_VERSION } from '../api-version.ts'
import type { HostView } from '../schema.ts'

export const addHostRoutes: AddRoutes = (app, { host, version }) => {
  const view: HostView = { api: API_VERSION, version, process: process.pid, domain: host.domain }
  app.get('/v1/host', context => context.json(view))
}
