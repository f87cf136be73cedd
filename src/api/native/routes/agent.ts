import type { ZodType } from 'zod'
import { AGENT_COMMANDS } from '../../../host/agent/commands.ts'
import type { AgentArguments, AgentCommandName } from '../../../host/agent/commands.ts'
import { checked, readBody } from '../body.ts'
import type { AddRoutes } from '../context.ts'
import { agentRequestSchema } from '../schema.ts'

/** Commands of several clients take turns; each is whole. */
export const addAgentRoutes: AddRoutes = (app, { host }) => {
  app.post('/v1/guests/:name/agent', async context => {
    const { execute, arguments: takes, timeoutMs, waitMs } = await readBody(context, agentRequestSchema)
    const known = checked<AgentArguments<AgentCommandName>>(AGENT_COMMANDS[execute].arguments as ZodType<AgentArguments<AgentCommandName>>, takes)
    const { agent } = await host.running(context.req.param('name'))
    if (waitMs > 0) await agent.opening(waitMs)
    return context.json({ return: await agent.call(execute, known, { timeoutMs }) })
  })
}
