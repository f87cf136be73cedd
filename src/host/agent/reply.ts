import { z } from 'zod'
import { TenonError } from '../../base/errors.ts'
import type { AgentCommandName } from './commands.ts'
import { printable } from './printable.ts'

/** The agent answered that it could not (AGENT_COMMAND_FAILED), or answered nonsense (AGENT_PROTOCOL). */
export class AgentReplyError extends TenonError<'AGENT_COMMAND_FAILED' | 'AGENT_PROTOCOL'> {
  /** What the agent says; of hostile origin, but printable. */
  readonly reason: string

  constructor(code: 'AGENT_COMMAND_FAILED' | 'AGENT_PROTOCOL', command: AgentCommandName, reason: string) {
    super(code, code === 'AGENT_COMMAND_FAILED' ? `the guest's agent could not do ${command}: ${reason}` : `the guest's agent ${reason} to ${command}: `
      + 'it is no QEMU guest agent, or is damaged')
    this.reason = reason
  }
}

const envelope = z.union([
  z.object({ error: z.object({ class: z.string().optional(), desc: z.string() }) }),
  z.object({ return: z.unknown() }).refine(message => 'return' in message),
])

/** The value in a reply. @throws AgentReplyError. */
export function parseReply<Value>(command: AgentCommandName, text: string, schema: z.ZodType<Value>): Value {
  const parsed = envelope.safeParse(jsonOf(text))
  if (!parsed.success) throw new AgentReplyError('AGENT_PROTOCOL', command, 'sent no answer')
  if ('error' in parsed.data) throw new AgentReplyError('AGENT_COMMAND_FAILED', command, printable(parsed.data.error.desc))
  const value = schema.safeParse(parsed.data.return)
  if (!value.success) throw new AgentReplyError('AGENT_PROTOCOL', command, 'sent an answer of another form')
  return value.data
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
