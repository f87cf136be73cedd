import { z } from 'zod'

/**
 * Commands of the QEMU guest agent, as `qga/qapi-schema.json` of QEMU 7.2 has them: what they take and what they answer. Fields that we
 * do not use are left out; an agent may send more.
 *
 *     guest-sync-delimited   find the place in the stream (client.ts)
 *     guest-ping, guest-info, guest-get-osinfo, guest-network-get-interfaces
 *     guest-exec, guest-exec-status             programs
 *     guest-file-open, -read, -write, -flush, -close
 *     guest-fsfreeze-status, -freeze, -thaw     consistent disks
 *     guest-set-time, guest-shutdown
 */
const handle = z.int()
const pid = z.int()
const nothing = z.object({})
/** What is no base64 in it is passed over when it is decoded. */
const base64 = z.string()
const text = z.string()

/** How long a reply may be, in bytes: the agent's own limit of 16 MiB for each of two outputs, in base64. */
const LONGEST_STATUS = 46 * 1024 ** 2
/** Bytes that are read from a file at once. */
export const LARGEST_READ = 1024 ** 2
const LONGEST_READ = 2 * LARGEST_READ
const LONGEST_REPLY = 1024 ** 2

interface Command<Arguments extends z.ZodType, Reply extends z.ZodType> {
  readonly arguments: Arguments
  readonly reply: Reply
  /** Bytes of the longest reply that is taken. */
  readonly longest: number
  /** It is answered only if it fails. */
  readonly isSilent: boolean
}

function command<Arguments extends z.ZodType, Reply extends z.ZodType>(
  takes: Arguments, reply: Reply, longest = LONGEST_REPLY, isSilent = false,
): Command<Arguments, Reply> {
  return { arguments: takes, reply, longest, isSilent }
}

export const AGENT_COMMANDS = {
  'guest-sync-delimited': command(z.strictObject({ id: z.int() }), z.int()),
  'guest-ping': command(z.strictObject({}), nothing),
  'guest-info': command(z.strictObject({}), z.object({
    version: text,
    supported_commands: z.array(z.object({ name: text, enabled: z.boolean() })).max(10_000),
  })),
  'guest-get-osinfo': command(z.strictObject({}), z.object({
    id: text.optional(), name: text.optional(), 'pretty-name': text.optional(), version: text.optional(), 'version-id': text.optional(),
    'kernel-release': text.optional(), 'kernel-version': text.optional(), machine: text.optional(),
  })),
  'guest-network-get-interfaces': command(z.strictObject({}), z.array(z.object({
    name: text,
    'hardware-address': text.optional(),
    'ip-addresses': z.array(z.object({ 'ip-address': text, 'ip-address-type': z.enum(['ipv4', 'ipv6']), prefix: z.int() })).optional(),
  })).max(10_000)),
  'guest-exec': command(z.strictObject({
    path: text, arg: z.array(text).optional(), env: z.array(text).optional(),
    'input-data': base64.optional(), 'capture-output': z.boolean().optional(),
  }), z.object({ pid })),
  'guest-exec-status': command(z.strictObject({ pid }), z.object({
    exited: z.boolean(), exitcode: z.int().optional(), signal: z.int().optional(),
    'out-data': base64.optional(), 'err-data': base64.optional(),
    'out-truncated': z.boolean().optional(), 'err-truncated': z.boolean().optional(),
  }), LONGEST_STATUS),
  'guest-file-open': command(z.strictObject({ path: text, mode: z.enum(['r', 'w', 'a']).optional() }), handle),
  'guest-file-read': command(z.strictObject({ handle, count: z.int().min(1).max(LARGEST_READ) }), z.object({
    count: z.int().min(0), 'buf-b64': base64, eof: z.boolean(),
  }), LONGEST_READ),
  'guest-file-write': command(z.strictObject({ handle, 'buf-b64': base64 }), z.object({ count: z.int().min(0), eof: z.boolean() })),
  'guest-file-flush': command(z.strictObject({ handle }), nothing),
  'guest-file-close': command(z.strictObject({ handle }), nothing),
  'guest-fsfreeze-status': command(z.strictObject({}), z.enum(['thawed', 'frozen'])),
  'guest-fsfreeze-freeze': command(z.strictObject({}), z.int()),
  'guest-fsfreeze-thaw': command(z.strictObject({}), z.int()),
  /** Nanoseconds since 1970. */
  'guest-set-time': command(z.strictObject({ time: z.number() }), nothing),
  'guest-shutdown': command(z.strictObject({ mode: z.enum(['powerdown', 'halt', 'reboot']).optional() }), nothing, LONGEST_REPLY, true),
} as const

export type AgentCommandName = keyof typeof AGENT_COMMANDS
export type AgentArguments<Name extends AgentCommandName> = z.input<(typeof AGENT_COMMANDS)[Name]['arguments']>
export type AgentReply<Name extends AgentCommandName> = z.output<(typeof AGENT_COMMANDS)[Name]['reply']>

export interface CallOptions {
  /** How long the agent may take to answer, in milliseconds. */
  readonly timeoutMs?: number
}

/** Whoever can have a guest's agent carry out a command: the client itself, or one at the other end of a connection. */
export interface AgentCaller {
  /**
   * @throws TenonError AGENT_UNAVAILABLE (no agent runs), AGENT_TIMEOUT, AGENT_PROTOCOL (it answered what no agent answers),
   * AGENT_COMMAND_FAILED (it says that it could not, and why).
   */
  call<Name extends AgentCommandName>(name: Name, takes: AgentArguments<Name>, options?: CallOptions): Promise<AgentReply<Name>>
}
