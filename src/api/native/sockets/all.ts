import type { SocketRoute } from '../context.ts'
import { CONSOLE_SOCKET } from './console.ts'

export const SOCKETS: readonly SocketRoute[] = [CONSOLE_SOCKET]
