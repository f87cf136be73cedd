import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AgentClient } from '../client.ts'

/** What a test must never have this computer do. */
const FORBIDDEN = [
  'guest-shutdown', 'guest-suspend-disk', 'guest-suspend-ram', 'guest-suspend-hybrid', 'guest-set-time', 'guest-fsfreeze-freeze',
  'guest-fsfreeze-freeze-list', 'guest-set-vcpus', 'guest-set-user-password', 'guest-fstrim',
]

export const hasRealAgent = spawnSync('qemu-ga', ['--version']).status === 0
if (!hasRealAgent) process.stderr.write('skipped: the real guest agent: there is no qemu-ga (Debian: qemu-guest-agent)\n')

/** The real qemu-ga, running on this computer, in a folder of its own. */
export async function startRealAgent(): Promise<{ readonly client: AgentClient, readonly folder: string, stop(): void }> {
  const folder = mkdtempSync(join(tmpdir(), 'tenon-agent-'))
  const socketPath = join(folder, 'socket')
  const agent = spawn('qemu-ga', [
    '-m', 'unix-listen', '-p', socketPath, '-f', join(folder, 'pid'), '-t', folder, '-b', FORBIDDEN.join(','),
  ], { stdio: 'ignore' })
  for (let tries = 0; !existsSync(socketPath) && tries < 200; tries++) await new Promise(resolve => setTimeout(resolve, 25))
  const socket = createConnection(socketPath)
  const client = new AgentClient(bytes => new Promise(resolve => socket.write(bytes, () => resolve())))
  socket.on('data', bytes => client.receive(bytes))
  socket.on('connect', () => client.opened(true))
  socket.on('close', () => client.opened(false))
  socket.on('error', () => {})
  await client.opening(5_000)
  return {
    client,
    folder,
    stop: () => {
      socket.destroy()
      agent.kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
