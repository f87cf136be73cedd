import type { TenonError } from '../../base/errors.ts'
import type { SocketFailure } from '../../network/sockets.ts'
import { hostError } from '../errors.ts'
import type { HostErrorCode } from '../errors.ts'

/** System errors that a socket may end with: connect(2), listen(2), send(2), as named by libuv on every platform. */
const FAILURES: Readonly<Record<string, SocketFailure>> = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'reset', EPIPE: 'reset', ECONNABORTED: 'reset',
  EHOSTUNREACH: 'unreachable-host', EHOSTDOWN: 'unreachable-host',
  ENETUNREACH: 'unreachable-net', ENETDOWN: 'unreachable-net', EAFNOSUPPORT: 'unreachable-net',
  ETIMEDOUT: 'timed-out',
  EPERM: 'denied', EACCES: 'denied',
  EADDRINUSE: 'in-use', EADDRNOTAVAIL: 'no-address',
  EMFILE: 'exhausted', ENFILE: 'exhausted', ENOBUFS: 'exhausted', ENOMEM: 'exhausted',
  EMSGSIZE: 'too-long',
}

export function socketFailure(error: unknown): SocketFailure {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return (code !== undefined && Object.hasOwn(FAILURES, code) ? FAILURES[code] : undefined) ?? 'failed'
}

const ADVICE: Partial<Record<SocketFailure, readonly [HostErrorCode, string]>> = {
  'in-use': ['PORT_IN_USE', 'another program has it; choose another port, or end that program'],
  'no-address': ['PORT_UNAVAILABLE', 'this computer does not have that address; use one that it has, or 0.0.0.0 for all'],
  denied: ['PORT_UNAVAILABLE', 'this user may not; choose a port from 1024 on'],
  exhausted: ['PORT_UNAVAILABLE', 'this process has too many files open; raise the limit (ulimit -n)'],
}

/** Why a port cannot be published, and what to do about it. */
export function portError(protocol: 'TCP' | 'UDP', address: string, port: number, cause: unknown): TenonError<HostErrorCode> {
  const [code, advice] = ADVICE[socketFailure(cause)] ?? ['PORT_UNAVAILABLE', `the system says: ${(cause as Error).message}`]
  return hostError(code, `cannot publish ${protocol} port ${port} of ${address}: ${advice}`, cause)
}
