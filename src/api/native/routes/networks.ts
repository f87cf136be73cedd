import type { AddRoutes } from '../context.ts'

export const addNetworkRoutes: AddRoutes = (app, { host }) => {
  app.get('/v1/networks', async context => context.json({ networks: await host.networks?.reports() ?? [] }))
}
