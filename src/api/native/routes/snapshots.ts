import { readBody } from '../body.ts'
import type { AddRoutes } from '../context.ts'
import { snapshotRequestSchema } from '../schema.ts'

/** What was begun is carried out, also where the client goes away: a guest that was frozen is thawed. */
export const addSnapshotRoutes: AddRoutes = (app, { host }) => {
  app.get('/v1/guests/:name/snapshots', async context => context.json(await (await host.running(context.req.param('name'))).snapshots()))
  app.post('/v1/guests/:name/snapshots', async context => {
    const { name } = await readBody(context, snapshotRequestSchema)
    return context.json(await (await host.running(context.req.param('name'))).takeSnapshot(name))
  })
  app.delete('/v1/guests/:name/snapshots/:snapshot', async context => {
    const guest = await host.running(context.req.param('name'))
    return context.json(await guest.deleteSnapshot(context.req.param('snapshot')))
  })
}
