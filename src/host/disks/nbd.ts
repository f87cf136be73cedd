import { rm, stat } from 'node:fs/promises'
import { createServer, type AddressInfo, type Server } from 'node:net'
import type { BlockNode } from '../../storage/block-node.ts'
import { Description } from '../../storage/description.ts'
import { storageError } from '../../storage/errors.ts'
import type { KindOpener } from '../../storage/format.ts'
import type { ByteStream } from '../../storage/nbd/byte-stream.ts'
import { openNbdClient } from '../../storage/nbd/client.ts'
import { type ListedExport, listExports } from '../../storage/nbd/client-handshake.ts'
import { withinTime } from '../../storage/nbd/link.ts'
import { MessageReader } from '../../storage/nbd/message-reader.ts'
import type { NbdServer, ServedClient } from '../../storage/nbd/server.ts'
import { hostTimer } from './host-timer.ts'
import { type NbdAddress, parseNbdUri } from './nbd-uri.ts'
import { addressName, connectSocket, SocketStream } from './socket-stream.ts'

export interface NbdOpenOptions {
  readonly readOnly?: boolean
  /** Milliseconds for connecting, and for each command; default 30,000. */
  readonly timeout?: number
  /** How often a lost connection is made again and a command repeated; default 5. */
  readonly retries?: number
}

const DEFAULT_TIMEOUT = 30_000

/** Opens the disk at an NBD URI. Rejects with DISK_DESCRIPTION_INVALID, DISK_NOT_FOUND, DISK_UNSUPPORTED or DISK_PEER_FAILED. */
export function openNbd(uri: string, options: NbdOpenOptions = {}): Promise<BlockNode> {
  const { address, exportName } = parseNbdUri(uri)
  const timeout = options.timeout ?? DEFAULT_TIMEOUT
  return openNbdClient({ ...options, timeout, name: uri, exportName, timers: hostTimer, connect: () => connectSocket(address, timeout) })
}

/**
 * Opens the node that a description calls `nbd`: `{ kind: 'nbd', uri: 'nbd://host/disk' }`. Optional: `timeout` in seconds (30), `retries`
 * (5), `readOnly`.
 */
export const openNbdKind: KindOpener = (fields, readOnly) => {
  const description = new Description('disk', fields)
  description.part('kind')
  const uri = description.string('uri')
  const timeout = description.has('timeout') ? description.integer('timeout', 1, 3600) * 1000 : undefined
  const retries = description.has('retries') ? description.integer('retries', 0, 1000) : undefined
  const onlyReads = description.boolean('readOnly', false) || readOnly
  description.end()
  return openNbd(uri, { readOnly: onlyReads, timeout, retries })
}

/** The exports of the server at an NBD URI, whose own export does not matter. Rejects as `openNbd`. */
export async function listNbd(uri: string, timeout = DEFAULT_TIMEOUT): Promise<ListedExport[]> {
  const stream: ByteStream = await connectSocket(parseNbdUri(uri).address, timeout)
  try {
    return await withinTime(stream, hostTimer, timeout, uri, listExports(stream, new MessageReader(stream)))
  } finally {
    stream.close()
  }
}

export interface NbdListener {
  /** Where it listens: the port is the real one where 0 was asked for. */
  readonly address: NbdAddress
  /** Takes no more clients. Those that are there are the server's: `NbdServer.close`. */
  close(): Promise<void>
}

export interface NbdListenOptions {
  /** Called when a client's connection has ended. */
  onClient?(client: ServedClient): void
}

/**
 * Lets clients of an address in. A Unix socket that a dead process has left is replaced; it is the owner's alone. Rejects with
 * DISK_IN_USE if another server listens there.
 */
export async function listenNbd(server: NbdServer, address: NbdAddress, options: NbdListenOptions = {}): Promise<NbdListener> {
  const listener = createServer((socket) => {
    const peer = address.kind === 'unix' ? `a client of ${address.path}` : `${socket.remoteAddress}:${socket.remotePort}`
    void server.serve(new SocketStream(socket, peer)).then(client => options.onClient?.(client))
  })
  try {
    await listenOnce(listener, address)
  } catch (error) {
    if (address.kind !== 'unix' || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || !await isLeftOver(address.path)) throw listenError(error, address)
    await rm(address.path, { force: true })
    await listenOnce(listener, address).catch((again: unknown) => { throw listenError(again, address) })
  }
  return { address: boundAddress(listener, address), close: () => new Promise((resolve) => { listener.close(() => resolve()) }) }
}

function listenOnce(listener: Server, address: NbdAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    listener.once('error', reject)
    const listening = () => {
      listener.removeListener('error', reject)
      resolve()
    }
    if (address.kind === 'tcp') listener.listen(address.port, address.host, listening)
    else privately(() => listener.listen(address.path, listening))
  })
}

/** A socket's permissions are those that it is made with. */
function privately(action: () => void): void {
  const before = process.umask(0o077)
  try {
    action()
  } finally {
    process.umask(before)
  }
}

/** Whether the file is a socket that nobody listens to. */
async function isLeftOver(path: string): Promise<boolean> {
  const isSocket = await stat(path).then(found => found.isSocket(), () => false)
  if (!isSocket) return false
  try {
    const probe = await connectSocket({ kind: 'unix', path }, 1000)
    probe.close()
    return false
  } catch (refusal) {
    return ((refusal as Error).cause as NodeJS.ErrnoException | undefined)?.code === 'ECONNREFUSED'
  }
}

function boundAddress(listener: Server, address: NbdAddress): NbdAddress {
  return address.kind === 'unix' ? address : { ...address, port: (listener.address() as AddressInfo).port }
}

function listenError(error: unknown, address: NbdAddress): Error {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'EADDRINUSE') return storageError('DISK_IN_USE', `${addressName(address)} is taken: another server listens there, or a file is there`, error)
  return storageError('DISK_PEER_FAILED', `cannot listen at ${addressName(address)} (${code ?? message}): see to address and permissions`, error)
}
