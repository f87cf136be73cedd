import type { RunningGuest } from '../../../host/guests/running-guest.ts'
import { readBody } from '../body.ts'
import type { AddRoutes } from '../context.ts'
import { startRequestSchema, stopRequestSchema } from '../schema.ts'
import type { GuestView, StopView } from '../schema.ts'

export const addGuestRoutes: AddRoutes = (app, { host }) => {
  app.get('/v1/guests', context => context.json({ guests: host.guests.map(viewOf) }))
  app.get('/v1/guests/:name', async context => context.json(viewOf(await host.running(context.req.param('name')))))
  app.post('/v1/guests/:name/start', async context => {
    const { afresh } = await readBody(context, startRequestSchema)
    return context.json(viewOf(await host.start(context.req.param('name'), afresh)))
  })
  app.post('/v1/guests/:name/suspend', async context => {
    await (await host.running(context.req.param('name'))).suspend()
    return context.json({})
  })
  app.post('/v1/guests/:name/stop', async context => {
    const { force, timeoutMs } = await readBody(context, stopRequestSchema)
    const guest = await host.running(context.req.param('name'))
    const view: StopView = await (force ? guest.kill() : guest.stop(timeoutMs))
    return context.json(view)
  })
  app.delete('/v1/guests/:name', async context => {
    await host.remove(context.req.param('name'))
    return context.json({})
  })
}

function viewOf({ name, state, since, boots, wasResumed, machine }: RunningGuest): GuestView {
  return { name, state, since, boots, wasResumed, statistics: machine?.statistics }
}
