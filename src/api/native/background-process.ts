/**
 * The process that runs the guests of one trust domain: `node background-process.js HOME DOMAIN VERSION`. Started by `startProcess`, to
 * which it says over IPC that it listens, or why it cannot; after that it is on its own, and ends when its last guest has.
 */
import { chmodSync, lstatSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import type { Server } from 'node:http'
import { dirname } from 'node:path'
import { GuestHost } from '../../host/guests/guest-host.ts'
import { GuestStore } from '../../host/guests/guest-store.ts'
import { DomainFolder } from '../../host/guests/home.ts'
import { resumeMachine, startMachine } from '../../host/machine/start.ts'
import { NetworkThread } from '../../host/network/network-thread.ts'
import { GuestNetworks } from '../../host/networks/guest-networks.ts'
import { NetworkStore } from '../../host/networks/network-store.ts'
import { hostError } from '../../host/errors.ts'
import { createApiServer } from './server.ts'

/** How long it waits for a next order when no guest runs. */
const LINGER_MS = 3_000
const MILLISECONDS_PER_LOOK = 500

const [home, domain, version] = process.argv.slice(2)
const folder = new DomainFolder(home, domain)
const networks = new GuestNetworks({ store: new NetworkStore(home), startThread: onNotice => new NetworkThread(onNotice), log })
const host = new GuestHost({ store: new GuestStore(home), domain, startMachine, resumeMachine, networks, log })

process.title = `tenon guests (${domain})`
// A fault while one guest is served must not end the others.
process.on('uncaughtException', error => log(`internal error: ${error.stack ?? String(error)}`))
// A full disk, where the log is: nobody is to be told.
process.stderr.on('error', () => {})
process.on('SIGHUP', () => {})
process.on('SIGINT', () => {})

try {
  const server = await listen()
  process.on('SIGTERM', () => void host.shutDown().then(() => end(server)))
  // Whoever started it may be gone already.
  process.send?.({ kind: 'ready' }, () => { if (process.connected) process.disconnect() })
  endWhenIdle(server)
} catch (error) {
  const { code = 'HOST_PROCESS_FAILED', message } = error as Error & { code?: string }
  process.send?.({ kind: 'refused', code, message }, () => process.exit(1))
}

async function listen(): Promise<Server> {
  const server = createApiServer({ host, version }, log)
  if (process.platform !== 'win32') makeWay(folder.socket)
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(folder.socket, resolve))
  if (process.platform !== 'win32') chmodSync(folder.socket, 0o600)
  writeFileSync(folder.record, `${JSON.stringify({ process: process.pid, version })}\n`, { mode: 0o600 })
  return server
}

/** Whoever started this process holds the lock and has found that nobody listens: a socket that is there is a dead process's. */
function makeWay(socket: string): void {
  const place = dirname(socket)
  mkdirSync(place, { recursive: true, mode: 0o700 })
  const { uid, mode } = lstatSync(place)
  if (uid !== process.getuid?.() || (mode & 0o077) !== 0) {
    throw hostError('HOST_PROCESS_FAILED', `the folder ${place} is open to others, or is not yours: remove it, or chmod 700 it`)
  }
  rmSync(socket, { force: true })
}

/** Nothing runs, nobody asks, for a while. */
function endWhenIdle(server: Server): void {
  let lastUse = Date.now()
  setInterval(() => {
    server.getConnections((_, connections) => {
      if (host.guests.length > 0 || connections > 0) lastUse = Date.now()
      else if (Date.now() - lastUse > LINGER_MS) end(server)
    })
  }, MILLISECONDS_PER_LOOK)
  server.on('request', () => { lastUse = Date.now() })
}

function end(server: Server): void {
  rmSync(folder.record, { force: true })
  server.close()
  server.closeIdleConnections()
  process.exit(0)
}

function log(message: string): void {
  process.stderr.write(`${new Date().toISOString()} ${message}\n`)
}
