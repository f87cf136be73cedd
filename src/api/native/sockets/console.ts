import type { WebSocket } from 'ws'
import type { RunningGuest } from '../../../host/guests/running-guest.ts'
import type { SocketRoute } from '../context.ts'
import type { ConsoleEvent } from '../schema.ts'

/** Output that waits for a client. One that takes none is left out of what comes then: it must not hold back the guest. */
const MOST_WAITING = 1024 ** 2

/** A guest's console: what it says, and what is typed to it. Any number may be attached. */
export const CONSOLE_SOCKET: SocketRoute = {
  pattern: /^\/v1\/guests\/([^/]+)\/console$/,
  async open(socket, { groups: [name], query }, { host }) {
    const guest = await host.running(name)
    const detach = guest.console.attach(forward(socket), query.get('backlog') === 'start' ? 'start' : 'line')
    socket.on('message', (data, isBinary) => { if (isBinary) void type(guest, socket, data as Buffer) })
    socket.on('close', detach)
    void sayEnd(guest, socket)
  },
}

async function sayEnd(guest: RunningGuest, socket: WebSocket): Promise<void> {
  say(socket, { kind: 'ended', end: await guest.ended })
  socket.close()
}

function forward(socket: WebSocket): (bytes: Uint8Array) => void {
  let skipped = 0
  return bytes => {
    if (socket.bufferedAmount > MOST_WAITING) return void (skipped += bytes.length)
    if (skipped > 0) say(socket, { kind: 'skipped', bytes: skipped })
    skipped = 0
    socket.send(bytes)
  }
}

/** No faster than the guest takes it. What is typed while it reboots is lost, as on any serial line. */
async function type(guest: RunningGuest, socket: WebSocket, bytes: Uint8Array): Promise<void> {
  socket.pause()
  await guest.write(bytes).catch(() => {})
  socket.resume()
}

function say(socket: WebSocket, event: ConsoleEvent): void { socket.send(JSON.stringify(event)) }
